/**
 * Within an ordering key positions follow real time: what was known to be published before another
 * publish began has the lower position. For transactions what counts is when they are known to be committed.
 */

import { ms, type PublishedMessage, type StoredMessage } from '../history.ts';
import { DEAD } from '../plan.ts';
import type { Facts } from './facts.ts';

export function checkOrder(facts: Facts): string[] {
  const violations: string[] = [];
  const { published, stored } = facts.history.queue;
  const lines = Map.groupBy(
    stored.filter(({ topic, payload }) => topic !== DEAD && (published.get(payload)?.orderingKey ?? '') !== ''),
    ({ topic, payload }) => `${topic}/${published.get(payload)!.orderingKey}`,
  );
  for (const [line, messages] of lines) {
    const byPosition = [...messages].sort((a, b) => b.position - a.position);
    // From the last position on: of what comes later, the one that was known first.
    let first: { readonly message: StoredMessage; readonly knownMs: number } | undefined;
    for (const message of byPosition) {
      const source: PublishedMessage = published.get(message.payload)!;
      if (first !== undefined && first.knownMs < source.startMs) {
        violations.push(
          `${line}: ${source.payload} began at ${ms(source.startMs)} and is at ${message.position}, ` +
            `before ${first.message.payload} at ${first.message.position}, which was known to be published at ${ms(first.knownMs)}`,
        );
      }
      const knownMs = facts.knownMs(source);
      if (first === undefined || knownMs < first.knownMs) first = { message, knownMs };
    }
  }
  return violations;
}
