/** Watches how full the store is, so that new work is refused while there is room for what is under way. */

import type { Failure } from '../../kernel/failure.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Store } from '../store/store.ts';

const LOOK_EVERY_MS = 1000;
/** Of what the store holds at most; above it new work is refused. */
export const FULL_PART = 0.9;
const RETRY_AFTER_MS = 5000;

export class Capacity {
  private readonly store: Pick<Store, 'size' | 'description'>;
  private readonly clock: Clock;
  private timer: Timer | undefined;
  private running = false;
  /** Why new work is refused; undefined while there is room. */
  refusal: Failure | undefined;
  /** As last seen; undefined: not yet. */
  usage: { readonly usedBytes: number; readonly limitBytes?: number } | undefined;

  constructor(store: Pick<Store, 'size' | 'description'>, clock: Clock) {
    this.store = store;
    this.clock = clock;
  }

  start(): void {
    this.running = true;
    this.look().catch(() => undefined);
  }

  stop(): void {
    this.running = false;
    this.timer?.cancel();
  }

  /** A store that can't be asked is away, which its users find out by themselves. */
  async look(): Promise<void> {
    try {
      const { usedBytes, limitBytes } = (this.usage = await this.store.size());
      this.refusal = limitBytes !== undefined && usedBytes > limitBytes * FULL_PART ? full(usedBytes, limitBytes) : undefined;
    } finally {
      if (this.running) this.timer = this.clock.setTimer(LOOK_EVERY_MS, () => void this.look().catch(() => undefined));
    }
  }
}

function full(usedBytes: number, limitBytes: number): Failure {
  const part = Math.round((100 * usedBytes) / limitBytes);
  return {
    reason: 'STORE_FULL',
    message: `the store is ${part} % full (${usedBytes} of ${limitBytes} bytes): new work is refused until there is room again`,
    metadata: { usedBytes: String(usedBytes), limitBytes: String(limitBytes) },
    retryAfterMs: RETRY_AFTER_MS,
  };
}
