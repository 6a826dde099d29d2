/** Rules of CoordinatorService's requests, a table for each; see coordinator.proto. */

import type { Operation } from '../../gen/txmesh/common/v1/common.ts';
import {
  type AbortTransactionRequest,
  type BeginTransactionRequest,
  type CommitTransactionRequest,
  type EnlistRequest,
  type ExecuteCall,
  type ExecuteRequest,
  type GetTransactionRequest,
  Heuristic,
  type InquireRequest,
  type ListTransactionsRequest,
  Mode,
  type RetryTransactionRequest,
  type ResolveTransactionRequest,
  State,
  type WatchTransactionsRequest,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { isTransactionId } from '../../kernel/transaction-id.ts';
import {
  anything,
  attempt,
  duration,
  enumOf,
  isDuration,
  isTimestamp,
  list,
  message,
  optional,
  orEmpty,
  pageSize,
  partitionNumber,
  positive,
  required,
  routingKey,
  type Rule,
  serviceName,
  timestamp,
  traceparent,
  transactionId,
  typeUrl,
  utf8Exceeds,
  wholeNumber,
  MAX_ROUTING_KEY_BYTES,
  MAX_TRACEPARENT_BYTES,
  MAX_TYPE_URL_BYTES,
} from '../../runtime/router/rules.ts';
import { durationMs } from '../../runtime/transport/time.ts';

/** Limits of one transaction. */
export const LIMITS = {
  operations: 4096,
  branches: 128,
  /** Of a branch's operations, encoded. */
  branchBytes: 1024 * 1024,
  /** In one message of an ExecuteStream. */
  calls: 4096,
} as const;

export const MIN_TIMEOUT_MS = 1;
export const MAX_TIMEOUT_MS = 600_000;
const timeout = duration(MIN_TIMEOUT_MS, MAX_TIMEOUT_MS);
const mode: Rule<Mode> = enumOf(Mode);

const operation: Rule<Operation> = message<Operation>({
  participant: serviceName,
  routingKey,
  operation: required(message({ typeUrl, value: anything })),
});

export const executeRequest: Rule<ExecuteRequest> = message<ExecuteRequest>({
  transactionId: orEmpty(transactionId),
  operations: list(1, LIMITS.operations, operation),
  timeout: optional(timeout),
  firstTryTime: optional(timestamp),
  mode,
});

/**
 * Whether {@link executeRequest} surely finds nothing wrong, told without making any text. Names of
 * participants are left to the look-up, which knows no wrong one.
 */
export function isPlainExecute(request: ExecuteRequest): boolean {
  const { operations } = request;
  if (request.transactionId !== '' && !isTransactionId(request.transactionId)) return false;
  if (operations.length === 0 || operations.length > LIMITS.operations) return false;
  if (request.mode !== Mode.UNSPECIFIED && request.mode !== Mode.TWO_PHASE_COMMIT) return false;
  if (request.timeout !== undefined && !isTimeout(request.timeout)) return false;
  if (request.firstTryTime !== undefined && !isTimestamp(request.firstTryTime)) return false;
  for (const { routingKey: key, operation: any } of operations) {
    if (key === '' || utf8Exceeds(key, MAX_ROUTING_KEY_BYTES)) return false;
    if (any === undefined || !isKnownForm(any.typeUrl)) return false;
  }
  return true;
}

function isTimeout(value: NonNullable<ExecuteRequest['timeout']>): boolean {
  const ms = durationMs(value);
  return isDuration(value) && ms >= MIN_TIMEOUT_MS && ms <= MAX_TIMEOUT_MS;
}

/** As {@link isPlainExecute}, for a call in a stream. */
export function isPlainCall({ request, remaining, traceparent: trace }: ExecuteCall): boolean {
  if (request === undefined || trace.length > MAX_TRACEPARENT_BYTES / 3) return false;
  return (remaining === undefined || isDuration(remaining)) && isPlainExecute(request);
}

/** Type URLs that were found right: few, and seen again and again. */
const knownForms = new Set<string>();

function isKnownForm(url: string): boolean {
  if (knownForms.has(url)) return true;
  if (url.length > MAX_TYPE_URL_BYTES || !/^[\w.]*\/[A-Za-z_][\w.]*$/.test(url)) return false;
  if (knownForms.size >= 256) knownForms.clear();
  knownForms.add(url);
  return true;
}

export const executeCall: Rule<ExecuteCall> = message<ExecuteCall>({
  sequence: anything,
  request: required(executeRequest),
  traceparent,
  // Zero or less is a deadline that has passed.
  remaining: optional(duration(-Infinity, Infinity)),
});

export const beginRequest: Rule<BeginTransactionRequest> = message<BeginTransactionRequest>({
  transactionId: orEmpty(transactionId),
  timeout: optional(timeout),
  firstTryTime: optional(timestamp),
  mode,
});

export const enlistRequest: Rule<EnlistRequest> = message<EnlistRequest>({
  transactionId,
  attempt: required(attempt),
  participant: serviceName,
  partition: partitionNumber,
  epoch: positive,
});

export const commitRequest: Rule<CommitTransactionRequest> = message<CommitTransactionRequest>({
  transactionId,
  attempt: required(attempt),
});

export const abortRequest: Rule<AbortTransactionRequest> = message<AbortTransactionRequest>({ transactionId });

export const getRequest: Rule<GetTransactionRequest> = message<GetTransactionRequest>({ transactionId });

export const retryRequest: Rule<RetryTransactionRequest> = message<RetryTransactionRequest>({ transactionId });

export const listRequest = (pageToken: Rule<string>): Rule<ListTransactionsRequest> =>
  message<ListTransactionsRequest>({
    states: list(0, 16, enumOf(State, State.UNSPECIFIED)),
    pageSize,
    pageToken,
  });

export const watchRequest = (partitions: number): Rule<WatchTransactionsRequest> =>
  message<WatchTransactionsRequest>({
    transactionId: orEmpty(transactionId),
    positions: (positions, path, found) => {
      list(
        0,
        partitions,
        message<WatchTransactionsRequest['positions'][number]>({
          partition: wholeNumber(0, partitions - 1),
          sequence: wholeNumber(0, Number.MAX_SAFE_INTEGER),
        }),
      )(positions, path, found);
      const seen = new Set<number>();
      positions.forEach(({ partition }, i) => {
        if (seen.has(partition)) found.add(`${path}[${i}].partition`, `names partition ${partition} a second time`);
        seen.add(partition);
      });
    },
    fromStart: anything,
  });

export const resolveRequest: Rule<ResolveTransactionRequest> = message<ResolveTransactionRequest>({
  transactionId,
  participant: serviceName,
  partition: partitionNumber,
  outcome: enumOf(Heuristic, Heuristic.UNSPECIFIED),
});

export const inquireRequest: Rule<InquireRequest> = message<InquireRequest>({
  transactionId,
  attempt: required(attempt),
  coordinatorPartition: partitionNumber,
  participant: serviceName,
  partition: partitionNumber,
});

