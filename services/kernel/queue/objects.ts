/** Topics, subscriptions and snapshots as they come into being, by a transaction or at recovery. */

import { snapshotKey, subscriptionKey, topicKey } from './keys.ts';
import type { AckSet } from './ack-set.ts';
import { PositionSet } from './positions.ts';
import type { QueuePartition } from './partition.ts';
import { Subscription } from './subscription.ts';
import { Topic, type Snapshot } from './topic.ts';
import { LIMITS, type SnapshotConfig, type SubscriptionConfig, type TopicConfig } from './types.ts';

/** What a prepared transaction holds up is looked at again after this long. */
const PINNED_MS = 1000;

export const topicOwner = (name: string): string => `t/${name}`;
export const subscriptionOwner = (name: string): string => `s/${name}`;
export const snapshotOwner = (name: string): string => `n/${name}`;

export function createTopic(state: QueuePartition, config: TopicConfig, generation: number): Topic {
  const { name, storage } = config;
  const gone = state.log.create(topicOwner(name), generation, 0, storage === 'disk' ? state.out : undefined);
  const topic = addTopic(state, config, gone);
  state.out.put(topicKey(name), { type: 'topic', config, nextPosition: topic.next });
  return topic;
}

export function addTopic(state: QueuePartition, config: TopicConfig, gone: AckSet): Topic {
  const topic = new Topic(state, config, gone);
  state.topics.set(config.name, topic);
  return topic;
}

export function createSubscription(state: QueuePartition, config: SubscriptionConfig, generation: number): void {
  const { name, startFrom } = config;
  const topic = config.state === 'active' ? state.topics.get(config.topic) : undefined;
  // Who has to acknowledge changes between one segment and the next.
  topic?.close();
  const floor = topic === undefined ? 0 : (startFrom === 'beginning' ? topic.firstKept : topic.next) - 1;
  const set = state.log.create(subscriptionOwner(name), generation, floor, topic?.isDurable === false ? undefined : state.out);
  state.out.put(subscriptionKey(name), { type: 'subscription', config });
  const subscription = addSubscription(state, config, topic, set);
  topic?.takeGone(set);
  topic?.recount();
  subscription.restart();
}

export function addSubscription(state: QueuePartition, config: SubscriptionConfig, topic: Topic | undefined, set: AckSet): Subscription {
  if (config.exactlyOnce) set.delivered ??= new PositionSet(set.acknowledged.floor);
  else set.delivered = undefined;
  const subscription = new Subscription(state, config, topic, set);
  state.subscriptions.set(config.name, subscription);
  topic?.subscriptions.add(subscription);
  return subscription;
}

export function createSnapshot(state: QueuePartition, config: SnapshotConfig, generation: number): void {
  const subscription = state.subscriptions.get(config.subscription);
  const topic = state.topics.get(config.topic);
  if (subscription === undefined || topic === undefined) return;
  topic.close();
  const { acknowledged } = subscription.set;
  const set = state.log.create(snapshotOwner(config.name), generation, acknowledged.floor, state.out);
  state.out.put(snapshotKey(config.name), { type: 'snapshot', config });
  const ranges = acknowledged.ranges(LIMITS.snapshotRanges);
  if (ranges.length > 0) state.log.addRanges(set, ranges, state.out);
  addSnapshot(state, config, topic, set);
  topic.takeGone(set);
  topic.recount();
}

export function addSnapshot(state: QueuePartition, config: SnapshotConfig, topic: Topic, set: AckSet): void {
  set.delivered = undefined;
  const snapshot: Snapshot = {
    config,
    set,
    pins: 0,
    dueMs: 0,
    timerIndex: -1,
    ring() {
      if (snapshot.pins > 0) state.timers.set(snapshot, state.nowMs + PINNED_MS);
      else state.follow({ type: 'expireSnapshot', name: config.name });
    },
  };
  state.snapshots.set(config.name, snapshot);
  topic.snapshots.add(snapshot);
  state.timers.set(snapshot, config.expireMs);
}
