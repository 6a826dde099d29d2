/** Topics: between the SDK's types and the proto's. */

import { Overflow, Storage, type Topic as WireTopic } from '../../gen/txmesh/queue/v1/queue.ts';
import { durationMs, timestampMs } from '../../runtime/transport/time.ts';
import { nameOf } from '../outcome-codec.ts';
import { duration } from '../times.ts';

/** What a topic keeps. Counts are of the whole topic; each partition takes an equal share. */
export interface Retention {
  /** Messages older than this are removed, acknowledged or not, milliseconds. Default 7 days. */
  readonly maxAgeMs?: number;
  /** Default 10,000,000. */
  readonly maxMessages?: number;
  /** Default 4 GiB on disk, 256 MiB in memory. */
  readonly maxBytes?: number;
  /** At a limit of messages or bytes, a publish is refused (the default) or the oldest are dropped. */
  readonly overflow?: 'REJECT' | 'DROP_OLDEST';
  /** How long messages are kept that every subscription has acknowledged, milliseconds. Default: not at all. */
  readonly acknowledgedAgeMs?: number;
}

/** What can be changed of a topic later. */
export interface TopicSettings {
  readonly retention?: Retention;
  /** For how long a deduplication id is remembered, milliseconds. Default 10 minutes. */
  readonly deduplicationWindowMs?: number;
}

export interface TopicOptions extends TopicSettings {
  /**
   * DISK, the default: durable before a publish is answered. MEMORY: fast, and lost when the partition's
   * leader restarts or changes; takes no part in transactions.
   */
  readonly storage?: 'DISK' | 'MEMORY';
}

/** A topic as it is. */
export interface Topic {
  readonly name: string;
  readonly storage: 'DISK' | 'MEMORY';
  readonly retention: Retention;
  readonly deduplicationWindowMs?: number;
  readonly createTime?: Date;
  /** 1 when it was created, and one more with every update. */
  readonly version: number;
}

/** @param version that it must have now; 0: any. */
export function wireTopic(name: string, { storage, retention, deduplicationWindowMs }: TopicOptions, version = 0): WireTopic {
  return {
    name,
    storage: storage === undefined ? Storage.UNSPECIFIED : Storage[storage],
    retention: retention && {
      maxAge: duration(retention.maxAgeMs, 'retention.maxAgeMs'),
      maxMessages: retention.maxMessages ?? 0,
      maxBytes: retention.maxBytes ?? 0,
      overflow: retention.overflow === undefined ? Overflow.UNSPECIFIED : Overflow[retention.overflow],
      acknowledgedAge: duration(retention.acknowledgedAgeMs, 'retention.acknowledgedAgeMs'),
    },
    deduplicationWindow: duration(deduplicationWindowMs, 'deduplicationWindowMs'),
    createTime: undefined,
    version,
  };
}

const RETENTION_PATHS = {
  maxAgeMs: 'retention.max_age',
  maxMessages: 'retention.max_messages',
  maxBytes: 'retention.max_bytes',
  overflow: 'retention.overflow',
  acknowledgedAgeMs: 'retention.acknowledged_age',
} as const satisfies Record<keyof Retention, string>;

/** The fields that are given. */
export function topicMask({ retention = {}, deduplicationWindowMs }: TopicSettings): string[] {
  const given = (Object.keys(RETENTION_PATHS) as (keyof Retention)[]).filter((field) => retention[field] !== undefined);
  const paths: string[] = given.map((field) => RETENTION_PATHS[field]);
  return deduplicationWindowMs === undefined ? paths : [...paths, 'deduplication_window'];
}

export function topicFrom({ name, storage, retention, deduplicationWindow, createTime, version }: WireTopic): Topic {
  return {
    name,
    storage: nameOf(Storage, storage),
    retention:
      retention === undefined
        ? {}
        : {
            ...(retention.maxAge && { maxAgeMs: durationMs(retention.maxAge) }),
            maxMessages: retention.maxMessages,
            maxBytes: retention.maxBytes,
            overflow: nameOf(Overflow, retention.overflow),
            ...(retention.acknowledgedAge && { acknowledgedAgeMs: durationMs(retention.acknowledgedAge) }),
          },
    ...(deduplicationWindow && { deduplicationWindowMs: durationMs(deduplicationWindow) }),
    ...(createTime && { createTime: new Date(timestampMs(createTime)) }),
    version,
  };
}
