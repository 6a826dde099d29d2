/**
 * Topics, subscriptions and snapshots come, change and go by transactions over all partitions of the
 * participant; the exclusive lock on their names waits for every prepared branch that touches them
 * (invariant Q9).
 */

import type { Failure } from '../failure.ts';
import type { Cost } from '../kernel.ts';
import type { LockWish } from '../participant/locks.ts';
import {
  alreadyExists,
  detached,
  limitReached,
  memoryTopic,
  snapshotNotFound,
  subscriptionNotFound,
  topicInUse,
  topicNotFound,
  wrongVersion,
} from './failures.ts';
import {
  payloadKey,
  segmentKey,
  snapshotKey,
  snapshotLock,
  subscriptionKey,
  subscriptionLock,
  topicKey,
  topicLock,
} from './keys.ts';
import { createSnapshot, createSubscription, createTopic } from './objects.ts';
import type { QueuePartition } from './partition.ts';
import type { Subscription } from './subscription.ts';
import type { Snapshot, Topic } from './topic.ts';
import { LIMITS, type ConfigureOperation, type ConfigureWrite, type SeekTarget, type SubscriptionConfig } from './types.ts';

/** A configuration with filter and names; two cursors; ranges of blocks, segments, messages and ids. */
const CONFIGURE_BYTES = 12_000;
const RANGE_BYTES = 12;
export const CONFIGURE_COST: Cost = { operations: 8, bytes: CONFIGURE_BYTES + LIMITS.snapshotRanges * RANGE_BYTES };

const exclusive = (name: string): LockWish => ({ name, exclusive: true });
const shared = (name: string): LockWish => ({ name, exclusive: false });

export function configureLocks(operation: ConfigureOperation | ConfigureWrite, state: QueuePartition): LockWish[] {
  switch (operation.type) {
    case 'createTopic':
    case 'putTopic':
      return [exclusive(topicLock(operation.config.name))];
    case 'updateTopic':
    case 'deleteTopic':
    case 'purgeTopic':
      return [exclusive(topicLock(operation.name))];
    case 'createSubscription':
    case 'putSubscription':
      return subscriptionLocks(operation.config);
    case 'updateSubscription': {
      const config = state.subscriptions.get(operation.name)?.config;
      return config === undefined ? [exclusive(subscriptionLock(operation.name))] : subscriptionLocks({ ...config, ...operation.changes });
    }
    case 'deleteSubscription':
    case 'detachSubscription':
      return [exclusive(subscriptionLock(operation.name))];
    case 'seek': {
      const { subscription, target } = operation;
      const wishes = [exclusive(subscriptionLock(subscription))];
      return target.type === 'snapshot' ? [...wishes, shared(snapshotLock(target.snapshot))] : wishes;
    }
    case 'createSnapshot': {
      const { name, subscription, topic } = operation.config;
      return [exclusive(snapshotLock(name)), exclusive(subscriptionLock(subscription)), shared(topicLock(topic))];
    }
    case 'deleteSnapshot':
      return [exclusive(snapshotLock(operation.name))];
  }
}

function subscriptionLocks({ name, topic, deadLetter }: SubscriptionConfig): LockWish[] {
  const wishes = [exclusive(subscriptionLock(name)), shared(topicLock(topic))];
  if (deadLetter !== undefined && deadLetter.topic !== topic) wishes.push(shared(topicLock(deadLetter.topic)));
  return wishes;
}

/** What a commit will do, or why it can't be done. */
export function decideConfigure(operation: ConfigureOperation, state: QueuePartition): ConfigureWrite | Failure {
  switch (operation.type) {
    case 'updateTopic': {
      const { name, version, changes } = operation;
      const config = state.topics.get(name)?.config;
      if (config === undefined) return topicNotFound(name);
      if (version !== 0 && version !== config.version) return wrongVersion('topic', name, config.version, version);
      const changed = { ...config, ...changes, version: config.version + 1 };
      if (changed.acknowledgedAgeMs > changed.maxAgeMs) return invalid('retention.acknowledged_age', 'must not be longer than max_age');
      return { type: 'putTopic', config: changed };
    }
    case 'updateSubscription': {
      const { name, version, changes } = operation;
      const subscription = state.subscriptions.get(name);
      if (subscription === undefined) return subscriptionNotFound(name);
      const { config, topic } = subscription;
      if (topic === undefined) return detached(name);
      if (version !== 0 && version !== config.version) return wrongVersion('subscription', name, config.version, version);
      const changed = { ...config, ...changes, version: config.version + 1 };
      return deadLetterRefusal(changed, topic, state) ?? { type: 'putSubscription', config: changed };
    }
    default:
      return refusalOf(operation, state) ?? operation;
  }
}

function refusalOf(operation: Exclude<ConfigureWrite, { readonly type: 'putTopic' | 'putSubscription' }>, state: QueuePartition): Failure | undefined {
  const { topics, subscriptions, snapshots } = state;
  switch (operation.type) {
    case 'createTopic': {
      const { name } = operation.config;
      if (topics.has(name)) return alreadyExists('topic', name);
      // Its keys are in ranges that this batch removes.
      if (state.deleted.has(name)) return justDeleted(name);
      return topics.size >= LIMITS.topics ? limitReached('topics', LIMITS.topics) : undefined;
    }
    case 'deleteTopic':
      return deleteRefusal(operation.name, state);
    case 'purgeTopic':
      return topics.has(operation.name) ? undefined : topicNotFound(operation.name);
    case 'createSubscription': {
      const { config } = operation;
      if (subscriptions.has(config.name)) return alreadyExists('subscription', config.name);
      const topic = topics.get(config.topic);
      if (topic === undefined) return topicNotFound(config.topic);
      if (subscriptions.size >= LIMITS.subscriptions) return limitReached('subscriptions', LIMITS.subscriptions);
      return holdersRefusal(topic) ?? deadLetterRefusal(config, topic, state);
    }
    case 'deleteSubscription':
      return subscriptions.has(operation.name) ? undefined : subscriptionNotFound(operation.name);
    case 'detachSubscription':
      return attached(operation.name, state).failure;
    case 'seek':
      return seekRefusal(operation.subscription, operation.target, state);
    case 'createSnapshot': {
      const { name, subscription, topic: topicName } = operation.config;
      if (snapshots.has(name)) return alreadyExists('snapshot', name);
      const { failure, topic } = attached(subscription, state);
      if (topic === undefined) return failure;
      if (topic.config.name !== topicName) return subscriptionNotFound(subscription);
      if (!topic.isDurable) return memoryTopic(`no snapshot can be made of subscription "${subscription}"`);
      if (snapshots.size >= LIMITS.snapshots) return limitReached('snapshots', LIMITS.snapshots);
      return holdersRefusal(topic);
    }
    case 'deleteSnapshot':
      return snapshots.has(operation.name) ? undefined : snapshotNotFound(operation.name);
  }
}

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

function attached(name: string, { subscriptions }: QueuePartition): { readonly failure?: Failure; readonly topic?: Topic } {
  const subscription = subscriptions.get(name);
  if (subscription === undefined) return { failure: subscriptionNotFound(name) };
  return subscription.topic === undefined ? { failure: detached(name) } : { topic: subscription.topic };
}

function holdersRefusal({ holders, config }: Topic): Failure | undefined {
  if (holders < LIMITS.topicHolders) return undefined;
  return limitReached(`subscriptions and snapshots of topic "${config.name}"`, LIMITS.topicHolders);
}

function invalid(field: string, description: string): Failure {
  return { reason: 'INVALID_FIELD', message: `${field} ${description}`, violations: [{ field, description }] };
}

function deleteRefusal(name: string, { topics, subscriptions }: QueuePartition): Failure | undefined {
  const topic = topics.get(name);
  if (topic === undefined) return topicNotFound(name);
  for (const { config } of topic.snapshots) return topicInUse(name, `snapshot "${config.name}"`);
  for (const subscription of topic.subscriptions) return topicInUse(name, `subscription "${subscription.config.name}"`);
  for (const { config } of subscriptions.values()) {
    if (config.deadLetter?.topic === name && config.state === 'active') {
      return topicInUse(name, `the dead-letter policy of subscription "${config.name}"`);
    }
  }
  return undefined;
}

function deadLetterRefusal({ deadLetter }: SubscriptionConfig, topic: Topic, { topics }: QueuePartition): Failure | undefined {
  if (deadLetter === undefined) return undefined;
  const target = topics.get(deadLetter.topic);
  if (target === undefined) return topicNotFound(deadLetter.topic);
  return target.isDurable === topic.isDurable
    ? undefined
    : memoryTopic(`"${deadLetter.topic}" can't take the dead letters of topic "${topic.config.name}", which has the other storage`);
}

function justDeleted(name: string): Failure {
  return { reason: 'LOCK_CONFLICT', message: `topic "${name}" was deleted this moment; try again`, metadata: { topic: name }, retryAfterMs: 10 };
}

function seekRefusal(name: string, target: SeekTarget, state: QueuePartition): Failure | undefined {
  const { failure, topic } = attached(name, state);
  if (topic === undefined || target.type !== 'snapshot') return failure;
  const snapshot = state.snapshots.get(target.snapshot);
  if (snapshot === undefined || snapshot.config.topic !== topic.config.name) return snapshotNotFound(target.snapshot);
  return undefined;
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
