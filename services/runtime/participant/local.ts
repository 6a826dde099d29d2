/** Changes at one partition: local transactions (invariant K6), and work of interactive transactions. */

import { partitionOf } from '../../kernel/hash.ts';
import type { BranchId, OpaqueOperation } from '../../kernel/messages.ts';
import type { ResourceTypes } from '../../kernel/participant/types.ts';
import { idTimeMs } from '../../kernel/transaction-id.ts';
import type { Service } from '../cluster/view.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { Method } from '../transport/channels.ts';
import type { CallContext } from '../transport/service.ts';
import { durationMs, timestampMs } from '../transport/time.ts';
import { ask, serviceOfKind, waitUntilMs, type ParticipantServices, type ParticipantTerm } from './service.ts';

/** A local transaction. */
export interface Local<Operation> {
  /** UUIDv7; the same one again gets the same outcome. */
  readonly transactionId: string;
  readonly operations: readonly Operation[];
  /** Longest wait for locks, milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** Age in lock conflicts, milliseconds since 1970. Undefined: of the id. */
  readonly firstTryMs?: number | undefined;
}

/** Runs a local transaction at its partition's term in this process: the revision after it. @throws FailureError */
export async function runLocal<T extends ResourceTypes, Event>(
  services: Pick<ParticipantServices<T, Event>, 'router' | 'kind' | 'clock'>,
  term: ParticipantTerm<T, Event>,
  { transactionId, operations, timeoutMs, firstTryMs }: Local<T['operation']>,
  context: CallContext,
): Promise<number> {
  const { revision } = await askDone(services, term, context, (origin) => ({
    type: 'local',
    origin,
    transactionId,
    fingerprint: services.kind.fingerprintOf(operations),
    operations,
    firstTryMs: firstTryMs ?? idTimeMs(transactionId),
    deadlineMs: waitUntilMs(services, context, timeoutMs),
  }));
  return revision;
}

/** Stages operations of an interactive transaction at the branch's term in this process. @throws FailureError */
export async function stageWork<T extends ResourceTypes, Event>(
  services: Pick<ParticipantServices<T, Event>, 'router' | 'clock'>,
  term: ParticipantTerm<T, Event>,
  branch: BranchId,
  operations: readonly T['operation'][],
  context: CallContext,
): Promise<number> {
  const deadlineMs = waitUntilMs(services, context);
  const { revision } = await askDone(services, term, context, (origin) => ({ type: 'work', origin, branch, operations, deadlineMs }));
  return revision;
}

/** `done` is the same for every kind, which the compiler can't see of one that is not known yet. */
function askDone<T extends ResourceTypes, Event>(
  services: Pick<ParticipantServices<T, Event>, 'router'>,
  term: ParticipantTerm<T, Event>,
  context: CallContext,
  make: Parameters<typeof ask<T, Event, 'done'>>[5],
): Promise<{ readonly revision: number }> {
  return ask<T, Event, 'done'>(services, term, 'done', context, true, make) as Promise<{ readonly revision: number }>;
}

/** Of every request for a local transaction; its form was found right. */
export interface LocalRequest {
  readonly transactionId: string;
  /** At least one. */
  readonly operations: readonly {
    readonly participant: string;
    readonly routingKey: string;
    readonly operation?: OpaqueOperation | undefined;
  }[];
  readonly timeout?: Parameters<typeof durationMs>[0] | undefined;
  readonly firstTryTime?: Parameters<typeof timestampMs>[0] | undefined;
}

/** Serves a request for a local transaction where its partition is led. @throws FailureError */
export async function executeLocal<T extends ResourceTypes, Event, Request extends LocalRequest>(
  services: Pick<ParticipantServices<T, Event>, 'router' | 'view' | 'kind' | 'clock'>,
  method: Method<Request, { revision: number }>,
  request: Request,
  context: CallContext,
): Promise<{ revision: number }> {
  services.router.requireRoom();
  const { kind } = services;
  const { transactionId, timeout, firstTryTime } = request;
  const service = serviceOfKind(services, request.operations[0]!.participant);
  const partition = onePartition(service, request.operations);
  const operations = kind.decodeOperations(request.operations.map(({ operation }) => operation!));
  if ('reason' in operations) throw new FailureError(operations);
  const misplaced = kind.misplaced(operations, service, partition);
  if (misplaced !== undefined) throw new FailureError(misplaced);
  const local: Local<T['operation']> = {
    transactionId,
    operations,
    timeoutMs: timeout && durationMs(timeout),
    firstTryMs: firstTryTime && timestampMs(firstTryTime),
  };
  const route = { service: service.name, partition, method, request, context, changes: true };
  return services.router.unary(route, async (term) => ({ revision: await runLocal(services, term, local, context) }));
}

/** The partition that all operations belong to. @throws FailureError */
function onePartition({ name, partitions }: Service, operations: LocalRequest['operations']): number {
  const partition = partitionOf(operations[0]!.routingKey, partitions);
  operations.forEach(({ participant, routingKey }, i) => {
    if (participant === name && partitionOf(routingKey, partitions) === partition) return;
    const description = `belongs to another partition than operations[0]: a local transaction has one; use CoordinatorService.Execute`;
    throw new FailureError({
      reason: 'WRONG_PARTITION',
      message: `operations[${i}] ${description}`,
      violations: [{ field: `operations[${i}]`, description }],
    });
  });
  return partition;
}
