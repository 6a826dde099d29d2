/**
 * Ledgers: each add has a power of two of its own, so that a value says which adds it counts. A read
 * counts everything that was complete before it began, nothing that began after it ended, nothing that
 * was refused, and nothing twice (a sum that is counted twice shows as adds that are not its own).
 */

import type { History } from '../../history.ts';
import type { CounterRead } from '../history.ts';
import { settledAdds, type SettledAdd } from './settled.ts';

export interface LedgerRules {
  /** Whether linearizable reads count every add that was answered before. */
  readonly linearizable: boolean;
}

export function checkLedger(history: History, counter: string, { linearizable }: LedgerRules): string[] {
  const violations: string[] = [];
  const adds = settledAdds(history, counter);
  const reads = history.counters.readsOf(counter);
  for (const read of reads) {
    const what = `${read.consistency} read of ${counter} at ${Math.round(read.startMs)} to ${Math.round(read.endMs)} ms: value ${read.value}`;
    const known = adds.reduce((sum, { amount }) => sum | amount, 0n);
    if (read.value < 0n || (read.value & ~known) !== 0n) violations.push(`${what} counts what nobody added, or something twice`);
    for (const add of adds) {
      const problem = contradiction(read, add, linearizable);
      if (problem !== undefined) violations.push(`${what} ${problem}`);
    }
  }
  if (linearizable) violations.push(...checkOneAfterTheOther(counter, reads));
  return violations;
}

function contradiction(read: CounterRead, add: SettledAdd, linearizable: boolean): string | undefined {
  const { amount, startMs, endMs, state, what } = add;
  const counted = (read.value & amount) !== 0n;
  if (counted && startMs > read.endMs) return `counts ${what}, which began later`;
  if (counted && state === 'refused') return `counts ${what}, which was refused or aborted`;
  const must = state === 'counted' && (read.consistency === 'final' || (linearizable && read.consistency === 'linearizable' && endMs < read.startMs));
  return must && !counted ? `misses ${what}, which was told at ${Math.round(endMs)} ms` : undefined;
}

/** What a linearizable read has counted, one that begins later counts too. */
function checkOneAfterTheOther(counter: string, reads: readonly CounterRead[]): string[] {
  const violations: string[] = [];
  const byEnd = reads.filter(({ consistency }) => consistency !== 'eventual').sort((a, b) => a.endMs - b.endMs);
  let [seen, next] = [0n, 0];
  for (const read of [...byEnd].sort((a, b) => a.startMs - b.startMs)) {
    for (; next < byEnd.length && byEnd[next]!.endMs < read.startMs; next++) seen |= byEnd[next]!.value;
    const lost = seen & ~read.value;
    if (lost !== 0n) violations.push(`read of ${counter} at ${Math.round(read.startMs)} ms does not count ${lost}, which an earlier read did`);
  }
  return violations;
}
