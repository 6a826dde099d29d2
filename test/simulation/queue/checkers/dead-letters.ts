/** Dead letters: only what was delivered and not acknowledged is moved. That each comes once, publishing shows. */

import { ms } from '../history.ts';
import { DEAD, FRAGILE } from '../plan.ts';
import type { Facts } from './facts.ts';

export function checkDeadLetters(facts: Facts): string[] {
  const violations: string[] = [];
  const { delivered, generations } = facts.history.queue;
  const fragile = delivered.filter(({ subscription }) => subscription === FRAGILE);
  for (const { payload, fromMs } of facts.history.queue.storedIn(DEAD)) {
    const mine = fragile.filter((one) => one.payload === payload);
    const what = `${payload} became a dead letter at ${ms(fromMs)}`;
    if (!mine.some(({ leftMs }) => leftMs < fromMs) && generations.size > 0) violations.push(`${what}, and was never delivered`);
    if (mine.some(({ gatheredMs }) => gatheredMs > fromMs)) violations.push(`${what}, and was delivered again by ${FRAGILE}`);
    for (const { state, endMs, writer } of mine.flatMap((one) => facts.acknowledgementsOf(one))) {
      if (writer !== undefined && state === 'done') violations.push(`${what}, and ${writer} acknowledged it`);
      else if (endMs < fromMs) violations.push(`${what}, and was acknowledged by ${ms(endMs)}`);
    }
  }
  return [...new Set(violations)];
}
