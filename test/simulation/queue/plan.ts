/** The topics and subscriptions of the simulated mesh. */

import { partitionOf } from '../../../services/kernel/hash.ts';
import type { SubscriptionConfig, TopicConfig } from '../../../services/kernel/queue/types.ts';
import { PARTITIONS } from '../world/cluster.ts';

export const QUEUE = 'queue';

const topic = (name: string, more: Partial<TopicConfig> = {}): TopicConfig => ({
  name,
  storage: 'disk',
  maxAgeMs: 3_600_000,
  maxMessages: 1_000_000,
  maxBytes: 1_000_000_000,
  overflow: 'reject',
  acknowledgedAgeMs: 0,
  deduplicationWindowMs: 60_000,
  createMs: 0,
  version: 1,
  ...more,
});

const subscription = (name: string, of: string, more: Partial<SubscriptionConfig> = {}): SubscriptionConfig => ({
  name,
  topic: of,
  mode: 'parallel',
  ackDeadlineMs: 400,
  exactlyOnce: false,
  filter: '',
  minimumBackoffMs: 0,
  maximumBackoffMs: 0,
  deadLetter: undefined,
  ageingStepMs: 400,
  startFrom: 'beginning',
  state: 'active',
  createMs: 0,
  version: 1,
  ...more,
});

/** Messages of a partition that the narrow topic keeps at most; beyond, the oldest are dropped. */
export const NARROW = 5;

export const TOPICS: readonly TopicConfig[] = [
  topic('orders', { acknowledgedAgeMs: 30_000 }),
  topic('results'),
  topic('dead'),
  topic('narrow', { maxMessages: NARROW * PARTITIONS, overflow: 'dropOldest' }),
  topic('volatile', { storage: 'memory' }),
];

export const SUBSCRIPTIONS: readonly SubscriptionConfig[] = [
  subscription('handled', 'orders'),
  subscription('ordered', 'orders', { mode: 'sequential' }),
  subscription('ranked', 'orders', { mode: 'priority' }),
  subscription('once', 'orders', { exactlyOnce: true, ackDeadlineMs: 500 }),
  subscription('replayed', 'orders'),
  subscription('fragile', 'orders', { deadLetter: { topic: 'dead', maxDeliveryAttempts: 2 }, minimumBackoffMs: 50, maximumBackoffMs: 200 }),
  subscription('even', 'orders', { filter: 'attributes.parity = "even"' }),
  subscription('collected', 'results', { mode: 'sequential' }),
  subscription('buried', 'dead'),
  subscription('narrowed', 'narrow'),
  subscription('vapour', 'volatile'),
];

/** Whose messages consumers take in transactions, besides acknowledging them directly; and what an administrator seeks. */
export const HANDLED: readonly string[] = ['handled', 'ordered', 'replayed', 'fragile', 'narrowed'];
export const SOUGHT: readonly string[] = ['replayed'];

/** Where the subscription moves what is never acknowledged. */
export const FRAGILE = 'fragile';
export const DEAD = 'dead';

export function subscriptionNamed(name: string): SubscriptionConfig {
  return SUBSCRIPTIONS.find((one) => one.name === name)!;
}

export const isDurable = (name: string): boolean => TOPICS.find((one) => one.name === name)!.storage === 'disk';

/** A message without an ordering key goes anywhere, but a copy of it to the same place. */
export const partitionOfMessage = (orderingKey: string, payload: string): number =>
  partitionOf(orderingKey === '' ? payload : orderingKey, PARTITIONS);
