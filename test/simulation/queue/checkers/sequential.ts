/** Sequential mode: of each ordering key one message at a time, in the order of positions. */

import { ms } from '../history.ts';
import { subscriptionNamed } from '../plan.ts';
import type { Facts } from './facts.ts';

export function checkSequential(facts: Facts): string[] {
  const violations: string[] = [];
  const { delivered, published } = facts.history.queue;
  for (const delivery of delivered) {
    const { subscription, partition, generation, position, payload, gatheredMs, leftMs } = delivery;
    const { mode, topic } = subscriptionNamed(subscription);
    const orderingKey = published.get(payload)?.orderingKey ?? '';
    if (mode !== 'sequential' || orderingKey === '') continue;
    for (const earlier of facts.history.queue.storedIn(topic)) {
      const source = published.get(earlier.payload);
      if (earlier.partition !== partition || earlier.position >= position || source?.orderingKey !== orderingKey) continue;
      // A delayed one takes its place when it is due.
      if (source.deliverAtMs > 0 || earlier.fromMs > gatheredMs || earlier.untilMs < leftMs) continue;
      const acknowledgements = facts.acknowledgementsOf({ subscription, partition, generation, position: earlier.position });
      if (acknowledgements.some(({ state, startMs }) => state !== 'refused' && startMs < leftMs)) continue;
      violations.push(
        `${subscription}/${partition} ${position} (${payload}) at ${ms(leftMs)}: delivered before ${earlier.position} (${earlier.payload}) ` +
          `of the same key, which nobody had acknowledged`,
      );
    }
  }
  return violations;
}
