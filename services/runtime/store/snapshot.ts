/** A store as it is at one moment, read beside whoever serves from it. */
import type { Entry } from './store.ts';

export interface Snapshot {
  readonly engine: 'lmdb' | 'etcd';
  /** What it is of, for people. */
  readonly description: string;
  /** No leased key has a higher create revision. */
  readonly revision: number;
  /** The value of a key. */
  get(key: string): Promise<Uint8Array | undefined>;
  /**
   * Everything but the leased keys, in the order of the keys. Rejects with {@link StoreUnavailable}, on etcd
   * also when the revision was compacted meanwhile.
   */
  pages(): AsyncGenerator<readonly Entry[]>;
  close(): Promise<void>;
}
