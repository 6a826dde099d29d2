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
    else if (published.deliverAtMs > delivery.nowMs && !wasDue(facts, delivery, topic) && !wasSet(facts, delivery)) violations.push(`${what}: delivered ${published.deliverAtMs - delivery.nowMs} ms early`);
    const expireMs = expiryOf(facts, delivery, topic);
    if (delivery.nowMs >= expireMs && !wasSet(facts, delivery)) violations.push(`${what}: delivered ${delivery.nowMs - expireMs} ms after its time to live`);
    if (filter !== '' && !isEven(payload)) violations.push(`${what}: delivered, though it does not match the filter`);
    if (isDurable(topic)) violations.push(...checkStored(facts, delivery, topic, what));
  }
  return violations;
}

/** Whether it was due when it was stored, by the clock of that time's leader: no later leader waits for it. */
function wasDue(facts: Facts, { payload, partition, position }: DeliveredMessage, topic: string): boolean {
  const stored = facts.storedAt(topic, partition, position);
  return stored !== undefined && stored.publishMs >= facts.history.queue.published.get(payload)!.deliverAtMs;
}

/** Whether the leader's clock was set before: then what was due may not be any more. */
function wasSet({ history }: Facts, { machine, leftMs }: DeliveredMessage): boolean {
  return history.queue.jumps.some((jump) => jump.machine === machine && jump.atMs < leftMs);
}

/** By the leaders' clocks; Infinity: never, or not known. */
function expiryOf(facts: Facts, { payload, partition, position }: DeliveredMessage, topic: string): number {
  const { timeToLiveMs = 0, deliverAtMs = 0 } = facts.history.queue.published.get(payload) ?? {};
  const stored = facts.storedAt(topic, partition, position);
  return timeToLiveMs === 0 || stored === undefined ? Infinity : Math.max(stored.publishMs, deliverAtMs) + timeToLiveMs;
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
