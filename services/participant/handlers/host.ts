/** A key-value participant as a service that a replica hosts: for each partition that it leads, a term. */

import type { Failure } from '../../kernel/failure.ts';
import { KeyValueResource } from '../../kernel/keyvalue/resource.ts';
import { DEFAULT_KEY_VALUE_SETTINGS, type KeyValueEvent, type KeyValueTypes } from '../../kernel/keyvalue/types.ts';
import { ParticipantKernel } from '../../kernel/participant/kernel.ts';
import { DEFAULT_SETTINGS, type ParticipantMessage, type ParticipantRecord } from '../../kernel/participant/types.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import type { Hosted } from '../../runtime/cluster/replica.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import type { Priority, Requester, TermObserver, TermOptions } from '../../runtime/partition/term.ts';
import { Events } from '../../runtime/router/events.ts';
import { ServingTerm, type ServingOptions } from '../../runtime/router/serving-term.ts';
import type { ObservedCommand } from '../../runtime/telemetry/observer.ts';
import { describeConflict, textCodec } from '../codec-keyvalue.ts';
import { participantCodec } from '../codec.ts';
import { misplacedOperation, type KeyValueCommand, type KeyValueReply } from './service.ts';

type Stored = ParticipantRecord<KeyValueTypes>;
type Options = TermOptions<KeyValueCommand, Stored, KeyValueReply, ParticipantMessage>;

/** Refuses branches with keys of other partitions: the kernel does not know how many there are. */
export class KeyValueServingTerm extends ServingTerm<KeyValueCommand, Stored, KeyValueReply, ParticipantMessage, KeyValueEvent> {
  private readonly service: Service;
  private readonly partition: number;
  private readonly send: Options['send'];

  constructor(
    service: Service,
    options: ServingOptions<KeyValueCommand, Stored, KeyValueReply, ParticipantMessage>,
    events: Events<KeyValueEvent>,
  ) {
    super(options, events);
    this.service = service;
    this.partition = options.partition;
    this.send = options.send;
  }

  override submit(command: KeyValueCommand, priority: Priority): Failure | undefined {
    if (command.type === 'message' && command.message.type === 'prepare') {
      const { branch, operations } = command.message;
      const cause = misplacedOperation(operations, this.service, this.partition);
      if (cause !== undefined) {
        const origin = command.origin as Requester<KeyValueReply> | undefined;
        if (origin !== undefined) origin.onReply({ type: 'vote', vote: 'no', cause });
        else this.send({ to: 'coordinator', message: { type: 'vote', branch, vote: 'no', cause } });
        return undefined;
      }
    }
    return super.submit(command, priority);
  }
}

export interface KeyValueHostOptions extends Pick<Options, 'store' | 'clock' | 'entropy' | 'send' | 'queueLimit'> {
  readonly service: Service;
  /** How long outcomes of local transactions and changes are kept, milliseconds. */
  readonly retentionMs: number;
  /** Earlier versions to keep of every key. */
  readonly historyLimit: number;
  observer(partition: number): TermObserver<KeyValueCommand> | undefined;
}

export function hostKeyValue(options: KeyValueHostOptions): Hosted<KeyValueServingTerm> {
  const { service, retentionMs, historyLimit, store, clock, entropy, send, queueLimit } = options;
  const participant = service.name;
  return {
    service,
    createTerm(partition, tenure, onEnd) {
      const resource = new KeyValueResource({
        ...DEFAULT_KEY_VALUE_SETTINGS,
        participant,
        historyLimit,
        changeRetentionMs: retentionMs,
        text: textCodec,
        describeConflict,
      });
      const kernel = new ParticipantKernel<KeyValueTypes>({
        settings: { ...DEFAULT_SETTINGS, participant, partition, retentionMs },
        resource,
      });
      const events = new Events<KeyValueEvent>((watched) => (resource.watched = watched));
      const keyPrefix = partitionPrefix(participant, partition);
      const observer = options.observer(partition);
      return new KeyValueServingTerm(
        service,
        { service: participant, partition, store, clock, kernel, codec: participantCodec, keyPrefix, tenure, entropy, send, onEnd, queueLimit, observer },
        events,
      );
    },
  };
}

/** What is traced: what may wait for a write, of sampled transactions. */
export function describeCommand(command: KeyValueCommand): ObservedCommand | undefined {
  if (command.type === 'local' || command.type === 'resolve')
    return { name: command.type, traceparent: (command.origin as Requester<KeyValueReply> | undefined)?.caller?.traceparent };
  if (command.type !== 'message' || !('trace' in command.message)) return undefined;
  return { name: command.message.type, traceparent: command.message.trace };
}
