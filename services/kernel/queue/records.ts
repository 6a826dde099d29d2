/** What a queue's partition stores. Positions number the messages of a topic within one partition. */

import type { TokenRecord } from '../sessions/types.ts';
import type { SnapshotConfig, SubscriptionConfig, TopicConfig } from './config.ts';

/** Under `topic/<name>`. */
export interface TopicRecord {
  readonly type: 'topic';
  readonly config: TopicConfig;
  /** No message that is kept has a lower position than those that the topic had when this was written. */
  readonly nextPosition: number;
}

/** Under `segment/<topic>/<first position>`: what must be known of the messages of one batch. */
export interface SegmentRecord {
  readonly type: 'segment';
  readonly first: number;
  readonly publishMs: number;
  /** False: nobody was there to get them; only the positions are used up. */
  readonly kept: boolean;
  /** Encoded length of each. */
  readonly sizes: readonly number[];
  /** Absent where no message has one; else one for each message. Times are 0 where there is none. */
  readonly keys?: readonly string[];
  readonly priorities?: readonly number[];
  readonly deliverAtMs?: readonly number[];
  readonly expireAtMs?: readonly number[];
}

/** Under `message/<topic>/<first position>`: the messages themselves. */
export interface PayloadRecord {
  readonly type: 'payload';
  readonly messages: readonly Uint8Array[];
}

/** Under `subscription/<name>`. */
export interface SubscriptionRecord {
  readonly type: 'subscription';
  readonly config: SubscriptionConfig;
}

/** Under `snapshot/<name>`. */
export interface SnapshotRecord {
  readonly type: 'snapshot';
  readonly config: SnapshotConfig;
}

/** Under `cursor/<owner>`: where a set of acknowledged positions begins. */
export interface CursorRecord {
  readonly type: 'cursor';
  readonly generation: number;
  /** Everything up to here is acknowledged. */
  readonly floor: number;
  /** Of exactly-once deliveries: everything up to here was delivered or is acknowledged. */
  readonly deliveredThrough: number;
  /** And the longest deadline that one of them has, milliseconds. */
  readonly longestDeadlineMs: number;
  /** Positions and delivery counts, in turn, of what was delivered more than once. */
  readonly attempts: readonly number[];
}

/** Under `block/<owner>/<generation>/<block>`: one bit for each of the positions of a block. */
export interface BlockRecord {
  readonly type: 'block';
  readonly acknowledged: Uint8Array;
  /** Absent where delivery is not exactly once. */
  readonly delivered?: Uint8Array;
}

/** What one batch acknowledged of one owner. */
export interface AckGroup {
  readonly owner: string;
  /** Counts only while the owner has this generation. */
  readonly generation: number;
  /** First and last positions of ranges, in turn, ascending. */
  readonly acknowledged: readonly number[];
  readonly delivered: readonly number[];
  readonly attempts: readonly number[];
  readonly longestDeadlineMs: number;
}

/** Under `ack/<sequence>`. */
export interface AcksRecord {
  readonly type: 'acks';
  readonly groups: readonly AckGroup[];
}

/** Under `dedup/<topic>/<first position>`: the deduplication ids of one batch, with their positions. */
export interface DeduplicationRecord {
  readonly type: 'deduplication';
  readonly publishMs: number;
  readonly ids: readonly string[];
  readonly positions: readonly number[];
}

export type QueueRecord =
  | TopicRecord
  | SegmentRecord
  | PayloadRecord
  | SubscriptionRecord
  | SnapshotRecord
  | CursorRecord
  | BlockRecord
  | AcksRecord
  | DeduplicationRecord
  | TokenRecord<number>;
