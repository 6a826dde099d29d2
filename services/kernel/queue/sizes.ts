/** Bounds of what the branches of a queue may hold, and the parts of them that are counted. */

import type { Failure } from '../failure.ts';
import type { LockWish } from '../participant/locks.ts';
import type { QueueOperation } from './types.ts';

/** Operations of one write, with room for what the branch protocol and the end of a batch add. */
export const MAX_OPERATIONS = 110;

/** Each lock once, exclusive where anybody wants it so. */
export function merged(wishes: readonly (readonly LockWish[])[]): readonly LockWish[] {
  if (wishes.length === 1) return wishes[0]!;
  const found = new Map<string, boolean>();
  for (const { name, exclusive } of wishes.flat()) found.set(name, exclusive || found.get(name) === true);
  return Array.from(found, ([name, exclusive]) => ({ name, exclusive }));
}

export function payloadBytes(operation: QueueOperation): number {
  switch (operation.type) {
    case 'publish': {
      const { encoded, orderingKey, deduplicationId } = operation.message;
      return encoded.length + 3 * (orderingKey.length + deduplicationId.length + operation.topic.length);
    }
    case 'createSubscription':
      return 3 * operation.config.filter.length + 1000;
    case 'updateSubscription':
      return 3 * 1024 + 1000;
    case 'seek':
      return operation.target.type === 'positions' ? 16 * operation.target.byPartition.size : 500;
    default:
      return 500;
  }
}

export function limitExceeded(count: number, limit: number, unit: string): Failure {
  const message = `a branch at one partition of a queue has ${count} ${unit}; at most ${limit} are allowed: use smaller transactions`;
  return { reason: 'LIMIT_EXCEEDED', message };
}
