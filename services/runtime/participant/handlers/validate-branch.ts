/** Rules of ParticipantService's unary requests, a table for each; see participant.proto. */

import {
  type AbortRequest,
  type BranchId,
  type CommitRequest,
  HeuristicOutcome,
  type ListPreparedRequest,
  type PrepareRequest,
  type ResolveRequest,
} from '../../../gen/txmesh/participant/v1/participant.ts';
import {
  anything,
  attempt,
  duration,
  enumOf,
  list,
  message,
  notEmpty,
  optional,
  pageSize,
  partitionNumber,
  required,
  type Rule,
  serviceName,
  timestamp,
  traceparent,
  transactionId,
  typeUrl,
  wholeNumber,
} from '../../router/rules.ts';

/** Operations of a branch at most: what a coordinator takes for a whole transaction. */
const MAX_OPERATIONS = 4096;

const branch = (attemptRule: Rule<BranchId['attempt']>): Rule<BranchId> =>
  message<BranchId>({
    clusterId: notEmpty,
    transactionId,
    attempt: attemptRule,
    coordinatorPartition: partitionNumber,
    participant: serviceName,
    partition: partitionNumber,
  });

const oneAttempt = required(branch(required(attempt)));

const plainPrepare: Rule<PrepareRequest> = message<PrepareRequest>({
  branch: oneAttempt,
  operations: list(0, MAX_OPERATIONS, message({ typeUrl, value: anything })),
  firstTryTime: optional(timestamp),
  // Zero or less is no time to wait.
  remaining: optional(duration(-Infinity, Infinity)),
  readOnly: anything,
  workspaceAttempt: optional(attempt),
  enlistedEpoch: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  traceparent,
  lowWaterMark: optional(attempt),
});

export const prepareRequest: Rule<PrepareRequest> = (request, path, found) => {
  plainPrepare(request, path, found);
  const { workspaceAttempt, operations, enlistedEpoch } = request;
  if (workspaceAttempt === undefined) {
    if (operations.length === 0) found.add('operations', 'must have at least 1 element');
    if (enlistedEpoch !== 0) found.add('enlisted_epoch', 'must be 0 without workspace_attempt');
  } else {
    if (operations.length > 0) found.add('operations', 'must be empty with workspace_attempt');
    if (enlistedEpoch === 0) found.add('enlisted_epoch', 'must be set with workspace_attempt');
  }
};

const outcome = { branch: oneAttempt, traceparent, lowWaterMark: optional(attempt) };

export const commitRequest: Rule<CommitRequest> = message<CommitRequest>(outcome);

export const abortRequest: Rule<AbortRequest> = message<AbortRequest>(outcome);

export const listPreparedRequest = (pageToken: Rule<string>): Rule<ListPreparedRequest> =>
  message<ListPreparedRequest>({ participant: serviceName, pageSize, pageToken });

export const resolveRequest: Rule<ResolveRequest> = message<ResolveRequest>({
  branch: required(branch(optional(attempt))),
  outcome: enumOf(HeuristicOutcome, HeuristicOutcome.UNSPECIFIED),
});
