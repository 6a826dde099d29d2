/** The adds of a counter with their outcomes, those of transactions as their transactions were told. */

import { outcomesByWriter, type Outcome } from '../../checkers/outcomes-by-writer.ts';
import type { History } from '../../history.ts';
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
  return history.counters.addsOf(counter).map((add) => settle(add, outcomes));
}

function settle(add: CounterAdd, outcomes: ReadonlyMap<string, Outcome>): SettledAdd {
  const { amount, startMs, writer } = add;
  const what = `the add of ${amount} at ${Math.round(startMs)} ms${writer === undefined ? '' : ` by ${writer}`}`;
  if (writer === undefined) {
    const state = add.state === 'counted' || add.state === 'refused' ? add.state : 'unknown';
    return { amount, startMs, endMs: state === 'unknown' ? Infinity : add.endMs, state, what };
  }
  const found = outcomes.get(writer);
  if (found === undefined) return { amount, startMs, endMs: Infinity, state: 'unknown', what };
  return { amount, startMs, endMs: found.atMs, state: found.outcome === 'committed' ? 'counted' : 'refused', what };
}
