/**
 * Holds back for a moment what nobody waits for, so that it shares a write with what comes next. It has
 * no effect under load: then somebody waits, or there is enough for a write.
 */

import type { Clock, Timer } from '../clock.ts';

/** How long it is held back at most. */
const LINGER_MS = 4;
/** More commands than this are worth a write of their own, which is under way while others come. */
const MOST_COMMANDS = 32;

export class Lingering {
  private readonly clock: Clock;
  private readonly onOver: () => void;
  private timer: Timer | undefined;
  private somebodyWaits = false;

  /** @param onOver the time is over: what is queued is to run */
  constructor(clock: Clock, onOver: () => void) {
    this.clock = clock;
    this.onOver = onOver;
  }

  /** Whether what is queued is to run at once. */
  get over(): boolean {
    return this.somebodyWaits;
  }

  /** @param queued how many commands are in the queue of one that came and may wait */
  add(queued: number): void {
    if (queued > MOST_COMMANDS) this.somebodyWaits = true;
  }

  /** Somebody waits for something that is queued. */
  end(): void {
    this.somebodyWaits = true;
  }

  /** Runs what is queued when its time is over. */
  start(): void {
    this.timer ??= this.clock.setTimer(LINGER_MS, () => {
      this.timer = undefined;
      this.somebodyWaits = true;
      this.onOver();
    });
  }

  /** What was held back is being stepped. */
  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  /** Nothing is queued. */
  reset(): void {
    this.somebodyWaits = false;
  }
}
