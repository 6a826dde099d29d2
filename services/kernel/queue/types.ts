/** Vocabulary of the queue resource. Positions number the messages of a topic within one partition. */

import type { Failure } from '../failure.ts';
import type { QueueBug } from './bugs.ts';
import type { SnapshotConfig, SubscriptionConfig, TopicConfig } from './config.ts';
import type { QueueRecord } from './records.ts';
import type { QueueTally } from './tally.ts';

export type * from './config.ts';
export type * from './records.ts';

/** A message on its way into a topic. What it says is opaque here: it is stored and delivered as it came. */
export interface NewMessage {
  readonly encoded: Uint8Array;
  /** Empty: none. */
  readonly orderingKey: string;
  /** 0 to 9. */
  readonly priority: number;
  /** Wall time before which it is not delivered; 0: at once. */
  readonly deliverAtMs: number;
  /** Not delivered before so long after it was published; 0: at once. Only one of the two is not 0. */
  readonly delayMs: number;
  /** From when it can first be delivered; 0: as long as the topic keeps it. */
  readonly timeToLiveMs: number;
  /** Empty: none. */
  readonly deduplicationId: string;
}

/** One delivery of one message: what an acknowledgement id says. */
export interface DeliveryTag {
  /** Of the subscription: changes when it is created anew or sought. */
  readonly generation: number;
  readonly position: number;
  /** 1 for the first delivery. */
  readonly attempt: number;
  /** {@link QueueState.incarnationOf} its topic, when it was delivered. */
  readonly incarnation: number;
}

export type SeekTarget =
  | { readonly type: 'time'; readonly timeMs: number }
  | { readonly type: 'snapshot'; readonly snapshot: string }
  /** To this position of this partition; undefined: it stays as it is. */
  | { readonly type: 'positions'; readonly byPartition: ReadonlyMap<number, number> }
  | { readonly type: 'end' };

/** What of a topic can be changed. */
export type TopicChanges = Partial<
  Pick<TopicConfig, 'maxAgeMs' | 'maxMessages' | 'maxBytes' | 'overflow' | 'acknowledgedAgeMs' | 'deduplicationWindowMs'>
>;

/** What of a subscription can be changed; a dead-letter policy that is undefined is taken back. */
export type SubscriptionChanges = Partial<
  Pick<SubscriptionConfig, 'ackDeadlineMs' | 'minimumBackoffMs' | 'maximumBackoffMs' | 'deadLetter' | 'ageingStepMs'>
>;

/** A change of what exists that is written as it was asked for. */
type Change =
  | { readonly type: 'createTopic'; readonly config: TopicConfig }
  | { readonly type: 'deleteTopic'; readonly name: string }
  | { readonly type: 'purgeTopic'; readonly name: string }
  | { readonly type: 'createSubscription'; readonly config: SubscriptionConfig }
  | { readonly type: 'deleteSubscription'; readonly name: string }
  | { readonly type: 'detachSubscription'; readonly name: string }
  | { readonly type: 'seek'; readonly subscription: string; readonly target: SeekTarget }
  | { readonly type: 'createSnapshot'; readonly config: SnapshotConfig }
  | { readonly type: 'deleteSnapshot'; readonly name: string };

/** A change of what exists, made at every partition in one transaction. */
export type ConfigureOperation =
  | Change
  /** `version`: the one that it must have; 0: any. */
  | { readonly type: 'updateTopic'; readonly name: string; readonly version: number; readonly changes: TopicChanges }
  | { readonly type: 'updateSubscription'; readonly name: string; readonly version: number; readonly changes: SubscriptionChanges };

/** The same, decided. */
export type ConfigureWrite =
  | Change
  | { readonly type: 'putTopic'; readonly config: TopicConfig }
  | { readonly type: 'putSubscription'; readonly config: SubscriptionConfig };

export type QueueOperation =
  | { readonly type: 'publish'; readonly topic: string; readonly message: NewMessage }
  | {
      readonly type: 'acknowledge';
      readonly subscription: string;
      readonly tag: DeliveryTag;
      /** Routing key that leads to the delivery's partition. Not looked at here. */
      readonly route?: string;
    }
  | ConfigureOperation;

/** What a commit does. */
export type QueueWrite =
  | { readonly type: 'publish'; readonly topic: string; readonly message: NewMessage }
  | {
      readonly type: 'acknowledge';
      readonly topic: string;
      readonly subscription: string;
      readonly generation: number;
      readonly position: number;
    }
  | ConfigureWrite;

export interface QueueEffect {
  readonly writes: readonly QueueWrite[];
}

/** What is asked outside of transactions. */
export type QueueRequest =
  /** Answers `published`. */
  | {
      readonly type: 'publish';
      readonly topic: string;
      /** Empty: a repeated request publishes again. */
      readonly session: string;
      readonly settledBelow: number;
      /** The number of each message within the session; without one it is not looked at. */
      readonly sequences: readonly number[];
      readonly messages: readonly NewMessage[];
    }
  /** Answers `delivered`, empty if nothing came in time. */
  | {
      readonly type: 'pull';
      readonly subscription: string;
      readonly maxMessages: number;
      readonly maxBytes: number;
      /** 0: as the subscription says. */
      readonly ackDeadlineMs: number;
      /** Wall time until which it waits for a first message; 0: not at all. */
      readonly untilMs: number;
    }
  /** Answers `settled`. */
  | { readonly type: 'acknowledge'; readonly subscription: string; readonly tags: readonly DeliveryTag[] }
  /** Answers `settled`. A deadline of 0 is a negative acknowledgement. */
  | {
      readonly type: 'modifyDeadline';
      readonly subscription: string;
      readonly tags: readonly DeliveryTag[];
      /** One for each tag, milliseconds from now. */
      readonly deadlinesMs: readonly number[];
    }
  /** What never reached its consumer comes back at once, and its delivery does not count. */
  | { readonly type: 'release'; readonly subscription: string; readonly tags: readonly DeliveryTag[] }
  /** Answers `checked`: which of these deliveries are not out any more. */
  | { readonly type: 'check'; readonly subscription: string; readonly tags: readonly DeliveryTag[] }
  /** Of the resource's own making: goes on with deliveries for which records had to be loaded. */
  | { readonly type: 'deliver'; readonly subscription: string }
  /** Of the resource's own making: the ordering key is free, whoever waits for it publishes. */
  | { readonly type: 'resume'; readonly topic: string; readonly orderingKey: string }
  /** Of the resource's own making: a message has been delivered in vain too often. */
  | { readonly type: 'deadLetter'; readonly subscription: string; readonly position: number }
  /** Of the resource's own making: removes what nobody needs of a topic. */
  | { readonly type: 'collect'; readonly topic: string }
  /** Of the resource's own making: the snapshot's time is over. */
  | { readonly type: 'expireSnapshot'; readonly name: string }
  /** Of the resource's own making: folds the log of acknowledgements. */
  | { readonly type: 'fold' };

export interface DeliveredMessage {
  readonly position: number;
  readonly generation: number;
  readonly attempt: number;
  readonly publishMs: number;
  readonly encoded: Uint8Array;
}

export type QueueResponse =
  | {
      readonly type: 'published';
      /** In the order of the messages; 0 where one was refused. */
      readonly positions: readonly number[];
      /** Why, by place. */
      readonly failures: ReadonlyMap<number, Failure> | undefined;
      /** {@link QueueState.incarnationOf} the topic. */
      readonly incarnation: number;
    }
  | {
      readonly type: 'delivered';
      readonly messages: readonly DeliveredMessage[];
      readonly incarnation: number;
      /** Wall time until which they are to be acknowledged. */
      readonly deadlineMs: number;
    }
  | { readonly type: 'settled'; readonly failures: readonly SettleFailure[] }
  /** Places of the tags. */
  | { readonly type: 'checked'; readonly settled: readonly number[] };

export interface SettleFailure {
  /** Place of the tag. */
  readonly index: number;
  readonly failure: Failure;
}

export type QueueQuery =
  | { readonly type: 'topic' | 'subscription' | 'snapshot'; readonly name: string }
  | { readonly type: 'topics'; readonly after: string; readonly limit: number }
  /** `topic`: only of this one; empty: all. */
  | { readonly type: 'subscriptions' | 'snapshots'; readonly topic: string; readonly after: string; readonly limit: number }
  | { readonly type: 'topicStatistics' | 'subscriptionStatistics'; readonly name: string };

export interface TopicStatistics {
  readonly messages: number;
  readonly bytes: number;
  /** Undefined: there is none. */
  readonly oldestMs: number | undefined;
  readonly subscriptions: number;
  readonly publishRate: number;
  readonly publishByteRate: number;
}

export interface SubscriptionStatistics {
  readonly backlogMessages: number;
  readonly backlogBytes: number;
  readonly oldestMs: number | undefined;
  readonly inFlight: number;
  readonly delayed: number;
  readonly deliveryRate: number;
  readonly acknowledgeRate: number;
  readonly redeliveryRate: number;
  readonly deadLetterRate: number;
  readonly waitingPulls: number;
}

export type QueueAnswer =
  | { readonly type: 'topics'; readonly topics: readonly TopicConfig[]; readonly more: boolean }
  | { readonly type: 'subscriptions'; readonly subscriptions: readonly SubscriptionConfig[]; readonly more: boolean }
  | { readonly type: 'snapshots'; readonly snapshots: readonly SnapshotConfig[]; readonly more: boolean }
  | { readonly type: 'topicStatistics'; readonly statistics: TopicStatistics | undefined }
  | { readonly type: 'subscriptionStatistics'; readonly statistics: SubscriptionStatistics | undefined };

export interface QueueTypes {
  readonly operation: QueueOperation;
  readonly effect: QueueEffect;
  readonly query: QueueQuery;
  readonly answer: QueueAnswer;
  readonly request: QueueRequest;
  readonly response: QueueResponse;
  readonly record: QueueRecord;
}

/** What the kernel needs to know of messages, which it can't read. */
export interface MessagePort {
  attributesOf(encoded: Uint8Array): ReadonlyMap<string, string>;
  /** The message with further attributes. */
  annotate(encoded: Uint8Array, attributes: ReadonlyMap<string, string>): Uint8Array;
}

export interface QueueSettings {
  readonly participant: string;
  readonly partition: number;
  /** Of the participant: limits of topics are shared out equally. */
  readonly partitions: number;
  readonly messages: MessagePort;
  /** Bound of the messages of disk topics that are held in memory, bytes. */
  readonly cacheBytes: number;
  /** Bound of the messages of all memory topics at this partition, bytes. */
  readonly memoryBytes: number;
  /** How long idle publishers' sessions are remembered, milliseconds. */
  readonly sessionRetentionMs: number;
  /** Longest wait of a publish for an ordering key that a prepared transaction holds, milliseconds. */
  readonly keyWaitMs: number;
  /** Tells positions from those that a restored cluster gave out before (invariant P10). */
  readonly numbersAbove: number;
  readonly bugs: ReadonlySet<QueueBug>;
  /** Absent: nobody counts. */
  readonly tally?: QueueTally;
}

export const DEFAULT_QUEUE_SETTINGS = {
  cacheBytes: 64 * 1024 * 1024,
  memoryBytes: 512 * 1024 * 1024,
  sessionRetentionMs: 15 * 60_000,
  keyWaitMs: 5_000,
  numbersAbove: 0,
  bugs: new Set<QueueBug>(),
} as const;

/** Limits, the same on every store; a failure names the one that is passed. */
export const LIMITS = {
  /** Of a message as it is encoded: data, attributes and all the rest. */
  messageBytes: 1_048_576 + 64 * 1024,
  /** Of one publish request of more than one message, and its messages. */
  requestBytes: 512 * 1024,
  requestMessages: 4_096,
  /** Of a segment, unless one message alone is larger. */
  segmentBytes: 256 * 1024,
  segmentMessages: 4_096,
  /** Of a branch. */
  branchOperations: 120,
  branchBytes: 1_200_000,
  /** Of a partition. */
  topics: 10_000,
  subscriptions: 10_000,
  snapshots: 10_000,
  /** Subscriptions and snapshots of one topic. */
  topicHolders: 1_000,
  /** Deduplication ids remembered by a topic at a partition. */
  deduplicationIds: 200_000,
  /** Pulls that wait at a subscription, and at all of them together. */
  subscriptionPulls: 10_000,
  pulls: 100_000,
  /** Messages of a subscription that are delivered and not settled, at one partition. */
  outstanding: 200_000,
  exactlyOnceOutstanding: 20_000,
  /** Tags of an acknowledgement. */
  tags: 10_000,
  /** Publishes that wait for ordering keys. */
  blockedPublishes: 10_000,
  /** Ordering keys of sessions that wait for a refused message to be sent again. */
  pausedKeys: 10_000,
  /** Ranges of acknowledged positions that a snapshot remembers; what is beyond counts as not acknowledged. */
  snapshotRanges: 20_000,
} as const;
