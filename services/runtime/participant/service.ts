/** What the handlers of participants share, of whatever kind they are. */

import type { Failure } from '../../kernel/failure.ts';
import type { ParticipantCommand, ParticipantRecord, ParticipantReply, ResourceTypes } from '../../kernel/participant/types.ts';
import type { Clock } from '../clock.ts';
import { COORDINATOR, type ClusterView, type Service } from '../cluster/view.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { Priority, RecordCodec, Requester } from '../partition/term.ts';
import type { Events } from '../router/events.ts';
import { noLeader, type LocalTerm } from '../router/place.ts';
import type { Router } from '../router/router.ts';
import { findFailure, type Rule } from '../router/rules.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from '../telemetry/metrics/metrics.ts';
import type { Spans } from '../telemetry/spans.ts';
import type { CallContext } from '../transport/service.ts';
import type { KindOperations, Kinds } from './operations.ts';
import type { Transactions } from './transactions.ts';

/** A partition of a participant that is led here. */
export interface ParticipantTerm<T extends ResourceTypes = ResourceTypes, Event = unknown>
  extends LocalTerm<ParticipantCommand<T>, ParticipantReply<T>> {
  readonly events: Events<Event>;
}

/** What the handlers of one kind of participant work with. */
export interface ParticipantServices<T extends ResourceTypes = ResourceTypes, Event = unknown> {
  readonly kind: KindOperations<T>;
  readonly router: Router<ParticipantTerm<T, Event>>;
  readonly view: Pick<ClusterView, 'service' | 'services' | 'clusterId' | 'numbersAbove' | 'leader' | 'onChange'>;
  readonly clock: Clock;
  /** Of the records of participant partitions, for what is read past the kernel. */
  readonly store: Pick<Store, 'get' | 'scan'>;
  readonly codec: Pick<RecordCodec<ParticipantRecord<T>>, 'decode'>;
  /** For changes at several partitions. */
  readonly transactions: Transactions;
  /** For traces of what is not a call of its own. */
  readonly spans: Pick<Spans, 'serve' | 'handle' | 'enabled'>;
  /** Absent: nobody counts. */
  readonly metrics?: Metrics | undefined;
  /** For what the handlers do of themselves. */
  log(message: string, fields: Record<string, unknown>): void;
  /** A new UUIDv7. */
  newId(): string;
}

/** @throws FailureError naming every field that breaks its rule. */
export function validate<T>(rule: Rule<T>, request: T): void {
  const failure = findFailure(rule, request);
  if (failure !== undefined) throw new FailureError(failure);
}

/** The participant of this name, which must be of the handlers' kind. @throws FailureError */
export function serviceOfKind(
  { view, kind }: { readonly view: Pick<ClusterView, 'service'>; readonly kind: Pick<KindOperations, 'name' | 'label'> },
  name: string,
): Service {
  const service = view.service(name);
  if (service?.kind === kind.name) return service;
  throw new FailureError(unknownParticipant(service, name, kind.label));
}

/** The participant of this name, of whatever kind the mesh hosts. @throws FailureError */
export function serviceOfAnyKind(
  { view, kinds }: { readonly view: Pick<ClusterView, 'service'>; readonly kinds: Kinds },
  name: string,
): { readonly service: Service; readonly kind: KindOperations } {
  const service = view.service(name);
  const kind = kinds.of(service);
  if (service === undefined || kind === undefined) throw new FailureError(unknownParticipant(service, name, 'participant'));
  return { service, kind };
}

/** @param service what is known by this name */
export function unknownParticipant(service: Service | undefined, name: string, label: string): Failure {
  const message =
    service === undefined || service.name === COORDINATOR
      ? `no participant named "${name}" is known to this cluster`
      : `participant "${name}" is no ${label} of the mesh`;
  return {
    reason: 'UNKNOWN_PARTICIPANT',
    message,
    violations: [{ field: 'participant', description: message }],
    metadata: { participant: name },
  };
}

/** How many partitions the coordinator has. @throws FailureError if this replica has seen none yet. */
export function coordinatorPartitions({ view }: { readonly view: Pick<ClusterView, 'service'> }): number {
  const service = view.service(COORDINATOR);
  if (service === undefined) throw new FailureError(noLeader(COORDINATOR, 0));
  return service.partitions;
}

/** Steps one command at a term in this process, and takes the reply of the given type. @throws FailureError */
export function ask<T extends ResourceTypes, Event, Type extends ParticipantReply['type']>(
  { router }: { readonly router: Pick<Router<ParticipantTerm<T, Event>>, 'ask'> },
  term: ParticipantTerm<T, Event>,
  type: Type,
  context: CallContext,
  changes: boolean,
  make: (origin: Requester<ParticipantReply<T>>) => ParticipantCommand<T>,
  priority: Priority = 'work',
): Promise<Extract<ParticipantReply<T>, { readonly type: Type }>> {
  return router.ask<ParticipantCommand<T>, ParticipantReply<T>, Type>(term, type, context, changes, make, {
    priority,
    cancel: (target) => ({ type: 'cancel', target }),
  });
}

/** Longest wait of one call where its caller sets no deadline, milliseconds. */
const LONGEST_CALL_MS = 30_000;

/** Wall time until which a call may wait for locks and outcomes. */
export function waitUntilMs({ clock }: { readonly clock: Clock }, context: CallContext, timeoutMs = LONGEST_CALL_MS): number {
  return Math.min(clock.nowMs() + timeoutMs, context.deadlineMs);
}
