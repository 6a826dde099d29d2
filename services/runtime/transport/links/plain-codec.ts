/** The plain calls of ParticipantService: between generated messages and the kernels'. */

import type { Attempt } from '../../../kernel/attempt.ts';
import type { Failure, FieldViolation } from '../../../kernel/failure.ts';
import type { BranchId, Mark, OpaqueOperation, Prepare, ToCoordinator } from '../../../kernel/messages.ts';
import { isTransactionId } from '../../../kernel/transaction-id.ts';
import type { Attempt as WireAttempt } from '../../../gen/txmesh/common/v1/common.ts';
import type {
  AbortRequest,
  BranchId as WireBranch,
  CommitRequest,
  PrepareRequest,
  PrepareResponse,
} from '../../../gen/txmesh/participant/v1/participant.ts';
import { FailureError } from '../../errors/failure-error.ts';
import { statusToFailure } from '../../errors/status.ts';
import { durationMs, timestampMs, toDuration, toTimestamp } from '../time.ts';
import { voteFromWire } from './frames.ts';

export function branchToWire(branch: BranchId, clusterId: string): WireBranch {
  return { clusterId, ...branch };
}

/** @throws FailureError INVALID_FIELD, or FOREIGN_CLUSTER where the branch names another cluster. */
export function branchFromWire(branch: WireBranch | undefined, clusterId: string): BranchId {
  const violations: FieldViolation[] = [];
  if (branch === undefined) violations.push({ field: 'branch', description: 'must be set' });
  else {
    if (!isTransactionId(branch.transactionId))
      violations.push({ field: 'branch.transaction_id', description: 'must be a UUIDv7 in canonical form' });
    if (!isAttempt(branch.attempt))
      violations.push({ field: 'branch.attempt', description: 'must have an epoch and a counter above 0' });
    if (branch.participant === '') violations.push({ field: 'branch.participant', description: 'must be set' });
    if (branch.clusterId !== clusterId) throw new FailureError(foreignCluster(branch.clusterId, clusterId));
  }
  if (violations.length > 0 || branch === undefined)
    throw new FailureError({ reason: 'INVALID_FIELD', message: `the branch is not valid: ${violations[0]!.description}`, violations });
  const { transactionId, attempt, coordinatorPartition, participant, partition } = branch;
  return { transactionId, attempt: attempt!, coordinatorPartition, participant, partition };
}

export function foreignCluster(theirs: string, ours: string): Failure {
  return {
    reason: 'FOREIGN_CLUSTER',
    message: `the message comes from cluster ${JSON.stringify(theirs.slice(0, 64))}, this is ${ours}: connect to replicas of the same cluster`,
  };
}

export function prepareToWire(prepare: Prepare, clusterId: string, mark: Mark | undefined, nowMs: number): PrepareRequest {
  return {
    branch: branchToWire(prepare.branch, clusterId),
    operations: prepare.operations.map(({ typeUrl, value }) => ({ typeUrl, value })),
    firstTryTime: toTimestamp(prepare.firstTryMs),
    remaining: toDuration(Math.max(0, prepare.deadlineMs - nowMs)),
    readOnly: prepare.readOnly,
    workspaceAttempt: prepare.workspace?.attempt,
    enlistedEpoch: prepare.workspace?.epoch ?? 0,
    traceparent: prepare.trace ?? '',
    lowWaterMark: mark?.lowWaterMark,
  };
}

/** @throws FailureError as {@link branchFromWire}. */
export function prepareFromWire(request: PrepareRequest, clusterId: string, nowMs: number): Prepare {
  const { workspaceAttempt, traceparent } = request;
  return {
    type: 'prepare',
    branch: branchFromWire(request.branch, clusterId),
    // Copies: participants keep them, and views would keep the whole request.
    operations: request.operations.map(({ typeUrl, value }): OpaqueOperation => ({ typeUrl, value: Buffer.from(value) })),
    firstTryMs: request.firstTryTime === undefined ? 0 : timestampMs(request.firstTryTime),
    deadlineMs: nowMs + (request.remaining === undefined ? 0 : durationMs(request.remaining)),
    readOnly: request.readOnly,
    ...(isAttempt(workspaceAttempt) && { workspace: { attempt: workspaceAttempt, epoch: request.enlistedEpoch } }),
    ...(traceparent !== '' && { trace: traceparent }),
  };
}

/** The mark that a plain request carries, if it does. */
export function markFromWire(branch: BranchId, lowWaterMark: WireAttempt | undefined): Mark | undefined {
  if (lowWaterMark === undefined || lowWaterMark.epoch === 0) return undefined;
  return { coordinatorPartition: branch.coordinatorPartition, lowWaterMark };
}

export function outcomeToWire(
  branch: BranchId,
  trace: string | undefined,
  clusterId: string,
  mark: Mark | undefined,
): CommitRequest & AbortRequest {
  return { branch: branchToWire(branch, clusterId), traceparent: trace ?? '', lowWaterMark: mark?.lowWaterMark };
}

export function voteFromResponse(branch: BranchId, { vote, cause }: PrepareResponse): ToCoordinator {
  return { type: 'vote', branch, vote: voteFromWire(vote), ...(cause !== undefined && { cause: statusToFailure(cause) }) };
}

function isAttempt(attempt: WireAttempt | undefined): attempt is WireAttempt & Attempt {
  return attempt !== undefined && attempt.epoch > 0 && attempt.counter > 0;
}
