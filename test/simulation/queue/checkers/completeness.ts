/** Nothing is lost: what is published comes to every subscription that wants it, until it is acknowledged. */

import type { SubscriptionConfig } from '../../../../services/kernel/queue/types.ts';
import { ms, type StoredMessage } from '../history.ts';
import { isEven } from '../messages.ts';
import { DEAD, FRAGILE, SUBSCRIPTIONS } from '../plan.ts';
import type { Facts } from './facts.ts';

/** When every subscription was emptied. */
export function checkCompleteness(facts: Facts): string[] {
  const violations: string[] = [];
  const settled = settledMessages(facts);
  for (const subscription of SUBSCRIPTIONS) {
    const { name, topic } = subscription;
    for (const message of facts.history.queue.storedIn(topic)) {
      if (isExempt(facts, subscription, message) || settled.has(`${name} ${message.payload}`)) continue;
      violations.push(`${message.payload}, in ${topic}/${message.partition} at ${message.position} since ${ms(message.fromMs)}, is lost to ${name}`);
    }
  }
  return violations;
}

/** By subscription and payload: acknowledged for all that is known, or still there at the end. */
function settledMessages({ history }: Facts): Set<string> {
  const settled = new Set<string>();
  const facts = new Map(history.queue.delivered.map((one) => [`${one.subscription}/${one.partition}/${one.position}`, one.payload]));
  const refused = new Set(history.told.filter(({ outcome }) => outcome === 'aborted').map(({ id }) => id));
  for (const { subscription, payload } of history.queue.drained) settled.add(`${subscription} ${payload}`);
  for (const { subscription, partition, position, type, state } of history.queue.settlements) {
    if (type === 'acknowledge' && state !== 'refused') settled.add(`${subscription} ${facts.get(`${subscription}/${partition}/${position}`)}`);
  }
  for (const { subscription, payload, writer } of history.queue.staged) {
    if (!refused.has(history.contents.get(writer)!.id)) settled.add(`${subscription} ${payload}`);
  }
  for (const { payload } of history.queue.storedIn(DEAD)) settled.add(`${FRAGILE} ${payload}`);
  return settled;
}

/** What may be gone by what an administrator did, or the topic's limits. */
function isExempt({ history }: Facts, { name, topic, filter }: SubscriptionConfig, message: StoredMessage): boolean {
  if (topic === 'narrow' || (filter !== '' && !isEven(message.payload))) return true;
  return history.queue.administrations.some((one) => one.subscription === name || (one.subscription === undefined && one.topic === topic));
}
