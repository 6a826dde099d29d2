/** The plain calls of ParticipantService: between generated messages and the kernels'. */

import type { Failure } from '../../../kernel/failure.ts';
import type { BranchId, Mark, Prepare, ToCoordinator } from '../../../kernel/messages.ts';
import type {
  AbortRequest,
  BranchId as WireBranch,
  CommitRequest,
  PrepareRequest,
  PrepareResponse,
} from '../../../gen/txmesh/participant/v1/participant.ts';
import { statusToFailure } from '../../errors/status.ts';
import { toDuration, toTimestamp } from '../time.ts';
import { voteFromWire } from './frames.ts';

function branchToWire(branch: BranchId, clusterId: string): WireBranch {
  return { clusterId, ...branch };
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
