/** A clock that moves only when a test says so. */
import type { Clock, Timer } from '../../clock.ts';

export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000;
  readonly #timers = new Set<{ atMs: number; call: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, call: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, call };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Moves on and calls every timer that has come due, the earliest first. */
  advance(byMs: number): void {
    this.jump(byMs);
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) return;
      this.#timers.delete(due);
      due.call();
    }
  }

  /** Moves on without calling anything: the process was paused. */
  jump(byMs: number): void {
    this.#nowMs += byMs;
  }
}
