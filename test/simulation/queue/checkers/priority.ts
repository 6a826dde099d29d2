/**
 * Priority mode with ageing: nothing is delivered for the first time while something waits whose
 * priority, with what it has gained by waiting, is higher. So nothing waits for ever.
 */

import { ms, type DeliveredMessage } from '../history.ts';
import { subscriptionNamed, SUBSCRIPTIONS } from '../plan.ts';
import type { Facts } from './facts.ts';

export function checkPriority(facts: Facts): string[] {
  return SUBSCRIPTIONS.filter(({ mode }) => mode === 'priority').flatMap(({ name }) => checkSubscription(facts, name));
}

function checkSubscription(facts: Facts, name: string): string[] {
  const violations: string[] = [];
  const { topic, ageingStepMs } = subscriptionNamed(name);
  const { published, delivered } = facts.history.queue;
  const mine = delivered.filter(({ subscription }) => subscription === name);
  const firstMs = firstDeliveries(mine);
  const levelOf = (payload: string, publishMs: number, nowMs: number): number =>
    (published.get(payload)?.priority ?? 0) + Math.floor(Math.max(0, nowMs - publishMs) / ageingStepMs);
  for (const delivery of mine) {
    const { partition, position, payload, publishMs, attempt, gatheredMs, leftMs, nowMs } = delivery;
    if (attempt > 1) continue;
    const level = levelOf(payload, publishMs, nowMs);
    let latestMs = 0;
    for (const other of facts.history.queue.storedIn(topic)) {
      // Behind one from a leader whose clock was ahead, a message of the same priority waits as if it were as young.
      if (other.partition === partition) latestMs = Math.max(latestMs, other.publishMs);
      if (other.partition !== partition || other.fromMs > gatheredMs || other.untilMs < leftMs) continue;
      if ((published.get(other.payload)?.deliverAtMs ?? 1) > 0 || (firstMs.get(`${partition}/${other.position}`) ?? Infinity) <= leftMs) continue;
      const waiting = levelOf(other.payload, latestMs, nowMs);
      if (waiting > level) {
        violations.push(
          `${name}/${partition} ${position} (${payload}) at ${ms(leftMs)}: delivered at level ${level}, ` +
            `while ${other.position} (${other.payload}) waited at level ${waiting}`,
        );
      }
    }
  }
  return violations;
}

/** When each message left first. */
function firstDeliveries(delivered: readonly DeliveredMessage[]): Map<string, number> {
  const first = new Map<string, number>();
  for (const { partition, position, leftMs } of delivered) {
    const name = `${partition}/${position}`;
    first.set(name, Math.min(leftMs, first.get(name) ?? Infinity));
  }
  return first;
}
