/** How long a call may still take, its caller's signal, and the connection's end, in one. */

import type { Clock, Timer } from '../runtime/clock.ts';
import { cancelled, closedError, deadlineExceeded } from './errors.ts';
import { checkedTimeoutMs, type CallOptions, type Environment } from './options.ts';

/** Of the time left, what is kept back for hearing a server's answer: a tenth, at most this, milliseconds. */
const ANSWER_MS = 1_000;

/**
 * What a server is told of the time that a call has left, milliseconds: a little less, so that the
 * outcome of a transaction that ran out of time still arrives.
 */
export function toldRemainingMs(leftMs: number): number {
  return Math.max(1, Math.ceil(leftMs - Math.min(ANSWER_MS, leftMs / 10)));
}

export class Deadline {
  /** By the monotonic clock. */
  readonly atMs: number;
  readonly signal: AbortSignal | undefined;
  private readonly clock: Clock;
  private readonly what: string;
  private readonly closed: AbortSignal;

  /** @param closed fires when the connection is closed */
  constructor(what: string, { timeoutMs, signal }: CallOptions, defaultTimeoutMs: number, { clock }: Environment, closed: AbortSignal) {
    this.what = what;
    this.closed = closed;
    this.clock = clock;
    this.signal = signal;
    this.atMs = clock.monotonicMs() + checkedTimeoutMs(timeoutMs ?? defaultTimeoutMs);
  }

  get leftMs(): number {
    return this.atMs - this.clock.monotonicMs();
  }

  /** For a call within this one. */
  get options(): CallOptions {
    return { signal: this.signal, timeoutMs: Math.max(0, this.leftMs) };
  }

  /** @throws Cancelled or DeadlineExceeded */
  check(lastError?: unknown): void {
    if (this.closed.aborted) throw closedError();
    if (this.signal?.aborted) throw cancelled(this.signal, this.what);
    if (this.leftMs <= 0) throw deadlineExceeded(this.what, lastError);
  }

  /**
   * Waits, unless the deadline would pass meanwhile.
   * @throws Cancelled or DeadlineExceeded, at once
   */
  async wait(delayMs: number, lastError?: unknown): Promise<void> {
    this.check(lastError);
    if (delayMs >= this.leftMs) throw deadlineExceeded(this.what, lastError);
    const { closed, signal } = this;
    await sleep(this.clock, delayMs, signal === undefined ? closed : AbortSignal.any([signal, closed]));
    this.check(lastError);
  }
}

/** Resolves after the delay, or as soon as the signal fires. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer: Timer = clock.setTimer(delayMs, done);
    function done(): void {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    }
    if (signal?.aborted) done();
    else signal?.addEventListener('abort', done, { once: true });
  });
}
