/** One timer for the deadlines and retries of many calls. */

import type { Clock, Timer } from '../runtime/clock.ts';

/** Between two sweeps. */
const LEAST_SWEEP_MS = 5;

export class Sweep {
  private readonly clock: Clock;
  private readonly run: (nowMs: number) => number;
  private timer: Timer | undefined;
  private dueMs = Infinity;

  /** @param run does what is due, and returns when the next is, by the monotonic clock; Infinity: never. */
  constructor(clock: Clock, run: (nowMs: number) => number) {
    this.clock = clock;
    this.run = run;
  }

  /** Something is due then, by the monotonic clock. */
  at(ms: number): void {
    if (ms >= this.dueMs) return;
    this.timer?.cancel();
    this.dueMs = ms;
    const delayMs = Math.max(LEAST_SWEEP_MS, Math.ceil(ms - this.clock.monotonicMs()));
    this.timer = this.clock.setTimer(delayMs, () => {
      this.timer = undefined;
      this.dueMs = Infinity;
      const next = this.run(this.clock.monotonicMs());
      if (next < Infinity) this.at(next);
    });
  }

  /** Nothing is due any more. */
  cancel(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.dueMs = Infinity;
  }
}
