/** Rules of KeyValueService's requests, a table for each; see keyvalue.proto. */

import type { Operation, TransactionContext } from '../../gen/txmesh/common/v1/common.ts';
import {
  type BatchGetRequest,
  Consistency,
  type DeleteRequest,
  type ExecuteLocalRequest,
  type GetRequest,
  type KeyName,
  type ListVersionsRequest,
  MergePolicy,
  type Precondition,
  type PutRequest,
  type ScanRequest,
  type WatchRequest,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import {
  anything,
  attempt,
  both,
  bytesUpTo,
  duration,
  enumOf,
  list,
  message,
  notEmpty,
  optional,
  orEmpty,
  pageSize,
  pattern,
  required,
  routingKey,
  type Rule,
  serviceName,
  textUpTo,
  timestamp,
  transactionId,
  typeUrl,
  wholeNumber,
} from '../../runtime/router/rules.ts';

export const LIMITS = {
  valueBytes: 1024 * 1024,
  keyBytes: 1024,
  contentTypeBytes: 255,
  /** Operations of a local transaction. */
  localOperations: 120,
  /** Keys of a BatchGet. */
  keys: 1000,
} as const;

export const MAX_TIMEOUT_MS = 600_000;

export const collection: Rule<string> = pattern(
  /^[\w.-]{1,64}$/,
  "must be 1 to 64 characters of a-z, A-Z, 0-9, '_', '-' and '.'",
);

const noControlCharacters: Rule<string> = (value, path, found) => {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return found.add(path, `must not have control characters, has one at ${i}`);
  }
};

export const key: Rule<string> = both(notEmpty, textUpTo(LIMITS.keyBytes), noControlCharacters);

const contentType: Rule<string> = both(textUpTo(LIMITS.contentTypeBytes), noControlCharacters);

const transaction: Rule<TransactionContext> = message<TransactionContext>({
  transactionId,
  attempt: required(attempt),
});

const precondition: Rule<Precondition> = ({ condition }, path, found) => {
  if (condition === undefined) found.add(`${path}.condition`, 'must be set: any, absent or version');
  else if (condition.$case === 'version') {
    if (condition.value > BigInt(Number.MAX_SAFE_INTEGER)) found.add(`${path}.version`, 'must be below 2^53');
  } else if (!condition.value) found.add(`${path}.${condition.$case}`, 'must be true where it is set');
};

/** A three-way merge needs the version that it starts from. */
const baseOfMerge = ({ mergePolicy, precondition: required }: PutRequest, found: Violations): void => {
  if (mergePolicy === MergePolicy.JSON_THREE_WAY && required?.condition?.$case !== 'version')
    found.add('precondition.version', 'must name the base version for merge policy JSON_THREE_WAY');
};

type Violations = Parameters<Rule<unknown>>[2];

/** A write is either idempotent by its own id or by its transaction's. */
const oneIdentity = (request: PutRequest | DeleteRequest, found: Violations): void => {
  if (request.transaction !== undefined && request.requestId !== '')
    found.add('request_id', 'must be empty within a transaction');
};

export const getRequest: Rule<GetRequest> = both(
  message<GetRequest>({
    participant: serviceName,
    collection,
    key,
    consistency: enumOf(Consistency, Consistency.SERIALIZABLE),
    transaction: optional(transaction),
  }),
  (request, _, found) => {
    if (request.transaction !== undefined && request.consistency === Consistency.EVENTUAL)
      found.add('consistency', 'must be LINEARIZABLE, or left out, within a transaction');
  },
);

export const batchGetRequest: Rule<BatchGetRequest> = message<BatchGetRequest>({
  participant: serviceName,
  keys: list(1, LIMITS.keys, message<KeyName>({ collection, key })),
  consistency: enumOf(Consistency),
});

export const scanRequest = (pageToken: Rule<string>): Rule<ScanRequest> =>
  message<ScanRequest>({
    participant: serviceName,
    collection,
    prefix: both(textUpTo(LIMITS.keyBytes), noControlCharacters),
    pageSize,
    pageToken,
  });

export const putRequest: Rule<PutRequest> = both(
  message<PutRequest>({
    participant: serviceName,
    collection,
    key,
    value: bytesUpTo(LIMITS.valueBytes),
    contentType,
    precondition: optional(precondition),
    mergePolicy: enumOf(MergePolicy),
    requestId: orEmpty(transactionId),
    transaction: optional(transaction),
  }),
  (request, _, found) => {
    oneIdentity(request, found);
    baseOfMerge(request, found);
  },
);

export const deleteRequest: Rule<DeleteRequest> = both(
  message<DeleteRequest>({
    participant: serviceName,
    collection,
    key,
    precondition: optional(precondition),
    requestId: orEmpty(transactionId),
    transaction: optional(transaction),
  }),
  (request, _, found) => oneIdentity(request, found),
);

export const executeLocalRequest: Rule<ExecuteLocalRequest> = message<ExecuteLocalRequest>({
  transactionId,
  operations: list(
    1,
    LIMITS.localOperations,
    message<Operation>({
      participant: serviceName,
      routingKey,
      operation: required(message({ typeUrl, value: anything })),
    }),
  ),
  timeout: optional(duration(1, MAX_TIMEOUT_MS)),
  firstTryTime: optional(timestamp),
});

export const watchRequest = (partitions: number): Rule<WatchRequest> =>
  message<WatchRequest>({
    participant: serviceName,
    collection: orEmpty(collection),
    prefix: both(textUpTo(LIMITS.keyBytes), noControlCharacters),
    revisions: (revisions, path, found) => {
      list(
        0,
        partitions,
        message<WatchRequest['revisions'][number]>({
          partition: wholeNumber(0, partitions - 1),
          revision: wholeNumber(0, Number.MAX_SAFE_INTEGER),
        }),
      )(revisions, path, found);
      const seen = new Set<number>();
      revisions.forEach(({ partition }, i) => {
        if (seen.has(partition)) found.add(`${path}[${i}].partition`, `names partition ${partition} a second time`);
        seen.add(partition);
      });
    },
  });

export const listVersionsRequest: Rule<ListVersionsRequest> = message<ListVersionsRequest>({
  participant: serviceName,
  collection,
  key,
});
