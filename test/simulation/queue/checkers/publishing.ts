/** What is published is stored, once, under the position that was told; and nothing that nobody published. */

import { ms } from '../history.ts';
import { DEAD, isDurable } from '../plan.ts';
import type { Facts } from './facts.ts';

export function checkPublishing(facts: Facts): string[] {
  const violations: string[] = [];
  const { published, stored } = facts.history.queue;
  const seen = new Set<string>();
  for (const { topic, partition, position, payload } of stored) {
    if (!published.has(payload)) violations.push(`${topic}/${partition} ${position}: ${payload}, which nobody published`);
    if (seen.has(`${topic} ${payload}`)) violations.push(`${payload} is in ${topic} twice, again at ${partition}-${position}`);
    seen.add(`${topic} ${payload}`);
    if (topic !== DEAD && published.has(payload) && published.get(payload)!.topic !== topic) violations.push(`${payload} is in ${topic}, not where it was published`);
  }
  for (const message of published.values()) {
    const { topic, partition, payload, position, endMs, writer } = message;
    if (writer !== undefined && !isDurable(topic) && facts.knownMs(message) < Infinity) violations.push(`${payload} was published to ${topic}, in memory, by a transaction`);
    if (position === undefined || !isDurable(topic)) continue;
    const found = facts.storedAt(topic, partition, position);
    if (found === undefined && topic === 'narrow') continue;
    if (found?.payload !== payload) violations.push(`${payload} was published to ${topic}/${partition} at ${position} by ${ms(endMs)}, and it is not there`);
    else if (found.fromMs > endMs) violations.push(`${payload} was told to be published at ${ms(endMs)}, before it was durable`);
  }
  return violations;
}
