/** The last word of every counter, when everything has come to rest. */

import type { CounterView } from '../../../services/kernel/counter/types.ts';
import type { History } from '../history.ts';
import type { Ask } from '../world/rest.ts';
import { COUNTER, COUNTERS } from './plan.ts';
import { readValue, viewIn, viewOf, type AskViews } from './reader.ts';

/** Reads every counter into the history. Returns those that can't be read, or are behind for ever. */
export async function readCounters(ask: Ask, history: History, nowMs: () => number): Promise<string[]> {
  const problems: string[] = [];
  for (const counter of COUNTERS) {
    const startMs = nowMs();
    const askAll: AskViews = async (partitions) => {
      const views = [];
      for (const partition of partitions) views.push(await askView(ask, counter.name, partition));
      for (const view of views) if ((view?.pendingAdds ?? 0) > 0) problems.push(`${counter.name}: ${view!.pendingAdds} adds are never rolled up`);
      return views;
    };
    const value = await readValue(counter, askAll);
    if (value === undefined) problems.push(`${counter.name}: can't be read when everything is at rest`);
    else history.counters.reads.push({ counter: counter.name, consistency: 'final', startMs, endMs: nowMs(), value });
  }
  return problems;
}

async function askView(ask: Ask, name: string, partition: number): Promise<CounterView | undefined> {
  const build = viewOf(name, 'linearizable', Infinity);
  return viewIn((await ask(COUNTER, partition, (origin) => build(0, origin))) ?? { type: 'unanswered' });
}
