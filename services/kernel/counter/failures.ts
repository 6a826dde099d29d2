/** What counters refuse, and what to do about it. */

import type { Failure } from '../failure.ts';
import type { Reservation } from './escrow.ts';
import { MAX_SLOT } from './int64.ts';
import { type Bounds, type CounterKind, LIMITS } from './types.ts';

const CHANGING_RETRY_MS = 50;

export function notFound(participant: string, name: string): Failure {
  return {
    reason: 'COUNTER_NOT_FOUND',
    message: `${participant} has no counter "${name}"; create it with CreateCounter`,
    metadata: { participant, counter: name },
  };
}

export function exists(name: string, kind: CounterKind): Failure {
  return {
    reason: 'COUNTER_EXISTS',
    message: `counter "${name}" exists already, and is ${kind}; use it, or delete it first`,
    metadata: { counter: name, kind },
  };
}

/** @param what what was asked for: "can't be set" */
export function wrongKind(name: string, kind: CounterKind, what: string): Failure {
  return {
    reason: 'COUNTER_KIND',
    message: `counter "${name}" is ${kind} and ${what}; create one of another kind for that`,
    metadata: { counter: name, kind },
  };
}

export function overflow(name: string, amount: bigint, kind: CounterKind): Failure {
  const limit = kind === 'sharded' ? `a slot of a sharded counter holds at most ${MAX_SLOT}, so that the sum keeps to 64 bits` : 'values have 64 bits';
  return {
    reason: 'COUNTER_OVERFLOW',
    message: `adding ${amount} to counter "${name}" would pass its range, counting what transactions have reserved: ${limit}; count in larger units`,
    metadata: { counter: name, amount: String(amount) },
  };
}

export function boundExceeded(name: string, amount: bigint, left: bigint, value: bigint, bounds: Bounds, held: Reservation | undefined): Failure {
  const [bound, limit] = amount > 0n ? ['maximum', bounds.maximum!] : ['minimum', bounds.minimum!];
  const reserved = (amount > 0n ? held?.added : held?.subtracted) ?? 0n;
  return {
    reason: 'BOUND_EXCEEDED',
    message:
      `adding ${amount} to counter "${name}" would pass its ${bound}, ${limit}: the value is ${value}, ` +
      `transactions under way have reserved ${reserved}, so ${leftOver(amount, left)}`,
    metadata: { counter: name, left: String(left), value: String(value), reserved: String(reserved), [bound]: String(limit) },
  };
}

/** The answer to a retry of an add that was refused. */
export function refusedBefore(name: string, amount: bigint, left: bigint): Failure {
  return {
    reason: 'BOUND_EXCEEDED',
    message: `adding ${amount} to counter "${name}" was refused under this token: ${leftOver(amount, left)}; a new try takes a new token`,
    metadata: { counter: name, left: String(left) },
  };
}

function leftOver(amount: bigint, left: bigint): string {
  return left === 0n ? 'nothing is left' : `at most ${left < 0n ? -left : left} ${amount > 0n ? 'can be added' : 'can be taken'}`;
}

export function outsideBounds(name: string, value: bigint, { minimum, maximum }: Bounds): Failure {
  const range = `from ${minimum ?? 'the lowest 64-bit integer'} to ${maximum ?? 'the highest 64-bit integer'}`;
  return {
    reason: 'BOUND_EXCEEDED',
    message: `${value} is outside of the bounds of counter "${name}", which are ${range}`,
    metadata: { counter: name, value: String(value), ...(minimum !== undefined && { minimum: String(minimum) }), ...(maximum !== undefined && { maximum: String(maximum) }) },
  };
}

export function otherValue(name: string, expected: bigint, value: bigint): Failure {
  return {
    reason: 'PRECONDITION_FAILED',
    message: `counter "${name}" has ${value}, not ${expected}; decide anew with that`,
    metadata: { counter: name, expected: String(expected), value: String(value) },
  };
}

export function changing(name: string, what: string): Failure {
  return {
    reason: 'COUNTER_CHANGING',
    message: `${what} of counter "${name}"; try again with the same token or request id`,
    metadata: { counter: name },
    retryAfterMs: CHANGING_RETRY_MS,
  };
}

export function tokenReused(session: string, sequence: number): Failure {
  return {
    reason: 'TOKEN_REUSED',
    message: `token ${sequence} of session ${session} was used for another counter or amount; a new add takes a new sequence`,
    metadata: { session, sequence: String(sequence) },
  };
}

export function tooManyEvents(count: number): Failure {
  return {
    reason: 'OVERLOADED',
    message: `${count} batches of adds to queued counters wait to be rolled up at this partition; try again later`,
    retryAfterMs: 200,
  };
}

export function tooManyComponents(name: string): Failure {
  const limit = LIMITS.components;
  return {
    reason: 'LIMIT_EXCEEDED',
    message: `replicated counter "${name}" would be counted at more than ${limit} partitions of clusters, the limit; merge with fewer clusters`,
    metadata: { counter: name, limit: String(limit) },
  };
}

export function tooMany(what: string, count: number, limit: number): Failure {
  return { reason: 'LIMIT_EXCEEDED', message: `${what} ${count}; at most ${limit} are allowed` };
}
