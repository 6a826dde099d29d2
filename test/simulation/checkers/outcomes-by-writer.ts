/** What became of transactions, by the contents that they had. */

import { keyOf, type History } from '../history.ts';

export interface Outcome {
  readonly outcome: 'committed' | 'aborted';
  readonly atMs: number;
}

/** How each content of a transaction ended, and when that was first told; without those that were forced. */
export function outcomesByWriter(history: History): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  for (const { id, variant, outcome, atMs } of history.told) {
    if (history.forced.has(id)) continue;
    const variants = variant === undefined ? history.variantsOf(id) : [variant];
    // An outcome that is told of an id alone is that of its only content.
    if (variants.length !== 1) continue;
    const writer = keyOf(id, variants[0]!);
    const before = outcomes.get(writer);
    if (before === undefined || atMs < before.atMs) outcomes.set(writer, { outcome, atMs });
  }
  return outcomes;
}
