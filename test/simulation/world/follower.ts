/** Whoever follows what becomes durable. */

import type { Service } from '../../../services/runtime/cluster/view.ts';
import type { AnyRecord } from './commands.ts';

/** A record that was put. */
export interface PutRecord {
  /** Within its partition. */
  readonly key: string;
  decode(): AnyRecord;
}

/** One write of a partition, as it took effect. */
export interface DurableWrite {
  readonly service: Service;
  readonly partition: number;
  /** True time. */
  readonly atMs: number;
  /** Keys of records that were there and are not any more. */
  readonly removed: readonly string[];
  readonly puts: readonly PutRecord[];
}

/** Looks at every write of every partition, in the order in which they take effect. */
export interface Follower {
  onWritten(write: DurableWrite): void;
}
