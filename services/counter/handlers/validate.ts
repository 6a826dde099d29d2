/** Rules of CounterService's requests, a table for each; see counter.proto. */

import type { TransactionContext } from '../../gen/txmesh/common/v1/common.ts';
import {
  type AddRequest,
  type AddStreamRequest,
  type BatchAddRequest,
  type BatchGetRequest,
  type Bounds,
  type CompareAndSetRequest,
  type Component,
  Consistency,
  type CreateCounterRequest,
  type DeleteCounterRequest,
  type GetCounterRequest,
  type GetRatesRequest,
  type GetRequest,
  Kind,
  type ListCountersRequest,
  type MergeStateRequest,
  type ReplicatedState,
  type ResetRequest,
  type SessionAdd,
  type Token,
  type UpdateCounterRequest,
  type WatchRequest,
} from '../../gen/txmesh/counter/v1/counter.ts';
import { LIMITS as KERNEL_LIMITS } from '../../kernel/counter/types.ts';
import { MAX_INT64 } from '../../kernel/counter/int64.ts';
import { isTransactionId } from '../../kernel/transaction-id.ts';
import { MAX_AHEAD } from '../../kernel/sessions/types.ts';
import {
  anything,
  attempt,
  both,
  duration,
  enumOf,
  list,
  message,
  notEmpty,
  optional,
  orEmpty,
  pageSize,
  positive,
  required,
  textUpTo,
  traceparent,
  type Rule,
  serviceName,
  transactionId,
  wholeNumber,
} from '../../runtime/router/rules.ts';
import { counterName, noControlCharacters } from './names.ts';

export const LIMITS = {
  /** Adds of one message. */
  adds: 4_096,
  /** Counters of a BatchGet. */
  counters: 1_000,
  watched: 100,
  /** Replicated counters of a MergeState. */
  states: 1_000,
  maxAgeMs: 3_600_000,
} as const;

const LONGEST_REMAINING_MS = 365 * 86_400_000;

const participant: Rule<string> = orEmpty(serviceName);
const requestId: Rule<string> = orEmpty(transactionId);
const shards = wholeNumber(0, KERNEL_LIMITS.shards);

export const sessionId: Rule<string> = (value, path, found) => {
  if (!isTransactionId(value)) found.add(path, 'must be a UUIDv7 in canonical form: 36 lower-case characters');
};

const transaction: Rule<TransactionContext> = message<TransactionContext>({ transactionId, attempt: required(attempt) });

const bounds: Rule<Bounds> = ({ minimum, maximum }, path, found) => {
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) found.add(`${path}.minimum`, `is ${minimum}, above the maximum of ${maximum}`);
};

/** A session's sequences reach this far above what it has settled. */
function settled(settledBelow: number, sequence: number, path: string, found: Violations): void {
  if (settledBelow > sequence) found.add(path, `must be at least settled_below, ${settledBelow}, is ${sequence}`);
  else if (sequence - settledBelow > MAX_AHEAD)
    found.exceed(path, `is ${sequence - settledBelow} ahead of settled_below, the limit is ${MAX_AHEAD}`);
}

type Violations = Parameters<Rule<unknown>>[2];

const token: Rule<Token> = both(message<Token>({ session: sessionId, sequence: positive, settledBelow: positive }), (value, path, found) =>
  settled(value.settledBelow, value.sequence, `${path}.sequence`, found),
);

export const createCounterRequest: Rule<CreateCounterRequest> = both(
  message<CreateCounterRequest>({
    participant,
    counter: counterName,
    kind: enumOf(Kind, Kind.UNSPECIFIED),
    bounds: optional(bounds),
    initialValue: anything,
    shards,
    requestId,
  }),
  (request, _, found) => {
    const strong = request.kind === Kind.STRONG;
    if (!strong && (request.bounds?.minimum !== undefined || request.bounds?.maximum !== undefined))
      found.add('bounds', 'are for strong counters only: of the other kinds no place knows the value, so nobody could hold them');
    if (!strong && request.initialValue !== 0n) found.add('initial_value', 'is for strong counters only; add it instead');
    if (request.kind !== Kind.SHARDED && request.shards !== 0) found.add('shards', 'are for sharded counters only');
  },
);

export const updateCounterRequest: Rule<UpdateCounterRequest> = both(
  message<UpdateCounterRequest>({ participant, counter: counterName, bounds: optional(bounds), shards, requestId }),
  (request, _, found) => {
    if (request.bounds === undefined && request.shards === 0) found.add('bounds', 'or shards must be set: there is nothing to change');
  },
);

export const getCounterRequest: Rule<GetCounterRequest> = message<GetCounterRequest>({ participant, counter: counterName });

export const deleteCounterRequest: Rule<DeleteCounterRequest> = message<DeleteCounterRequest>({ participant, counter: counterName, requestId });

export const listCountersRequest = (pageToken: Rule<string>): Rule<ListCountersRequest> =>
  message<ListCountersRequest>({ participant, prefix: both(textUpTo(KERNEL_LIMITS.nameBytes), noControlCharacters), pageSize, pageToken });

export const addRequest: Rule<AddRequest> = both(
  message<AddRequest>({ participant, counter: counterName, amount: anything, token: optional(token), transaction: optional(transaction) }),
  (request, _, found) => {
    if (request.transaction !== undefined && request.token !== undefined) found.add('token', 'must be absent within a transaction, which counts once itself');
  },
);

/** What most messages are: right, and found to be so with no path put together. False: look closer. */
function arePlain(adds: readonly SessionAdd[], settledBelow: number | undefined): boolean {
  if (adds.length > LIMITS.adds || adds[0]?.counter === '') return false;
  let last = settledBelow === undefined ? 0 : settledBelow - 1;
  const most = settledBelow === undefined ? Number.MAX_SAFE_INTEGER : settledBelow + MAX_AHEAD;
  for (const { sequence, counter } of adds) {
    if (sequence <= last || sequence > most || (counter !== '' && !PLAIN_NAME.test(counter))) return false;
    last = sequence;
  }
  return true;
}

const PLAIN_NAME = /^[\x20-\x7e]{1,256}$/;

/** Adds of one message: the first one names its counter, and sequences differ. */
const sessionAdds = (least: number, settledBelow: number | undefined): Rule<readonly SessionAdd[]> => {
  const each: Rule<SessionAdd> = message<SessionAdd>({ sequence: positive, counter: orEmpty(counterName), amount: anything });
  return (adds, path, found) => {
    if (adds.length >= least && arePlain(adds, settledBelow)) return;
    list(least, LIMITS.adds, each)(adds, path, found);
    if (adds.length > LIMITS.adds) return;
    if (adds[0]?.counter === '') notEmpty('', `${path}[0].counter`, found);
    const seen = new Set<number>();
    adds.forEach(({ sequence }, i) => {
      if (seen.has(sequence)) found.add(`${path}[${i}].sequence`, `is ${sequence} a second time`);
      seen.add(sequence);
      if (settledBelow !== undefined) settled(settledBelow, sequence, `${path}[${i}].sequence`, found);
    });
  };
};

export const batchAddRequest: Rule<BatchAddRequest> = (request, path, found) => {
  const own = request.session === '';
  message<BatchAddRequest>({
    participant,
    session: orEmpty(sessionId),
    settledBelow: own ? anything : positive,
    adds: sessionAdds(1, own ? undefined : request.settledBelow),
  })(request, path, found);
};

export const addStreamRequest: Rule<AddStreamRequest> = (request, path, found) => {
  message<AddStreamRequest>({
    participant,
    session: sessionId,
    settledBelow: positive,
    adds: sessionAdds(0, request.settledBelow),
    remaining: optional(duration(0, LONGEST_REMAINING_MS)),
    traceparent,
  })(request, path, found);
};

const maxAge = optional(duration(0, LIMITS.maxAgeMs));

export const getRequest: Rule<GetRequest> = both(
  message<GetRequest>({ participant, counter: counterName, consistency: enumOf(Consistency), maxAge, transaction: optional(transaction) }),
  (request, _, found) => {
    if (request.transaction !== undefined && request.consistency === Consistency.EVENTUAL)
      found.add('consistency', 'must be LINEARIZABLE, or left out, within a transaction');
  },
);

export const batchGetRequest: Rule<BatchGetRequest> = message<BatchGetRequest>({
  participant,
  counters: list(1, LIMITS.counters, counterName),
  consistency: enumOf(Consistency),
  maxAge,
});

export const compareAndSetRequest: Rule<CompareAndSetRequest> = message<CompareAndSetRequest>({
  participant,
  counter: counterName,
  expected: anything,
  value: anything,
  requestId,
});

export const resetRequest: Rule<ResetRequest> = message<ResetRequest>({ participant, counter: counterName, value: anything, requestId });

export const watchRequest: Rule<WatchRequest> = message<WatchRequest>({ participant, counters: list(1, LIMITS.watched, counterName) });

export const getRatesRequest: Rule<GetRatesRequest> = message<GetRatesRequest>({ participant, counter: counterName });

const sum: Rule<bigint> = (value, path, found) => {
  if (value > MAX_INT64) found.add(path, `is ${value}; must be below 2^63`);
};

const component: Rule<Component> = message<Component>({
  clusterId: both(notEmpty, textUpTo(64)),
  partition: wholeNumber(0, 0xffff),
  added: sum,
  subtracted: sum,
});

const components: Rule<readonly Component[]> = (values, path, found) => {
  list(0, KERNEL_LIMITS.components, component)(values, path, found);
  const seen = new Set<string>();
  values.forEach(({ clusterId, partition }, i) => {
    const name = `${partition}/${clusterId}`;
    if (seen.has(name)) found.add(`${path}[${i}]`, `names partition ${partition} of cluster ${clusterId} a second time`);
    seen.add(name);
  });
};

export const replicatedState: Rule<ReplicatedState> = message<ReplicatedState>({ counter: counterName, components });

export const mergeStateRequest: Rule<MergeStateRequest> = message<MergeStateRequest>({
  participant,
  states: list(1, LIMITS.states, replicatedState),
});
