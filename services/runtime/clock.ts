/** The port to time. Kernels never see it; the simulation replaces it. */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall time, milliseconds since 1970. May jump. */
  nowMs(): number;
  /** Never jumps back, milliseconds since some moment. */
  monotonicMs(): number;
  /** Calls once after a delay in milliseconds, unless cancelled. Does not keep the process alive. */
  setTimer(delayMs: number, call: () => void): Timer;
}

/** The longest delay that setTimeout takes: a 32-bit signed number of milliseconds. A longer one would be over at once. */
const LONGEST_TIMEOUT_MS = 0x7fff_ffff;

/** A timeout of a delay in milliseconds, however long or short; what it can't be, it is nearly. */
export function startTimeout(delayMs: number, call: () => void): NodeJS.Timeout {
  return setTimeout(call, Math.min(Math.max(0, delayMs), LONGEST_TIMEOUT_MS));
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, call) {
    const timeout = startTimeout(delayMs, call);
    timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** Resolves after a delay in milliseconds. */
export function delay(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimer(delayMs, resolve));
}
