/** Configurations of topics, subscriptions and snapshots, and their records. */

import {
  RecordedDeliveryMode,
  type RecordedSnapshot,
  RecordedStorage,
  type RecordedSubscription,
  type RecordedTopic,
} from '../gen/txmesh/record/v1/queue_record.ts';
import type { DeliveryMode, SnapshotConfig, SubscriptionConfig, TopicConfig } from '../kernel/queue/types.ts';

const MODES: Readonly<Record<DeliveryMode, RecordedDeliveryMode>> = {
  parallel: RecordedDeliveryMode.PARALLEL,
  sequential: RecordedDeliveryMode.SEQUENTIAL,
  priority: RecordedDeliveryMode.PRIORITY,
};

export function toRecordedTopic({ storage, overflow, ...config }: TopicConfig): RecordedTopic {
  return {
    ...config,
    storage: storage === 'disk' ? RecordedStorage.DISK : RecordedStorage.MEMORY,
    dropOldest: overflow === 'dropOldest',
  };
}

export function fromRecordedTopic({ storage, dropOldest, ...config }: RecordedTopic): TopicConfig {
  return {
    ...config,
    storage: storage === RecordedStorage.MEMORY ? 'memory' : 'disk',
    overflow: dropOldest ? 'dropOldest' : 'reject',
  };
}

export function toRecordedSubscription({ mode, deadLetter, startFrom, state, ...config }: SubscriptionConfig): RecordedSubscription {
  return {
    ...config,
    mode: MODES[mode],
    deadLetterTopic: deadLetter?.topic ?? '',
    maxDeliveryAttempts: deadLetter?.maxDeliveryAttempts ?? 0,
    fromBeginning: startFrom === 'beginning',
    detached: state === 'detached',
  };
}

export function fromRecordedSubscription(record: RecordedSubscription): SubscriptionConfig {
  const { mode, deadLetterTopic, maxDeliveryAttempts, fromBeginning, detached, ...config } = record;
  return {
    ...config,
    mode: mode === RecordedDeliveryMode.SEQUENTIAL ? 'sequential' : mode === RecordedDeliveryMode.PRIORITY ? 'priority' : 'parallel',
    deadLetter: deadLetterTopic === '' ? undefined : { topic: deadLetterTopic, maxDeliveryAttempts },
    startFrom: fromBeginning ? 'beginning' : 'end',
    state: detached ? 'detached' : 'active',
  };
}

export const toRecordedSnapshot = (config: SnapshotConfig): RecordedSnapshot => ({ ...config });
export const fromRecordedSnapshot = (record: RecordedSnapshot): SnapshotConfig => ({ ...record });
