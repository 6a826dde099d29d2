/** What operations of a branch come to, under their locks; see {@link CounterEffect}. */

import type { Failure } from '../failure.ts';
import type { Evaluation } from '../participant/resource.ts';
import type { CounterEntry } from './entry.ts';
import { boundExceeded, changing, exists, notFound, otherValue, outsideBounds, overflow, tooMany, tooManyEvents, wrongKind } from './failures.ts';
import { isInt64 } from './int64.ts';
import { type Bounds, type CounterChange, type CounterEffect, type CounterOperation, LIMITS } from './types.ts';

/** What operations are evaluated against. */
export interface CounterState {
  readonly participant: string;
  find(name: string): CounterEntry | undefined;
  /** Whether adds of transactions belong here. */
  isHome(name: string): boolean;
  /** How much of the amount could be added, by a transaction, on top of what is prepared. */
  fitting(entry: CounterEntry, amount: bigint): bigint;
  /** Why adds to queued counters are not taken at the moment, if so. */
  readonly eventsRefused: number | undefined;
  refusalOfAdd(entry: CounterEntry, amount: bigint, left: bigint): Failure;
  isSettled(entry: CounterEntry): boolean;
}

/** A limit that the operations break, whatever is stored. */
export function checkOperations(operations: readonly CounterOperation[]): Failure | undefined {
  if (operations.length > LIMITS.operations) return tooMany('the number of operations of a branch at one partition is', operations.length, LIMITS.operations);
  let configurations = 0;
  for (const { type } of operations) if (type !== 'add' && type !== 'check') configurations++;
  if (configurations > LIMITS.configurations) return tooMany('the number of configurations in a branch is', configurations, LIMITS.configurations);
  if (operations.length <= LIMITS.counters) return undefined;
  const names = new Set(operations.map(({ name }) => name));
  return names.size > LIMITS.counters ? tooMany('the number of counters of a branch at one partition is', names.size, LIMITS.counters) : undefined;
}

export function evaluateOperations(operations: readonly CounterOperation[], state: CounterState, nowMs: number): Evaluation<CounterEffect> {
  const failure = checkOperations(operations);
  if (failure !== undefined) return { type: 'refusal', failure };
  const changes = new Map<string, CounterChange>();
  for (const operation of operations) {
    const change = evaluate(operation, changes.get(operation.name), state, nowMs);
    if ('reason' in change) return { type: 'refusal', failure: change };
    changes.set(change.name, change);
  }
  for (const change of changes.values()) {
    const refusal = change.type === 'add' ? refusalOf(change.name, change.amount, state) : undefined;
    if (refusal !== undefined) return { type: 'refusal', failure: refusal };
  }
  return { type: 'effect', effect: { changes: [...changes.values()] } };
}

/** @param before what the operations before it do to the counter */
function evaluate(operation: CounterOperation, before: CounterChange | undefined, state: CounterState, nowMs: number): CounterChange | Failure {
  const { name } = operation;
  const entry = state.find(name);
  if (operation.type === 'create') {
    if (before !== undefined) return mixed(name);
    if (entry !== undefined) return exists(name, entry.kind);
    return isWithin(operation.value, operation.bounds) ? { ...operation, createMs: nowMs } : outsideBounds(name, operation.value, operation.bounds);
  }
  if (entry === undefined) return notFound(state.participant, name);
  switch (operation.type) {
    case 'add': {
      if (!state.isHome(name)) return awayFromHome(name);
      if (before !== undefined && before.type !== 'add' && before.type !== 'check') return mixed(name);
      const amount = operation.amount + (before?.type === 'add' ? before.amount : 0n);
      return { type: 'add', name, amount, exclusive: before !== undefined && isExclusive(before) };
    }
    case 'check': {
      if (entry.kind !== 'strong') return wrongKind(name, entry.kind, "can't be checked");
      if (entry.value !== operation.value) return otherValue(name, operation.value, entry.value);
      if (before === undefined) return { type: 'check', name };
      return before.type === 'add' ? { ...before, exclusive: true } : mixed(name);
    }
    case 'set': {
      if (before !== undefined) return mixed(name);
      if (entry.kind !== 'strong') return wrongKind(name, entry.kind, "can't be set");
      if (operation.expected !== undefined && operation.expected !== entry.value) return otherValue(name, operation.expected, entry.value);
      return isWithin(operation.value, entry.bounds) ? { type: 'set', name, value: operation.value } : outsideBounds(name, operation.value, entry.bounds);
    }
    case 'update': {
      if (before !== undefined) return mixed(name);
      const { bounds, shards } = operation;
      if (bounds !== undefined && entry.kind !== 'strong') return wrongKind(name, entry.kind, "can't have bounds: no place knows its value");
      if (bounds !== undefined && !isWithin(entry.value, bounds)) return outsideBounds(name, entry.value, bounds);
      if (shards !== 0 && entry.kind !== 'sharded') return wrongKind(name, entry.kind, 'has no shards');
      if (shards !== 0 && !state.isSettled(entry)) return changing(name, 'slots still move since the last change of shards');
      return operation;
    }
    case 'delete':
      return before === undefined ? operation : mixed(name);
  }
}

function refusalOf(name: string, amount: bigint, state: CounterState): Failure | undefined {
  const entry = state.find(name)!;
  if (!isInt64(amount)) return overflow(name, amount, entry.kind);
  if (entry.kind === 'queued' && state.eventsRefused !== undefined) return tooManyEvents(state.eventsRefused);
  const left = state.fitting(entry, amount);
  return left === amount ? undefined : state.refusalOfAdd(entry, amount, left);
}

export function isWithin(value: bigint, { minimum, maximum }: Bounds): boolean {
  return (minimum === undefined || value >= minimum) && (maximum === undefined || value <= maximum);
}

/** All but plain adds have the counter for themselves from prepare to outcome. */
export function isExclusive(change: CounterChange): boolean {
  return change.type !== 'add' || change.exclusive;
}

/** Whether direct adds can't go on while it is prepared: a change of shards leaves them where they are. */
export function stopsAdds(change: CounterChange): boolean {
  return change.type === 'update' ? change.bounds !== undefined : isExclusive(change);
}

/** Why an add that does not fit is refused: a bound, or the range of the counter. */
export function refusalOfAdd(entry: CounterEntry, amount: bigint, left: bigint, held: Parameters<typeof boundExceeded>[5]): Failure {
  const { name, kind, bounds, value } = entry;
  const bounded = kind === 'strong' && (amount > 0n ? bounds.maximum : bounds.minimum) !== undefined;
  return bounded ? boundExceeded(name, amount, left, value, bounds, held) : overflow(name, amount, kind);
}

function mixed(name: string): Failure {
  const message = `one branch changes counter "${name}" in ways that don't go together; make them transactions of their own`;
  return { reason: 'INVALID_FIELD', message, violations: [{ field: 'operations', description: message }] };
}

function awayFromHome(name: string): Failure {
  return { reason: 'WRONG_PARTITION', message: `transactions add to counter "${name}" at the partition of its name; give the name as the operation's routing key` };
}
