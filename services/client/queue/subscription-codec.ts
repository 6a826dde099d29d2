/** Subscriptions, snapshots and statistics: between the SDK's types and the proto's. */

import {
  Mode as WireMode,
  StartFrom,
  SubscriptionState,
  type GetSubscriptionStatisticsResponse,
  type GetTopicStatisticsResponse,
  type Snapshot as WireSnapshot,
  type Subscription as WireSubscription,
} from '../../gen/txmesh/queue/v1/queue.ts';
import { durationMs, timestampMs } from '../../runtime/transport/time.ts';
import { nameOf } from '../outcome-codec.ts';
import { duration } from '../times.ts';

/**
 * PARALLEL (the default): oldest first. SEQUENTIAL: one message at a time for each ordering key.
 * PRIORITY: higher first, with ageing.
 */
export type Mode = 'PARALLEL' | 'SEQUENTIAL' | 'PRIORITY';

/** When a message is delivered again: after the minimum, which doubles each time up to the maximum. */
export interface RetryPolicy {
  /** Milliseconds, at most 600,000. Default 0. */
  readonly minimumBackoffMs?: number;
  /** Milliseconds, at most 600,000. Default 10,000. */
  readonly maximumBackoffMs?: number;
}

/** What becomes of messages that are never acknowledged. */
export interface DeadLetterPolicy {
  /** Where they are moved. */
  readonly topic: string;
  /** A message that was delivered this often is moved, 1 to 100. Default 5. */
  readonly maxDeliveryAttempts?: number;
}

/** What can be changed of a subscription later. */
export interface SubscriptionSettings {
  /** How long a consumer has to acknowledge, milliseconds, 10 to 43,200,000 (12 h). Default 10,000. */
  readonly ackDeadlineMs?: number;
  /** Default: delivered again at once. */
  readonly retryPolicy?: RetryPolicy;
  /** Default: delivered again and again. */
  readonly deadLetterPolicy?: DeadLetterPolicy;
  /** For PRIORITY: what a message must wait to gain one level, milliseconds. Default 10 s. */
  readonly ageingStepMs?: number;
}

export interface SubscriptionOptions extends SubscriptionSettings {
  readonly mode?: Mode;
  /** An acknowledgement that came too late says so, and nothing is delivered again before its deadline. */
  readonly exactlyOnce?: boolean;
  /** Only messages whose attributes match: `attributes.region = "eu" AND NOT attributes:test`. */
  readonly filter?: string;
  /** With what is published from now on (END, the default), or with all that the topic has. */
  readonly startFrom?: 'END' | 'BEGINNING';
}

/** A subscription as it is. */
export interface Subscription extends SubscriptionSettings {
  readonly name: string;
  readonly topic: string;
  readonly mode: Mode;
  readonly exactlyOnce: boolean;
  readonly filter: string;
  readonly state: 'ACTIVE' | 'DETACHED';
  readonly createTime?: Date;
  /** 1 when it was created, and one more with every change. */
  readonly version: number;
}

/** What a subscription had left to do at some moment. */
export interface Snapshot {
  readonly name: string;
  readonly subscription: string;
  readonly topic: string;
  readonly createTime?: Date;
  readonly expireTime?: Date;
}

/** How much a topic holds and takes in, over all partitions. */
export interface TopicStatistics {
  /** Messages that are kept, acknowledged ones too. */
  readonly messages: number;
  readonly bytes: number;
  /** Age of the oldest of them, milliseconds. Absent: there is none. */
  readonly oldestAgeMs?: number;
  /** Subscriptions that are not detached. */
  readonly subscriptions: number;
  /** Messages published per second, averaged over the last minute. */
  readonly publishRate: number;
  /** Bytes published per second, averaged over the last minute. */
  readonly publishByteRate: number;
}

/** How far behind a subscription is, over all partitions. Rates are messages per second, averaged over the last minute. */
export interface SubscriptionStatistics {
  /** Messages that are not acknowledged, those in flight and delayed ones included. */
  readonly backlogMessages: number;
  readonly backlogBytes: number;
  /** Age of the oldest of them, milliseconds. Absent: there is none. */
  readonly oldestUnacknowledgedAgeMs?: number;
  /** Messages that are delivered and not settled. */
  readonly inFlight: number;
  /** Messages that wait for their delivery time or the end of a backoff. */
  readonly delayed: number;
  readonly deliveryRate: number;
  readonly acknowledgeRate: number;
  /** Of the deliveries, those that were not a message's first. */
  readonly redeliveryRate: number;
  readonly deadLetterRate: number;
  /** Pulls that wait for messages. */
  readonly waitingPulls: number;
}

/** @param version that it must have now; 0: any. */
export function wireSubscription(name: string, topic: string, options: SubscriptionOptions, version = 0): WireSubscription {
  const { mode, ackDeadlineMs, exactlyOnce = false, filter = '', retryPolicy, deadLetterPolicy, ageingStepMs, startFrom } = options;
  return {
    name,
    topic,
    mode: mode === undefined ? WireMode.UNSPECIFIED : WireMode[mode],
    ackDeadline: duration(ackDeadlineMs, 'ackDeadlineMs'),
    exactlyOnce,
    filter,
    retryPolicy: retryPolicy && {
      minimumBackoff: duration(retryPolicy.minimumBackoffMs, 'retryPolicy.minimumBackoffMs'),
      maximumBackoff: duration(retryPolicy.maximumBackoffMs, 'retryPolicy.maximumBackoffMs'),
    },
    deadLetterPolicy: deadLetterPolicy && { topic: deadLetterPolicy.topic, maxDeliveryAttempts: deadLetterPolicy.maxDeliveryAttempts ?? 0 },
    ageingStep: duration(ageingStepMs, 'ageingStepMs'),
    startFrom: startFrom === undefined ? StartFrom.UNSPECIFIED : StartFrom[startFrom],
    state: SubscriptionState.UNSPECIFIED,
    createTime: undefined,
    version,
  };
}

const PATHS = {
  ackDeadlineMs: 'ack_deadline',
  retryPolicy: 'retry_policy',
  deadLetterPolicy: 'dead_letter_policy',
  ageingStepMs: 'ageing_step',
} as const satisfies Record<keyof SubscriptionSettings, string>;

/** The fields that are given. */
export function subscriptionMask(settings: SubscriptionSettings): string[] {
  return (Object.keys(PATHS) as (keyof SubscriptionSettings)[]).filter((field) => settings[field] !== undefined).map((field) => PATHS[field]);
}

export function subscriptionFrom(wire: WireSubscription): Subscription {
  const { name, topic, mode, ackDeadline, exactlyOnce, filter, retryPolicy, deadLetterPolicy, ageingStep, state, createTime, version } = wire;
  return {
    name,
    topic,
    mode: nameOf(WireMode, mode),
    ...(ackDeadline && { ackDeadlineMs: durationMs(ackDeadline) }),
    exactlyOnce,
    filter,
    ...(retryPolicy && {
      retryPolicy: {
        ...(retryPolicy.minimumBackoff && { minimumBackoffMs: durationMs(retryPolicy.minimumBackoff) }),
        ...(retryPolicy.maximumBackoff && { maximumBackoffMs: durationMs(retryPolicy.maximumBackoff) }),
      },
    }),
    ...(deadLetterPolicy && { deadLetterPolicy: { ...deadLetterPolicy } }),
    ...(ageingStep && { ageingStepMs: durationMs(ageingStep) }),
    state: nameOf(SubscriptionState, state),
    ...(createTime && { createTime: new Date(timestampMs(createTime)) }),
    version,
  };
}

export function snapshotFrom({ name, subscription, topic, createTime, expireTime }: WireSnapshot): Snapshot {
  return {
    name,
    subscription,
    topic,
    ...(createTime && { createTime: new Date(timestampMs(createTime)) }),
    ...(expireTime && { expireTime: new Date(timestampMs(expireTime)) }),
  };
}

export function topicStatisticsFrom({ oldestAge, ...rest }: GetTopicStatisticsResponse): TopicStatistics {
  return { ...rest, ...(oldestAge && { oldestAgeMs: durationMs(oldestAge) }) };
}

export function subscriptionStatisticsFrom({ oldestUnacknowledgedAge: oldest, ...rest }: GetSubscriptionStatisticsResponse): SubscriptionStatistics {
  return { ...rest, ...(oldest && { oldestUnacknowledgedAgeMs: durationMs(oldest) }) };
}
