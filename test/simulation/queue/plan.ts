/** The topics and subscriptions of the simulated mesh. */

import { partitionOf } from '../../../services/kernel/hash.ts';
import type { SubscriptionConfig, TopicConfig } from '../../../services/kernel/queue/types.ts';
import { PARTITIONS } from '../world/cluster.ts';

export const QUEUE = 'queue';

/** What clients do with a subscription. */
export interface PlannedSubscription extends SubscriptionConfig {
  /** Whether consumers take messages in transactions, besides acknowledging directly. */
  readonly handled: boolean;
  /** Whether an administrator seeks and purges it. */
  readonly sought: boolean;
}

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

const subscription = (name: string, of: string, more: Partial<PlannedSubscription> = {}): PlannedSubscription => ({
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
  handled: false,
  sought: false,
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

export const SUBSCRIPTIONS: readonly PlannedSubscription[] = [
  subscription('handled', 'orders', { handled: true }),
  subscription('ordered', 'orders', { mode: 'sequential', handled: true }),
  subscription('ranked', 'orders', { mode: 'priority' }),
  subscription('once', 'orders', { exactlyOnce: true, ackDeadlineMs: 500 }),
  subscription('replayed', 'orders', { handled: true, sought: true }),
  subscription('fragile', 'orders', { handled: true, deadLetter: { topic: 'dead', maxDeliveryAttempts: 2 }, minimumBackoffMs: 50, maximumBackoffMs: 200 }),
  subscription('even', 'orders', { filter: 'attributes.parity = "even"' }),
  subscription('collected', 'results', { mode: 'sequential' }),
  subscription('buried', 'dead'),
  subscription('narrowed', 'narrow', { handled: true }),
  subscription('vapour', 'volatile'),
];

/** Where the subscription moves what is never acknowledged. */
export const FRAGILE = 'fragile';
export const DEAD = 'dead';

export function subscriptionNamed(name: string): PlannedSubscription {
  return SUBSCRIPTIONS.find((one) => one.name === name)!;
}

export const isDurable = (name: string): boolean => TOPICS.find((one) => one.name === name)!.storage === 'disk';

/** A message without an ordering key goes anywhere, but a copy of it to the same place. */
export const partitionOfMessage = (orderingKey: string, payload: string): number =>
  partitionOf(orderingKey === '' ? payload : orderingKey, PARTITIONS);
