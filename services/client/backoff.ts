/** Delays between tries: exponential with full jitter, capped. */

export interface Backoff {
  /** Upper bound of the first delay, milliseconds. */
  readonly firstMs: number;
  /** Upper bound of every delay, milliseconds. */
  readonly capMs: number;
}

/** Between tries of a transaction that met a conflict. */
export const CONFLICT_BACKOFF: Backoff = { firstMs: 10, capMs: 1_000 };
/** Between tries to reach a server. */
export const CONNECTION_BACKOFF: Backoff = { firstMs: 50, capMs: 2_000 };

/**
 * Milliseconds to wait before try number `tries` + 1, at least `leastMs`.
 * @param entropy a number in [0, 1)
 */
export function backoffDelayMs(backoff: Backoff, tries: number, entropy: number, leastMs = 0): number {
  const bound = Math.min(backoff.capMs, backoff.firstMs * 2 ** Math.min(tries - 1, 30));
  return leastMs + Math.floor(entropy * bound);
}
