/** Strong counters that are set, or bounded: every answer fits one order of everything that was done. */

import type { History } from '../../history.ts';
import type { PlannedCounter } from '../plan.ts';
import { searchOrder, type ObjectOperation } from './linearizable-object.ts';
import { settledAdds } from './settled.ts';

export function checkValues(history: History, { name, opening, bounds }: PlannedCounter): string[] {
  const violations: string[] = [];
  const within = (value: bigint): boolean => value >= (bounds.minimum ?? value) && value <= (bounds.maximum ?? value);
  for (const { consistency, value, startMs } of history.counters.readsOf(name)) {
    if (!within(value)) violations.push(`${consistency} read of ${name} at ${Math.round(startMs)} ms returned ${value}, which is beyond its bounds`);
  }
  for (const { value, startMs } of history.counters.addsOf(name)) {
    if (value !== undefined && !within(value)) violations.push(`an add to ${name} at ${Math.round(startMs)} ms came to ${value}, which is beyond its bounds`);
  }
  if (searchOrder(opening, operationsOf(history, name)) === 'not linearizable') {
    violations.push(`there is no order of what was done to ${name} that explains every answer`);
  }
  return violations;
}

function operationsOf(history: History, name: string): ObjectOperation[] {
  const operations: ObjectOperation[] = [];
  // The value that an add is answered with leaves out commits that have not arrived yet, so it tells nothing here.
  for (const { amount, startMs, endMs, state } of settledAdds(history, name)) {
    if (state !== 'refused') operations.push({ startMs, endMs, apply: (before) => before + amount });
  }
  for (const { consistency, value, startMs, endMs } of history.counters.readsOf(name)) {
    if (consistency !== 'eventual') operations.push({ startMs, endMs, apply: (before) => (before === value ? before : undefined) });
  }
  for (const { counter, expected, value, startMs, endMs, state } of history.counters.sets) {
    if (counter !== name || state === 'refused') continue;
    if (state === 'failed') operations.push({ startMs, endMs, apply: (before) => (before === expected ? undefined : before) });
    else operations.push({ startMs, endMs, apply: (before) => (expected === undefined || before === expected ? value : undefined) });
  }
  return operations;
}
