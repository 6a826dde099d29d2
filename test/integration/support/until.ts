/** Waiting for what happens elsewhere: conditions with a bound, never a blind pause. */

import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 25;

/**
 * Asks until the answer is neither undefined nor false.
 * @throws Error naming what did not happen, with what `state` says about it
 */
export async function until<T>(
  what: string,
  boundMs: number,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  state: () => unknown = () => '',
  pollMs: number = POLL_MS,
): Promise<T> {
  const endMs = performance.now() + boundMs;
  for (;;) {
    const answer = await condition();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > endMs) throw new Error(`not within ${boundMs} ms: ${what}. ${String(state())}`);
    await pause(pollMs);
  }
}
