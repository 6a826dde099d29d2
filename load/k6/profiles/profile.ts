/** The shape of a load over time. Plain data without k6's modules, so that the runner reads it too. */

export interface Profile {
  /** What the profile finds out, for the help. */
  readonly about: string;
  /** Operations a second where none are asked for; the highest of the run. */
  readonly rate: number;
  /** How long, where nothing else is asked for. */
  readonly duration: string;
  /** What the run must keep. Totals are always exact, whatever the profile. */
  readonly limits: Limits;
  /** Whether it looks for the load at which a limit breaks: then that ends the run, and is no failure. */
  readonly isSearch?: boolean;
  /**
   * The stages of the load.
   * @param seconds how long all of them take together
   */
  stages(seconds: number): readonly Stage[];
}

export interface Limits {
  /** Of each operation, its retries included, in milliseconds: 95 and 99 of 100 take less. */
  readonly p95Ms: number;
  readonly p99Ms: number;
  /** The share of operations, 0 to 1, that may end without a known result. */
  readonly failed: number;
  /** The share of iterations, 0 to 1, that may be left out because nobody was free to run them. */
  readonly dropped: number;
}

/** The load goes from where it is to a share of the rate, 0 to 1, in this time; in 0 s it jumps. */
export interface Stage {
  readonly share: number;
  readonly seconds: number;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/**
 * Seconds of a duration like 20s, 2m or 1h.
 * @throws Error that says what a duration looks like.
 */
export function secondsOf(duration: string): number {
  const [, number = '', unit = ''] = /^(\d+)(s|m|h)$/.exec(duration) ?? [];
  const seconds = Number(number) * (UNITS[unit] ?? 0);
  if (seconds === 0) throw new Error(`must be a number with a unit, like 20s, 2m or 1h, and not "${duration}"`);
  return seconds;
}
