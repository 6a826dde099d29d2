/** What topics, subscriptions and snapshots are configured to be. */

export type Storage = 'disk' | 'memory';
export type DeliveryMode = 'parallel' | 'sequential' | 'priority';

/** Times in milliseconds. Counts and bytes are of the whole topic. */
export interface TopicConfig {
  readonly name: string;
  readonly storage: Storage;
  readonly maxAgeMs: number;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly overflow: 'reject' | 'dropOldest';
  /** How long messages are kept that every subscription has acknowledged; 0: not at all. */
  readonly acknowledgedAgeMs: number;
  readonly deduplicationWindowMs: number;
  readonly createMs: number;
  /** 1 at first, one more with every change. */
  readonly version: number;
}

export interface DeadLetterPolicy {
  readonly topic: string;
  readonly maxDeliveryAttempts: number;
}

export interface SubscriptionConfig {
  readonly name: string;
  readonly topic: string;
  readonly mode: DeliveryMode;
  readonly ackDeadlineMs: number;
  readonly exactlyOnce: boolean;
  /** As written; empty: everything matches. */
  readonly filter: string;
  readonly minimumBackoffMs: number;
  readonly maximumBackoffMs: number;
  readonly deadLetter: DeadLetterPolicy | undefined;
  readonly ageingStepMs: number;
  readonly startFrom: 'end' | 'beginning';
  readonly state: 'active' | 'detached';
  readonly createMs: number;
  readonly version: number;
}

export interface SnapshotConfig {
  readonly name: string;
  readonly subscription: string;
  readonly topic: string;
  readonly createMs: number;
  readonly expireMs: number;
}
