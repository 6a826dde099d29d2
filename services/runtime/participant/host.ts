/** A participant as a service that a replica hosts: for each partition that it leads, a term. */

import type { Failure } from '../../kernel/failure.ts';
import { ParticipantKernel } from '../../kernel/participant/kernel.ts';
import type { Resource } from '../../kernel/participant/resource.ts';
import {
  DEFAULT_SETTINGS,
  type ParticipantCommand,
  type ParticipantMessage,
  type ParticipantRecord,
  type ParticipantReply,
  type ResourceTypes,
} from '../../kernel/participant/types.ts';
import { partitionPrefix } from '../cluster/keys.ts';
import type { Hosted } from '../cluster/replica.ts';
import type { Service } from '../cluster/view.ts';
import type { Priority, RecordCodec, Requester, TermObserver, TermOptions } from '../partition/term.ts';
import { Events } from '../router/events.ts';
import { ServingTerm, type ServingOptions } from '../router/serving-term.ts';
import type { ObservedCommand } from '../telemetry/observer.ts';
import type { Metrics } from '../telemetry/metrics/metrics.ts';
import type { TermCounts } from '../telemetry/metrics/term-counts.ts';
import { ParticipantMeter } from './meter.ts';
import type { KindOperations } from './operations.ts';

type Options<T extends ResourceTypes> = TermOptions<ParticipantCommand<T>, ParticipantRecord<T>, ParticipantReply<T>, ParticipantMessage>;
type Misplaced<T extends ResourceTypes> = KindOperations<T>['misplaced'];

/** Refuses branches with operations of other partitions: the kernel does not know how many there are. */
export class ParticipantServingTerm<T extends ResourceTypes = ResourceTypes, Event = unknown> extends ServingTerm<
  ParticipantCommand<T>,
  ParticipantRecord<T>,
  ParticipantReply<T>,
  ParticipantMessage,
  Event
> {
  private readonly service: Service;
  private readonly partition: number;
  private readonly misplaced: Misplaced<T>;
  private readonly send: Options<T>['send'];

  constructor(
    service: Service,
    misplaced: Misplaced<T>,
    options: ServingOptions<ParticipantCommand<T>, ParticipantRecord<T>, ParticipantReply<T>, ParticipantMessage>,
    events: Events<Event>,
  ) {
    super(options, events);
    this.service = service;
    this.misplaced = misplaced;
    this.partition = options.partition;
    this.send = options.send;
  }

  override submit(command: ParticipantCommand<T>, priority: Priority): Failure | undefined {
    if (command.type === 'message' && command.message.type === 'prepare') {
      const { branch, operations } = command.message;
      const cause = this.misplaced(operations, this.service, this.partition);
      if (cause !== undefined) {
        const origin = command.origin as Requester<ParticipantReply<T>> | undefined;
        if (origin !== undefined) origin.onReply({ type: 'vote', vote: 'no', cause });
        else this.send({ to: 'coordinator', message: { type: 'vote', branch, vote: 'no', cause } });
        return undefined;
      }
    }
    return super.submit(command, priority);
  }
}

/** What a process gives to every participant that it hosts. */
export interface HostOptions<T extends ResourceTypes = ResourceTypes>
  extends Pick<Options<T>, 'store' | 'clock' | 'entropy' | 'send' | 'queueLimit'> {
  readonly service: Service;
  readonly clusterId: string;
  /** How long outcomes of local transactions, and what else a kind keeps of its past, are kept, milliseconds. */
  readonly retentionMs: number;
  /** What is numbered has numbers above it (invariant P10). */
  readonly numbersAbove: number;
  /** Absent: nobody counts. */
  readonly metrics?: Metrics | undefined;
  observer(partition: number): TermObserver<ParticipantCommand<T>> | undefined;
}

/** A resource whose events somebody may watch; it need not make any while nobody does. */
export type WatchedResource<T extends ResourceTypes> = Resource<T> & { watched?: boolean };

/** What a kind of participant adds to be hosted. */
export interface HostedKind<T extends ResourceTypes> {
  readonly codec: RecordCodec<ParticipantRecord<T>>;
  readonly misplaced: Misplaced<T>;
  /**
   * For one term of one partition.
   * @param counts of the term, for what the kind counts beside branches; undefined: nobody counts
   */
  createResource(partition: number, counts: TermCounts | undefined): WatchedResource<T>;
}

export function hostParticipant<T extends ResourceTypes, Event>(
  options: HostOptions<T> & HostedKind<T>,
): Hosted<ParticipantServingTerm<T, Event>> {
  const { service, retentionMs, numbersAbove, codec, misplaced, store, clock, entropy, send, queueLimit, metrics } = options;
  const participant = service.name;
  const meter = metrics && new ParticipantMeter(metrics, participant, clock);
  return {
    service,
    createTerm(partition, tenure, onEnd) {
      const counted = meter?.term();
      const resource = options.createResource(partition, counted?.counts);
      const kernel = new ParticipantKernel<T>({
        settings: { ...DEFAULT_SETTINGS, participant, partition, retentionMs, numbersAbove },
        resource,
        ...(counted && { tally: counted.tally }),
      });
      counted?.watch(kernel);
      const events = new Events<Event>((watched) => (resource.watched = watched));
      const keyPrefix = partitionPrefix(participant, partition);
      const observer = options.observer(partition);
      return new ParticipantServingTerm<T, Event>(
        service,
        misplaced,
        {
          service: participant,
          partition,
          store,
          clock,
          kernel,
          codec,
          keyPrefix,
          tenure,
          entropy,
          send,
          onEnd,
          queueLimit,
          observer,
          meter: counted?.counts,
        },
        events,
      );
    },
  };
}

/** What is traced: what may wait for a write, of sampled transactions. */
export function describeCommand(command: ParticipantCommand): ObservedCommand | undefined {
  if (command.type === 'local' || command.type === 'resolve' || command.type === 'request')
    return { name: command.type, traceparent: (command.origin as Requester<ParticipantReply> | undefined)?.caller?.traceparent };
  if (command.type !== 'message' || !('trace' in command.message)) return undefined;
  return { name: command.message.type, traceparent: command.message.trace };
}
