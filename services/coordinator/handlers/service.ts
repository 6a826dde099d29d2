/** What the handlers of CoordinatorService share. */

import type { Clock } from '../../runtime/clock.ts';
import { COORDINATOR, type ClusterView } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { Priority, RecordCodec, Requester } from '../../runtime/partition/term.ts';
import type { Events } from '../../runtime/router/events.ts';
import { noLeader, type LocalTerm } from '../../runtime/router/place.ts';
import type { Router } from '../../runtime/router/router.ts';
import { findFailure, type Rule } from '../../runtime/router/rules.ts';
import type { Metrics } from '../../runtime/telemetry/metrics/metrics.ts';
import type { Spans } from '../../runtime/telemetry/spans.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import type { Store } from '../../runtime/store/store.ts';
import type { Command, Reply, Stored, TransactionEvent } from '../../kernel/coordinator/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import { partitionOf } from '../../kernel/hash.ts';

/** A coordinator partition that is led here. */
export interface CoordinatorTerm extends LocalTerm<Command, Reply> {
  readonly events: Events<TransactionEvent>;
}

export interface CoordinatorServices {
  readonly router: Router<CoordinatorTerm>;
  readonly view: Pick<ClusterView, 'service' | 'clusterId' | 'numbersAbove' | 'leader' | 'externals'>;
  readonly clock: Clock;
  /** Of the records of coordinator partitions, read for listings and replays. */
  readonly store: Pick<Store, 'get' | 'scan'>;
  readonly codec: Pick<RecordCodec<Stored>, 'decode'>;
  /** Type URLs of operations that only read. */
  readonly readOnlyTypes: ReadonlySet<string>;
  readonly spans: Spans;
  /** Absent: nobody counts. */
  readonly metrics?: Metrics | undefined;
  /** A new UUIDv7. */
  newId(): string;
}

/** How many partitions the coordinator has. @throws FailureError if this replica has seen none yet. */
export function coordinatorPartitions({ view }: CoordinatorServices): number {
  const service = view.service(COORDINATOR);
  if (service === undefined) throw new FailureError(noLeader(COORDINATOR, 0));
  return service.partitions;
}

/** Checks that there is such a participant with such a partition. @throws FailureError */
export function requireParticipant({ view }: CoordinatorServices, name: string, partition: number): void {
  const service = view.service(name);
  if (service === undefined || name === COORDINATOR)
    throw new FailureError({
      reason: 'UNKNOWN_PARTICIPANT',
      message: `no participant named "${name}" is known to this cluster`,
      metadata: { participant: name },
    });
  if (partition >= service.partitions)
    throw new FailureError(partitionMismatch(`${name} has ${service.partitions} partitions, there is no partition ${partition}`));
}

export function partitionMismatch(message: string): Failure {
  return { reason: 'PARTITION_MISMATCH', message: `${message}: the sender's partition map is not this cluster's` };
}

/** The coordinator partition that an id belongs to. */
export function partitionOfId(services: CoordinatorServices, transactionId: string): number {
  return partitionOf(transactionId, coordinatorPartitions(services));
}

/** @throws FailureError naming every field that breaks its rule. */
export function validate<T>(rule: Rule<T>, request: T): void {
  const failure = findFailure(rule, request);
  if (failure !== undefined) throw new FailureError(failure);
}

/** Steps one command at a term in this process, and takes the reply of the given type. @throws FailureError */
export function ask<Type extends Reply['type']>(
  { router }: CoordinatorServices,
  term: CoordinatorTerm,
  type: Type,
  context: CallContext,
  changes: boolean,
  make: (origin: Requester<Reply>) => Command,
  priority: Priority = 'work',
): Promise<Extract<Reply, { readonly type: Type }>> {
  return router.ask<Command, Reply, Type>(term, type, context, changes, make, { priority });
}
