import type { Failure } from '../../kernel/failure.ts';

export interface AdmissionLimits {
  /** The most unary calls that may be under way. */
  readonly maxCalls: number;
  /** The most streams that may be open. */
  readonly maxStreams: number;
}

export const DEFAULT_ADMISSION_LIMITS: AdmissionLimits = { maxCalls: 20_000, maxStreams: 2_000 };

/** Why a call is refused: as many are under way as may be, or the server is stopping. */
export type Refusal = 'capacity' | 'draining';

/** The one place where calls are counted and refused before any of their work is done (invariant P8). */
export class Admission {
  private readonly limits: AdmissionLimits;
  private readonly entropy: () => number;
  private readonly onRefused: ((why: Refusal) => void) | undefined;
  private calls = 0;
  private streams = 0;
  private idle: (() => void) | undefined;
  /** Set once nothing new is taken. */
  draining = false;

  constructor(limits: Partial<AdmissionLimits>, entropy: () => number, onRefused?: (why: Refusal) => void) {
    this.limits = { ...DEFAULT_ADMISSION_LIMITS, ...limits };
    this.entropy = entropy;
    this.onRefused = onRefused;
  }

  /** Takes a call in, to be let out with {@link leave}; or says why not. */
  enter(kind: 'call' | 'stream'): Failure | undefined {
    if (this.draining) {
      this.onRefused?.('draining');
      return { ...DRAINING, retryAfterMs: this.retryAfterMs() };
    }
    const [count, limit] = kind === 'call' ? [this.calls, this.limits.maxCalls] : [this.streams, this.limits.maxStreams];
    if (count >= limit) {
      this.onRefused?.('capacity');
      return {
        reason: 'OVERLOADED',
        message: `${limit} ${kind}s are under way at this replica, its limit; try again later`,
        retryAfterMs: this.retryAfterMs(),
      };
    }
    if (kind === 'call') this.calls++;
    else this.streams++;
    return undefined;
  }

  leave(kind: 'call' | 'stream'): void {
    if (kind === 'call') this.calls--;
    else this.streams--;
    if (this.calls === 0) this.idle?.();
  }

  /** Resolves when no unary call is under way. */
  callsDone(): Promise<void> {
    return this.calls === 0 ? Promise.resolve() : new Promise((resolve) => (this.idle = resolve));
  }

  /** Spread out, so that those who were refused together don't come back together. */
  private retryAfterMs(): number {
    return 100 + Math.floor(this.entropy() * 400);
  }
}

export const DRAINING: Failure = {
  reason: 'DRAINING',
  message: 'this replica is stopping: ask another, or try again when it is back',
  retryAfterMs: 500,
};
