/**
 * Exactly-once delivery: a message is never out twice within its deadline, also over failovers, and an
 * acknowledgement of an earlier delivery is refused.
 */

import { ms, nameOfDelivery, type DeliveredMessage } from '../history.ts';
import { subscriptionNamed } from '../plan.ts';
import type { Facts } from './facts.ts';

/** Clocks of different machines differ in speed; what is told of a deadline is rounded. */
const SPEED = 0.94;
const ROUNDING_MS = 25;

export function checkExactlyOnce(facts: Facts): string[] {
  const violations: string[] = [];
  const once = facts.history.queue.delivered.filter(({ subscription }) => subscriptionNamed(subscription).exactlyOnce);
  for (const deliveries of Map.groupBy(once, nameOfDelivery).values()) {
    deliveries.sort((a, b) => a.leftMs - b.leftMs);
    for (const [index, delivery] of deliveries.entries()) {
      const next = deliveries[index + 1];
      if (next === undefined) continue;
      if (isOutTwice(facts, delivery, next)) {
        violations.push(`${nameOfDelivery(next)} (${next.payload}) at ${ms(next.leftMs)}: out already since ${ms(delivery.leftMs)}, for ${delivery.deadlineMs} ms`);
      }
      for (const { writer, attempt, startMs, state } of facts.acknowledgementsOf(delivery)) {
        // One that was released counts as not delivered, so the next one has its attempt.
        if (writer !== undefined || state !== 'done' || attempt !== delivery.attempt || attempt === next.attempt || startMs < next.leftMs) continue;
        violations.push(`${nameOfDelivery(next)}: an acknowledgement of attempt ${attempt} was taken at ${ms(startMs)}, after it was delivered again`);
      }
    }
  }
  return violations;
}

function isOutTwice(facts: Facts, delivery: DeliveredMessage, next: DeliveredMessage): boolean {
  const { settlements, jumps } = facts.history.queue;
  const name = nameOfDelivery(delivery);
  const mine = settlements.filter((one) => nameOfDelivery(one) === name && one.attempt === delivery.attempt && one.startMs < next.leftMs);
  // It may have been given back, also where a second copy of that was refused.
  if (mine.some(({ type }) => type === 'giveBack' || type === 'release')) return false;
  const extended = mine.filter(({ type, state, endMs }) => type === 'extend' && state === 'done' && endMs < next.gatheredMs);
  const outMs = Math.max(delivery.deadlineMs, ...extended.map(({ startMs, deadlineMs }) => startMs - delivery.gatheredMs + deadlineMs));
  if (jumps.some(({ atMs }) => atMs > delivery.gatheredMs - 100 && atMs < next.leftMs)) return false;
  // By one clock to the millisecond, unless it depends on true times.
  if (delivery.epoch === next.epoch && extended.length === 0) return next.nowMs - delivery.nowMs < delivery.deadlineMs;
  return next.gatheredMs - delivery.gatheredMs < outMs * SPEED - ROUNDING_MS;
}
