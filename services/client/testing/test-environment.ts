import type { Timer } from '../../runtime/clock.ts';
import type { Environment } from '../options.ts';

/** Timers up to this are retries: they fire at the next turn of the event loop. Longer ones are deadlines. */
const SOON_MS = 5_000;

/** Time that passes by itself for retries, and for deadlines only when told so. */
export class TestEnvironment implements Environment {
  private now = 1_000_000;
  private readonly waiting = new Set<{ readonly dueMs: number; readonly call: () => void }>();
  /** The delays of all retries so far. */
  readonly delays: number[] = [];
  random = 0.5;
  readonly entropy = (): number => this.random;
  readonly clock = {
    nowMs: () => Date.now(),
    monotonicMs: () => this.now,
    setTimer: (delayMs: number, call: () => void): Timer => {
      if (delayMs > SOON_MS) {
        const waiting = { dueMs: this.now + delayMs, call };
        this.waiting.add(waiting);
        return { cancel: () => void this.waiting.delete(waiting) };
      }
      this.delays.push(delayMs);
      const immediate = setImmediate(() => {
        this.now += delayMs;
        call();
      });
      return { cancel: () => clearImmediate(immediate) };
    },
  };

  /** How many deadlines wait. */
  get waitingCount(): number {
    return this.waiting.size;
  }

  /** Lets time pass, and what was due. */
  advance(ms: number): void {
    this.now += ms;
    for (const waiting of [...this.waiting]) {
      if (waiting.dueMs > this.now) continue;
      this.waiting.delete(waiting);
      waiting.call();
    }
  }
}

/** Resolves as soon as the condition holds; rejects after a bound of turns of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; turns < 100_000; turns++) {
    if (condition()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`never came true: ${condition.toString()}`);
}
