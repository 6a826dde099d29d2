/** Fair distribution: of what one batch gives out, nobody who waits and has room gets two messages less than another. */

import { ms } from '../history.ts';
import type { Facts } from './facts.ts';

export function checkFairness(facts: Facts): string[] {
  const violations: string[] = [];
  const groups = Map.groupBy(facts.history.queue.pulls, ({ subscription, partition, epoch }) => `${subscription}/${partition} (epoch ${epoch})`);
  for (const [name, pulls] of groups) {
    for (const served of pulls) {
      for (const waiting of pulls) {
        // It waited before the batch was begun, and got less in it, or nothing until later.
        if (waiting === served || waiting.steppedMs >= served.gatheredMs || waiting.gatheredMs < served.gatheredMs) continue;
        const got = waiting.gatheredMs > served.gatheredMs ? 0 : waiting.got;
        if (got >= waiting.room || served.got - got <= 1) continue;
        violations.push(`${name} at ${ms(served.leftMs)}: one pull got ${served.got} messages, another that waited and had room got ${got}`);
      }
    }
  }
  return violations;
}
