/** What the handlers of KeyValueService and ParticipantService share. */

import type { Failure } from '../../kernel/failure.ts';
import { partitionOf } from '../../kernel/hash.ts';
import { splitName } from '../../kernel/keyvalue/keys.ts';
import { routingKeyOf } from '../../kernel/keyvalue/routing.ts';
import type { KeyValueEvent, KeyValueOperation, KeyValueTypes } from '../../kernel/keyvalue/types.ts';
import type { Mark, OpaqueOperation } from '../../kernel/messages.ts';
import type { ParticipantCommand, ParticipantRecord, ParticipantReply } from '../../kernel/participant/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import { COORDINATOR, type ClusterView, type Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { Priority, RecordCodec, Requester } from '../../runtime/partition/term.ts';
import type { Events } from '../../runtime/router/events.ts';
import { noLeader, type LocalTerm } from '../../runtime/router/place.ts';
import type { Router } from '../../runtime/router/router.ts';
import { findFailure, type Rule } from '../../runtime/router/rules.ts';
import type { Store } from '../../runtime/store/store.ts';
import type { CallContext } from '../../runtime/transport/service.ts';

export type KeyValueCommand = ParticipantCommand<KeyValueTypes>;
export type KeyValueReply = ParticipantReply<KeyValueTypes>;

/** A partition of a key-value participant that is led here. */
export interface KeyValueTerm extends LocalTerm<KeyValueCommand, KeyValueReply> {
  readonly events: Events<KeyValueEvent>;
}

export interface ParticipantServices {
  readonly router: Router<KeyValueTerm>;
  readonly view: Pick<ClusterView, 'service' | 'clusterId' | 'leader' | 'onChange'>;
  readonly clock: Clock;
  /** Of the records of participant partitions, read for scans and replays. */
  readonly store: Pick<Store, 'get' | 'scan'>;
  readonly codec: Pick<RecordCodec<ParticipantRecord<KeyValueTypes>>, 'decode'>;
  /** From what a coordinator or a client sends to what the kernel takes; or why not. */
  decodeOperations(participant: string, operations: readonly OpaqueOperation[]): readonly KeyValueOperation[] | Failure;
  /** A coordinator partition's mark came with a plain call. */
  hear(mark: Mark): void;
  /** A new UUIDv7. */
  newId(): string;
}

/** @throws FailureError naming every field that breaks its rule. */
export function validate<T>(rule: Rule<T>, request: T): void {
  const failure = findFailure(rule, request);
  if (failure !== undefined) throw new FailureError(failure);
}

/** The key-value participant of this name. @throws FailureError */
export function keyValueService({ view }: Pick<ParticipantServices, 'view'>, name: string): Service {
  const service = view.service(name);
  if (service?.kind === 'key-value') return service;
  const message =
    service === undefined || service.name === COORDINATOR
      ? `no participant named "${name}" is known to this cluster`
      : `participant "${name}" is no key-value participant of the mesh`;
  throw new FailureError({
    reason: 'UNKNOWN_PARTICIPANT',
    message,
    violations: [{ field: 'participant', description: message }],
    metadata: { participant: name },
  });
}

/** How many partitions the coordinator has. @throws FailureError if this replica has seen none yet. */
export function coordinatorPartitions({ view }: Pick<ParticipantServices, 'view'>): number {
  const service = view.service(COORDINATOR);
  if (service === undefined) throw new FailureError(noLeader(COORDINATOR, 0));
  return service.partitions;
}

/** The partition that a key belongs to. */
export function partitionOfKey(service: Service, key: string): number {
  return partitionOf(routingKeyOf(key), service.partitions);
}

/** The first operation whose key belongs to another partition than the one that is to carry it out. */
export function misplacedOperation(
  operations: readonly KeyValueOperation[],
  service: Service,
  partition: number,
): Failure | undefined {
  if (service.partitions === 1) return undefined;
  for (let i = 0; i < operations.length; i++) {
    const { key } = splitName(operations[i]!.name);
    const owner = partitionOfKey(service, key);
    if (owner === partition) continue;
    const description =
      `key "${key}" belongs to partition ${owner} of ${service.name}, not to partition ${partition}; ` +
      "give the key as the operation's routing key, or the part between '{' and '}'";
    return {
      reason: 'WRONG_PARTITION',
      message: `operations[${i}]: ${description}`,
      violations: [{ field: `operations[${i}].routing_key`, description }],
      metadata: { participant: service.name, partition: String(owner) },
    };
  }
  return undefined;
}

/** Steps one command at a term in this process, and takes the reply of the given type. @throws FailureError */
export function ask<Type extends KeyValueReply['type']>(
  { router }: Pick<ParticipantServices, 'router'>,
  term: KeyValueTerm,
  type: Type,
  context: CallContext,
  changes: boolean,
  make: (origin: Requester<KeyValueReply>) => KeyValueCommand,
  priority: Priority = 'work',
): Promise<Extract<KeyValueReply, { readonly type: Type }>> {
  return router.ask<KeyValueCommand, KeyValueReply, Type>(term, type, context, changes, make, {
    priority,
    cancel: (target) => ({ type: 'cancel', target }),
  });
}

/** Longest wait of one call where its caller sets no deadline, milliseconds. */
const LONGEST_CALL_MS = 30_000;

/** Wall time until which a call may wait for locks and outcomes. */
export function waitUntilMs({ clock }: Pick<ParticipantServices, 'clock'>, context: CallContext, timeoutMs = LONGEST_CALL_MS): number {
  return Math.min(clock.nowMs() + timeoutMs, context.deadlineMs);
}
