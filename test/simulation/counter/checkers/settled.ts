/** The adds of a counter with their outcomes, those of transactions as their transactions were told. */

import { keyOf, type History } from '../../history.ts';
import type { CounterAdd } from '../history.ts';

export interface SettledAdd {
  readonly amount: bigint;
  readonly startMs: number;
  /** From when on everybody must count it; Infinity: never known. */
  readonly endMs: number;
  readonly state: 'counted' | 'refused' | 'unknown';
  /** For people. */
  readonly what: string;
}

export function settledAdds(history: History, counter: string): SettledAdd[] {
  const outcomes = outcomesByWriter(history);
  return history.counters.addsOf(counter).map((add) => settle(add, history, outcomes));
}

interface Outcome {
  readonly outcome: 'committed' | 'aborted';
  readonly atMs: number;
}

function settle(add: CounterAdd, history: History, outcomes: ReadonlyMap<string, Outcome>): SettledAdd {
  const { amount, startMs, writer } = add;
  const what = `the add of ${amount} at ${Math.round(startMs)} ms${writer === undefined ? '' : ` by ${writer}`}`;
  if (writer === undefined) {
    const state = add.state === 'counted' || add.state === 'refused' ? add.state : 'unknown';
    return { amount, startMs, endMs: state === 'unknown' ? Infinity : add.endMs, state, what };
  }
  const found = history.forced.has(history.contents.get(writer)!.id) ? undefined : outcomes.get(writer);
  if (found === undefined) return { amount, startMs, endMs: Infinity, state: 'unknown', what };
  return { amount, startMs, endMs: found.atMs, state: found.outcome === 'committed' ? 'counted' : 'refused', what };
}

/** How each content of a transaction ended, and when that was first told. */
function outcomesByWriter(history: History): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>();
  for (const { id, variant, outcome, atMs } of history.told) {
    const variants = variant === undefined ? history.variantsOf(id) : [variant];
    // An outcome that is told of an id alone is that of its only content.
    if (variants.length !== 1) continue;
    const writer = keyOf(id, variants[0]!);
    const before = outcomes.get(writer);
    if (before === undefined || atMs < before.atMs) outcomes.set(writer, { outcome, atMs });
  }
  return outcomes;
}
