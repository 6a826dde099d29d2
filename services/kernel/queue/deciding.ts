/** What a change of topics, subscriptions and snapshots locks, and whether it can be made. */

import type { Failure } from '../failure.ts';
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
import { snapshotLock, subscriptionLock, topicLock } from './keys.ts';
import type { QueuePartition } from './partition.ts';
import type { Topic } from './topic.ts';
import { LIMITS, type ConfigureOperation, type ConfigureWrite, type SeekTarget, type SubscriptionConfig } from './types.ts';

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
