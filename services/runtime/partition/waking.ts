/**
 * One timer for everything the kernel waits for; an early one does no harm. It is never long, so that a
 * wall clock that was set back is noticed: the kernel's next step then moves its timers too.
 */

import type { Clock, Timer } from '../clock.ts';

const LONGEST_TIMER_MS = 1000;
/** A wall clock that differs by more from the monotonic one over a timer's time was set. */
const CLOCK_JUMP_MS = 500;

export class Waking {
  private readonly clock: Clock;
  private readonly wakeAtMs: () => number | undefined;
  private readonly tick: () => void;
  private timer: Timer | undefined;
  private timerAtMs = Infinity;

  /**
   * @param wakeAtMs when the kernel wants its tick, wall time; undefined: never
   * @param tick it is due
   */
  constructor(clock: Clock, wakeAtMs: () => number | undefined, tick: () => void) {
    this.clock = clock;
    this.wakeAtMs = wakeAtMs;
    this.tick = tick;
  }

  arm(): void {
    const atMs = this.wakeAtMs();
    if (atMs === undefined || atMs >= this.timerAtMs) return;
    const { clock } = this;
    const armedMs = clock.nowMs();
    const armedMonotonicMs = clock.monotonicMs();
    this.timer?.cancel();
    this.timerAtMs = atMs;
    this.timer = clock.setTimer(Math.min(LONGEST_TIMER_MS, Math.max(0, atMs - armedMs)), () => {
      this.timerAtMs = Infinity;
      const nowMs = clock.nowMs();
      const jumpMs = Math.abs(nowMs - armedMs - (clock.monotonicMs() - armedMonotonicMs));
      const wakeMs = this.wakeAtMs();
      if (wakeMs === undefined || (wakeMs > nowMs && jumpMs < CLOCK_JUMP_MS)) this.arm();
      else this.tick();
    });
  }

  cancel(): void {
    this.timer?.cancel();
  }
}
