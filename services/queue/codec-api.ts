/** Topics, subscriptions and snapshots as the API has them, and as the kernel does. */

import {
  type DeadLetterPolicy,
  Mode,
  Overflow,
  type Retention,
  type Snapshot,
  StartFrom,
  Storage,
  type Subscription,
  SubscriptionState,
  type Topic,
} from '../gen/txmesh/queue/v1/queue.ts';
import type {
  DeliveryMode,
  SnapshotConfig,
  SubscriptionChanges,
  SubscriptionConfig,
  TopicChanges,
  TopicConfig,
} from '../kernel/queue/types.ts';
import { durationMs, timestampMs, toDuration, toTimestamp } from '../runtime/transport/time.ts';

const SECOND_MS = 1000;
const DAY_MS = 86_400_000;

/** For what is left out; see queue.proto. */
export const DEFAULTS = {
  maxAgeMs: 7 * DAY_MS,
  maxMessages: 10_000_000,
  maxBytes: { disk: 4 * 2 ** 30, memory: 256 * 2 ** 20 },
  deduplicationWindowMs: 600 * SECOND_MS,
  ackDeadlineMs: 10 * SECOND_MS,
  maximumBackoffMs: 10 * SECOND_MS,
  maxDeliveryAttempts: 5,
  ageingStepMs: 10 * SECOND_MS,
  snapshotMs: 7 * DAY_MS,
} as const;

type DurationLike = Parameters<typeof durationMs>[0];

const msOr = (duration: DurationLike | undefined, fallbackMs: number): number => (duration === undefined ? fallbackMs : durationMs(duration));

const MODES: readonly (readonly [Mode, DeliveryMode])[] = [
  [Mode.PARALLEL, 'parallel'],
  [Mode.SEQUENTIAL, 'sequential'],
  [Mode.PRIORITY, 'priority'],
];

/** A topic to create. @param createMs the same for a request that is sent again */
export function toTopicConfig({ name, storage, retention, deduplicationWindow }: Topic, createMs: number): TopicConfig {
  const kind = storage === Storage.MEMORY ? 'memory' : 'disk';
  return {
    name,
    storage: kind,
    ...toLimits(retention, kind),
    deduplicationWindowMs: msOr(deduplicationWindow, DEFAULTS.deduplicationWindowMs),
    createMs,
    version: 1,
  };
}

function toLimits(retention: Retention | undefined, storage: 'disk' | 'memory'): Required<Omit<TopicChanges, 'deduplicationWindowMs'>> {
  return {
    maxAgeMs: msOr(retention?.maxAge, DEFAULTS.maxAgeMs),
    maxMessages: retention?.maxMessages || DEFAULTS.maxMessages,
    maxBytes: retention?.maxBytes || DEFAULTS.maxBytes[storage],
    overflow: retention?.overflow === Overflow.DROP_OLDEST ? 'dropOldest' : 'reject',
    acknowledgedAgeMs: msOr(retention?.acknowledgedAge, 0),
  };
}

export function fromTopicConfig(config: TopicConfig): Topic {
  return {
    name: config.name,
    storage: config.storage === 'disk' ? Storage.DISK : Storage.MEMORY,
    retention: {
      maxAge: toDuration(config.maxAgeMs),
      maxMessages: config.maxMessages,
      maxBytes: config.maxBytes,
      overflow: config.overflow === 'reject' ? Overflow.REJECT : Overflow.DROP_OLDEST,
      acknowledgedAge: config.acknowledgedAgeMs === 0 ? undefined : toDuration(config.acknowledgedAgeMs),
    },
    deduplicationWindow: toDuration(config.deduplicationWindowMs),
    createTime: toTimestamp(config.createMs),
    version: config.version,
  };
}

/** What an update mask may name of a topic, and what becomes of it. Absent fields go back to the default of a disk topic. */
const TOPIC_FIELDS: Readonly<Record<string, (topic: Topic) => TopicChanges>> = {
  retention: ({ retention }) => toLimits(retention, 'disk'),
  'retention.max_age': ({ retention }) => ({ maxAgeMs: toLimits(retention, 'disk').maxAgeMs }),
  'retention.max_messages': ({ retention }) => ({ maxMessages: toLimits(retention, 'disk').maxMessages }),
  'retention.max_bytes': ({ retention }) => ({ maxBytes: toLimits(retention, 'disk').maxBytes }),
  'retention.overflow': ({ retention }) => ({ overflow: toLimits(retention, 'disk').overflow }),
  'retention.acknowledged_age': ({ retention }) => ({ acknowledgedAgeMs: toLimits(retention, 'disk').acknowledgedAgeMs }),
  deduplication_window: ({ deduplicationWindow }) => ({ deduplicationWindowMs: msOr(deduplicationWindow, DEFAULTS.deduplicationWindowMs) }),
};

const SUBSCRIPTION_FIELDS: Readonly<Record<string, (subscription: Subscription) => SubscriptionChanges>> = {
  ack_deadline: ({ ackDeadline }) => ({ ackDeadlineMs: msOr(ackDeadline, DEFAULTS.ackDeadlineMs) }),
  retry_policy: toBackoff,
  dead_letter_policy: ({ deadLetterPolicy }) => ({ deadLetter: toDeadLetter(deadLetterPolicy) }),
  ageing_step: ({ ageingStep }) => ({ ageingStepMs: msOr(ageingStep, DEFAULTS.ageingStepMs) }),
};

export const TOPIC_PATHS: readonly string[] = Object.keys(TOPIC_FIELDS);
export const SUBSCRIPTION_PATHS: readonly string[] = Object.keys(SUBSCRIPTION_FIELDS);

/** @param paths each of {@link TOPIC_PATHS} */
export function toTopicChanges(topic: Topic, paths: readonly string[]): TopicChanges {
  return Object.assign({}, ...paths.map((path) => TOPIC_FIELDS[path]!(topic))) as TopicChanges;
}

/** @param paths each of {@link SUBSCRIPTION_PATHS} */
export function toSubscriptionChanges(subscription: Subscription, paths: readonly string[]): SubscriptionChanges {
  return Object.assign({}, ...paths.map((path) => SUBSCRIPTION_FIELDS[path]!(subscription))) as SubscriptionChanges;
}

function toBackoff({ retryPolicy }: Subscription): Pick<SubscriptionConfig, 'minimumBackoffMs' | 'maximumBackoffMs'> {
  const minimumBackoffMs = msOr(retryPolicy?.minimumBackoff, 0);
  return { minimumBackoffMs, maximumBackoffMs: msOr(retryPolicy?.maximumBackoff, Math.max(minimumBackoffMs, DEFAULTS.maximumBackoffMs)) };
}

function toDeadLetter(policy: DeadLetterPolicy | undefined): SubscriptionConfig['deadLetter'] {
  return policy && { topic: policy.topic, maxDeliveryAttempts: policy.maxDeliveryAttempts || DEFAULTS.maxDeliveryAttempts };
}

export function toSubscriptionConfig(subscription: Subscription, createMs: number): SubscriptionConfig {
  const { name, topic, mode, ackDeadline, exactlyOnce, filter, deadLetterPolicy, ageingStep, startFrom } = subscription;
  return {
    name,
    topic,
    mode: MODES.find(([wire]) => wire === mode)?.[1] ?? 'parallel',
    ackDeadlineMs: msOr(ackDeadline, DEFAULTS.ackDeadlineMs),
    exactlyOnce,
    filter,
    ...toBackoff(subscription),
    deadLetter: toDeadLetter(deadLetterPolicy),
    ageingStepMs: msOr(ageingStep, DEFAULTS.ageingStepMs),
    startFrom: startFrom === StartFrom.BEGINNING ? 'beginning' : 'end',
    state: 'active',
    createMs,
    version: 1,
  };
}

export function fromSubscriptionConfig(config: SubscriptionConfig): Subscription {
  return {
    name: config.name,
    topic: config.topic,
    mode: MODES.find(([, mode]) => mode === config.mode)![0],
    ackDeadline: toDuration(config.ackDeadlineMs),
    exactlyOnce: config.exactlyOnce,
    filter: config.filter,
    retryPolicy: { minimumBackoff: toDuration(config.minimumBackoffMs), maximumBackoff: toDuration(config.maximumBackoffMs) },
    deadLetterPolicy: config.deadLetter,
    ageingStep: toDuration(config.ageingStepMs),
    startFrom: config.startFrom === 'beginning' ? StartFrom.BEGINNING : StartFrom.END,
    state: config.state === 'active' ? SubscriptionState.ACTIVE : SubscriptionState.DETACHED,
    createTime: toTimestamp(config.createMs),
    version: config.version,
  };
}

/** @param topic that the subscription has */
export function toSnapshotConfig({ name, subscription, expireTime }: Snapshot, topic: string, createMs: number): SnapshotConfig {
  return { name, subscription, topic, createMs, expireMs: expireTime === undefined ? createMs + DEFAULTS.snapshotMs : timestampMs(expireTime) };
}

export function fromSnapshotConfig({ name, subscription, topic, createMs, expireMs }: SnapshotConfig): Snapshot {
  return { name, subscription, topic, createTime: toTimestamp(createMs), expireTime: toTimestamp(expireMs) };
}
