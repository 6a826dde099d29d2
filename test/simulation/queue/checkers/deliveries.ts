/** What is delivered was stored before, is due, is what the subscription asked for, and is not acknowledged. */

import { ms, type DeliveredMessage } from '../history.ts';
import { isEven } from '../messages.ts';
import { isDurable, subscriptionNamed } from '../plan.ts';
import type { Facts } from './facts.ts';

export function checkDeliveries(facts: Facts): string[] {
  const violations: string[] = [];
  for (const delivery of facts.history.queue.delivered) {
    const { subscription, partition, position, payload, leftMs } = delivery;
    const { topic, filter } = subscriptionNamed(subscription);
    const what = `${subscription}/${partition} ${position} (${payload}) at ${ms(leftMs)}`;
    const published = facts.history.queue.published.get(payload);
    if (published === undefined) violations.push(`${what}: delivered, and nobody published it`);
    else if (published.deliverAtMs > delivery.nowMs) violations.push(`${what}: delivered ${published.deliverAtMs - delivery.nowMs} ms early`);
    if (filter !== '' && !isEven(payload)) violations.push(`${what}: delivered, though it does not match the filter`);
    if (isDurable(topic)) violations.push(...checkStored(facts, delivery, topic, what));
  }
  return violations;
}

function checkStored(facts: Facts, delivery: DeliveredMessage, topic: string, what: string): string[] {
  const violations: string[] = [];
  const { partition, position, payload, gatheredMs, leftMs } = delivery;
  const stored = facts.storedAt(topic, partition, position);
  if (stored === undefined) {
    // One that was dropped in the batch that published it was never stored.
    if (topic !== 'narrow') violations.push(`${what}: delivered, and never stored`);
  } else if (stored.payload !== payload) violations.push(`${what}: delivered, and stored as ${stored.payload}`);
  else if (stored.fromMs > leftMs) violations.push(`${what}: delivered before it was durable`);
  for (const { endMs, writer } of facts.acknowledgementsOf(delivery)) {
    if (endMs < gatheredMs) violations.push(`${what}: delivered after it was known to be acknowledged at ${ms(endMs)}${writer === undefined ? '' : ` by ${writer}`}`);
  }
  return violations;
}
