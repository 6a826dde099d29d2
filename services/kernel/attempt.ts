/**
 * Attempts: one start of a transaction at its coordinator partition. Totally ordered within a
 * coordinator partition, by epoch, then counter; never repeated (invariant T5).
 */

export interface Attempt {
  /** Epoch of the coordinator partition's leader. Positive. */
  readonly epoch: number;
  /** Position within the epoch. Positive. */
  readonly counter: number;
}

/** Negative, zero or positive as `a` is older than, the same as or newer than `b`. */
export function compareAttempts(a: Attempt, b: Attempt): number {
  return a.epoch - b.epoch || a.counter - b.counter;
}

/** 14 and 11 hexadecimal digits: the order of the keys is the order of the attempts. */
export function attemptKey(attempt: Attempt): string {
  return `${attempt.epoch.toString(16).padStart(14, '0')}-${attempt.counter.toString(16).padStart(11, '0')}`;
}
