/**
 * Topics, subscriptions and snapshots come, change and go by transactions over all partitions of the
 * participant; the exclusive lock on their names waits for every prepared branch that touches them
 * (invariant Q9).
 */

import type { Cost } from '../kernel.ts';
import {
  payloadKey,
  segmentKey,
  snapshotKey,
  subscriptionKey,
  topicKey,
} from './keys.ts';
import { createSnapshot, createSubscription, createTopic } from './objects.ts';
import type { QueuePartition } from './partition.ts';
import type { Subscription } from './subscription.ts';
import type { Snapshot, Topic } from './topic.ts';
import { LIMITS, type ConfigureWrite, type SeekTarget, type SubscriptionConfig } from './types.ts';

/** A configuration with filter and names; two cursors; ranges of blocks, segments, messages and ids. */
const CONFIGURE_BYTES = 12_000;
const RANGE_BYTES = 12;
export const CONFIGURE_COST: Cost = { operations: 8, bytes: CONFIGURE_BYTES + LIMITS.snapshotRanges * RANGE_BYTES };

/** What may hold a configuration up between prepare and commit is pinned. */
export function holdConfigure(operation: ConfigureWrite, state: QueuePartition, by: 1 | -1): void {
  if (operation.type !== 'seek' || operation.target.type !== 'snapshot') return;
  const snapshot = state.snapshots.get(operation.target.snapshot);
  if (snapshot !== undefined) snapshot.pins += by;
}

export function applyConfigure(operation: ConfigureWrite, revision: number, state: QueuePartition): void {
  const { topics, subscriptions, snapshots, out } = state;
  switch (operation.type) {
    case 'createTopic':
      createTopic(state, operation.config, revision);
      return;
    case 'putTopic': {
      const topic = topics.get(operation.config.name);
      if (topic === undefined) return;
      topic.config = operation.config;
      out.put(topicKey(topic.config.name), { type: 'topic', config: topic.config, nextPosition: topic.next });
      state.touched.add(topic);
      return;
    }
    case 'deleteTopic':
      return deleteTopic(operation.name, state);
    case 'purgeTopic': {
      const topic = topics.get(operation.name);
      if (topic !== undefined) purgeTopic(topic, state);
      return;
    }
    case 'createSubscription':
      createSubscription(state, operation.config, revision);
      return;
    case 'putSubscription': {
      const subscription = subscriptions.get(operation.config.name);
      if (subscription === undefined) return;
      const modeChanged = subscription.config.ageingStepMs !== operation.config.ageingStepMs;
      subscription.config = operation.config;
      out.put(subscriptionKey(operation.config.name), { type: 'subscription', config: operation.config });
      if (modeChanged) subscription.reorder();
      return;
    }
    case 'deleteSubscription': {
      const subscription = subscriptions.get(operation.name);
      if (subscription === undefined) return;
      release(subscription, state);
      out.remove(subscriptionKey(operation.name));
      return;
    }
    case 'detachSubscription': {
      const subscription = subscriptions.get(operation.name);
      if (subscription === undefined) return;
      release(subscription, state);
      const config: SubscriptionConfig = { ...subscription.config, state: 'detached', version: subscription.config.version + 1 };
      createSubscription(state, config, revision);
      return;
    }
    case 'seek':
      return seek(operation.subscription, operation.target, revision, state);
    case 'createSnapshot':
      createSnapshot(state, operation.config, revision);
      return;
    case 'deleteSnapshot': {
      const snapshot = snapshots.get(operation.name);
      if (snapshot !== undefined) deleteSnapshot(snapshot, state);
      return;
    }
  }
}

export function deleteSnapshot(snapshot: Snapshot, state: QueuePartition): void {
  const { name, topic: topicName } = snapshot.config;
  state.snapshots.delete(name);
  state.timers.cancel(snapshot);
  state.out.remove(snapshotKey(name));
  state.log.drop(snapshot.set, state.out);
  const topic = state.topics.get(topicName);
  topic?.snapshots.delete(snapshot);
  topic?.recount();
}

/** The subscription is no more: its backlog, its cursor, whoever waits at it. */
function release(subscription: Subscription, state: QueuePartition): void {
  subscription.restart();
  subscription.closed = true;
  state.woken.add(subscription);
  state.timers.cancel(subscription);
  state.subscriptions.delete(subscription.config.name);
  state.log.drop(subscription.set, state.out);
  subscription.topic?.subscriptions.delete(subscription);
  subscription.topic?.recount();
}

function removeMessages(topic: Topic, state: QueuePartition): void {
  const { segments, config } = topic;
  const { first } = segments;
  if (first !== undefined && topic.isDurable) {
    state.out.removeRange(segmentKey(config.name, first.first), segmentKey(config.name, topic.next));
    state.out.removeRange(payloadKey(config.name, first.first), payloadKey(config.name, topic.next));
  }
  topic.close();
  for (const segment of segments) {
    if (!segment.kept) continue;
    if (topic.isDurable) state.payloads.forget(segment);
    else state.memoryBytes -= segment.bytes;
  }
  segments.clear();
}

function deleteTopic(name: string, state: QueuePartition): void {
  const topic = state.topics.get(name);
  if (topic === undefined) return;
  removeMessages(topic, state);
  state.topics.delete(name);
  state.deleted.add(name);
  state.touched.delete(topic);
  state.timers.cancel(topic);
  state.log.drop(topic.gone, state.out);
  state.out.remove(topicKey(name));
  topic.deduplication.clear(state.out);
}

function purgeTopic(topic: Topic, state: QueuePartition): void {
  removeMessages(topic, state);
  topic.raiseGone();
  for (const set of topic.sets()) set.acknowledged.raise(topic.next - 1);
  for (const set of topic.sets()) for (const position of set.attempts.keys()) set.attempts.delete(position);
  topic.recount();
  for (const subscription of topic.subscriptions) subscription.restart();
  if (topic.isDurable) state.out.put(topicKey(topic.config.name), { type: 'topic', config: topic.config, nextPosition: topic.next });
}

function seek(name: string, target: SeekTarget, revision: number, state: QueuePartition): void {
  const subscription = state.subscriptions.get(name);
  const topic = subscription?.topic;
  if (subscription === undefined || topic === undefined) return;
  const { set } = subscription;
  let floor = topic.next - 1;
  let ranges: number[] = [];
  switch (target.type) {
    case 'end':
      break;
    case 'time':
      for (const segment of topic.segments) {
        if (segment.publishMs < target.timeMs) continue;
        floor = segment.first - 1;
        break;
      }
      break;
    case 'positions': {
      const position = target.byPartition.get(state.settings.partition);
      if (position === undefined) return;
      floor = Math.min(floor, position - 1);
      break;
    }
    case 'snapshot': {
      const snapshot = state.snapshots.get(target.snapshot);
      if (snapshot === undefined) return;
      floor = snapshot.set.acknowledged.floor;
      ranges = snapshot.set.acknowledged.ranges(LIMITS.snapshotRanges);
      break;
    }
  }
  topic.close();
  state.log.reset(set, revision, Math.max(floor, topic.firstKept - 1), ranges, state.out);
  topic.takeGone(set);
  topic.recount();
  subscription.restart();
}
