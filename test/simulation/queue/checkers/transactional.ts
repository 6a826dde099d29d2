/** Messages in transactions: each acknowledged by one at most, and untouched between prepare and outcome. */

import type { QueueEffect } from '../../../../services/kernel/queue/types.ts';
import { ms, nameOfDelivery, type DeliveredMessage } from '../history.ts';
import { QUEUE } from '../plan.ts';
import type { Facts } from './facts.ts';

/** Of a commit that was told, and any other acknowledgement that was. */
export function checkAcknowledgedOnce(facts: Facts): string[] {
  const violations: string[] = [];
  for (const acknowledgements of facts.allAcknowledgements()) {
    const committed = acknowledgements.filter(({ writer, state }) => writer !== undefined && state === 'done');
    const name = nameOfDelivery(acknowledgements[0]!);
    if (committed.length > 1) violations.push(`${name}: acknowledged by ${committed.map(({ writer }) => writer).join(' and ')}`);
    for (const { writer, startMs } of committed) {
      const before = acknowledgements.find((other) => other.writer === undefined && other.state === 'done' && other.endMs < startMs);
      if (before !== undefined) violations.push(`${name}: acknowledged by ${writer}, though it was already at ${ms(before.endMs)}`);
    }
  }
  return violations;
}

/** A message that a prepared transaction acknowledges is not delivered, not removed, and its subscription is not moved. */
export function checkUntouched(facts: Facts): string[] {
  const violations: string[] = [];
  const { delivered, prepared, generations } = facts.history.queue;
  const deliveries = Map.groupBy(delivered, nameOfDelivery);
  for (const { service, partition, effect, transactionId, fromMs, untilMs } of prepared) {
    if (service !== QUEUE) continue;
    const within = (timeMs: number): boolean => timeMs > fromMs && timeMs < untilMs;
    for (const write of (effect as QueueEffect).writes) {
      if (write.type !== 'acknowledge') continue;
      const { topic, subscription, generation, position } = write;
      const what = `${subscription}/${partition} ${position} was prepared to be acknowledged by ${transactionId} from ${ms(fromMs)} to ${ms(untilMs)}`;
      const again = (deliveries.get(nameOfDelivery({ subscription, partition, generation, position })) ?? []).find(
        ({ gatheredMs, leftMs }: DeliveredMessage) => gatheredMs > fromMs && leftMs < untilMs,
      );
      if (again !== undefined) violations.push(`${what}, and delivered at ${ms(again.leftMs)}`);
      const removedMs = facts.storedAt(topic, partition, position)?.untilMs ?? Infinity;
      if (within(removedMs)) violations.push(`${what}, and removed at ${ms(removedMs)}`);
      const moved = generations.get(`${subscription}/${partition}`)?.find((one) => within(one.fromMs));
      if (moved !== undefined) violations.push(`${what}, and its subscription moved at ${ms(moved.fromMs)}`);
    }
  }
  return violations;
}
