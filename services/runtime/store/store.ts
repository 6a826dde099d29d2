/**
 * The port to durable storage: ordered keys, atomic compare-and-write of many records, range scan,
 * watch, lease. Engines behind it: memory, lmdb, etcd. One conformance suite holds them all.
 *
 * Keys are non-empty strings, at most {@link MAX_KEY_BYTES} bytes of UTF-8, ordered by their UTF-8
 * bytes. Values are bytes. Nothing here knows what a record means.
 */

/** The longest key that every engine takes, in bytes of UTF-8. */
export const MAX_KEY_BYTES = 1500;

/** The most that one {@link WriteBatch} may hold. */
export interface WriteLimits {
  /** Puts, deletes and deleted ranges. */
  readonly operations: number;
  readonly compares: number;
  /** UTF-8 bytes of every key named, and bytes of the values: `batchBytes` in validate.ts computes it. */
  readonly bytes: number;
}

/**
 * What every engine takes, and so the most that one atomic change may need, wherever it runs. They are
 * etcd's defaults (128 operations a transaction, 1.5 MiB a request) less room for framing and a
 * cluster's key prefix.
 */
export const WRITE_LIMITS: WriteLimits = { operations: 128, compares: 128, bytes: 1_400_000 };

/** A record as it stands in the store. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
}

/** Keys from `from` (included) to `to` (excluded), in ascending order unless reversed. */
export interface Range {
  readonly from: string;
  readonly to: string;
}

/** Every key that begins with the prefix. */
export function prefixRange(prefix: string): Range {
  const last = prefix.length - 1;
  // The engines' prefixes end in ASCII, so the successor is one code unit away.
  return { from: prefix, to: prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1) };
}

export interface ScanOptions {
  /** Most entries to return. Positive. */
  readonly limit: number;
  /** From the highest key down. */
  readonly reverse?: boolean;
  /** Leave the values empty. */
  readonly keysOnly?: boolean;
}

export interface ScanResult {
  readonly entries: readonly Entry[];
  /** Whether the range holds more than was returned. */
  readonly more: boolean;
}

/** What must hold for a write to go through. */
export type Compare =
  | { readonly type: 'absent'; readonly key: string }
  /** The key exists and was created by the write with this revision. Only for keys under a lease. */
  | { readonly type: 'created'; readonly key: string; readonly revision: number };

export interface Put {
  readonly key: string;
  /** Not to be changed by the caller afterwards: an engine may keep it instead of a copy. */
  readonly value: Uint8Array;
  /**
   * The key goes when the lease ends. Needed under {@link LEASED_PREFIX}, refused elsewhere: there
   * a key stays until it is deleted.
   */
  readonly lease?: Lease;
}

/**
 * All of it or nothing. No key may be named twice: neither put and deleted, nor put or deleted inside
 * a deleted range, nor may deleted ranges overlap. Over the store's limits, or with a key named twice, it is refused before anything happens.
 */
export interface WriteBatch {
  readonly compares?: readonly Compare[];
  readonly puts?: readonly Put[];
  readonly deletes?: readonly string[];
  readonly deleteRanges?: readonly Range[];
}

/**
 * Either everything is durable, or a compare did not hold and nothing was changed. The revision is the
 * create revision of the leased keys that it created, higher than that of any write before that changed
 * leased keys.
 */
export type WriteResult =
  | {
      readonly type: 'written';
      readonly revision: number;
      /** Name of the fault that was injected on the way; see services/runtime/faults. */
      readonly fault?: string;
    }
  | { readonly type: 'refused' };

/**
 * Time-bound ownership. It lives as long as its holder renews it, and takes its keys with it.
 */
export interface Lease {
  readonly id: string;
  readonly ttlMs: number;
  /**
   * Renews. Resolves once the store has confirmed, so a holder counts its time to live from the
   * moment it called. Rejects with {@link StoreUnavailable} when it could not, or
   * {@link LeaseLost} when the lease has ended.
   */
  renew(): Promise<void>;
  /**
   * Ends the lease and removes its keys. Resolves when that is certain, also when it had ended
   * before. Rejects with {@link StoreUnavailable} when it is not certain: try again.
   */
  revoke(): Promise<void>;
}

export type WatchEvent =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly createRevision: number }
  | { readonly type: 'delete'; readonly key: string };

export interface Watch {
  /** Ends the watch. */
  close(): void;
}

export interface WatchHandlers {
  /**
   * Everything in the range at one moment, with create revisions; then changes. Called again with a
   * new snapshot whenever changes may have been missed (a lost connection, a compaction). Never
   * called from inside a call of the store's: neither is onEvents.
   */
  onSnapshot(entries: ReadonlyMap<string, { readonly value: Uint8Array; readonly createRevision: number }>): void;
  onEvents(events: readonly WatchEvent[]): void;
}

/** Keys under this prefix, and only they, are put with a lease, compared by revision and watched. */
export const LEASED_PREFIX = 'live/';

export interface Store {
  /** What it is, for people: "lmdb at /path", "etcd at http://…". */
  readonly description: string;
  /** What one write may hold here, at least {@link WRITE_LIMITS}. More makes larger batches, nothing else. */
  readonly limits: WriteLimits;
  /**
   * Linearizable. In the order of the keys asked for; undefined where there is none. This and the
   * other reads reject with {@link StoreUnavailable} or {@link InvalidStoreRequest}.
   */
  get(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** Linearizable. */
  scan(range: Range, options: ScanOptions): Promise<ScanResult>;
  /**
   * Durable when it resolves. Rejects with {@link WriteLimitExceeded} or {@link DuplicateKey} (nothing
   * was changed), {@link InvalidStoreRequest} (nothing was changed), {@link LeaseLost} (surely not
   * executed), {@link StoreUnavailable} (surely not executed), {@link StoreFull} (surely not
   * executed), or {@link AmbiguousWrite} (it may take effect now, later, or never).
   */
  write(batch: WriteBatch): Promise<WriteResult>;
  /** @param ttlMs time to live, at least 1000. */
  grantLease(ttlMs: number): Promise<Lease>;
  /** Follows the leased keys in a range, from a snapshot on, until closed; reconnects by itself. */
  watch(range: Range, handlers: WatchHandlers): Watch;
  /**
   * Removes history that nobody reads: on etcd everything older than the call before this one, on lmdb
   * what was kept for processes that are gone. Does nothing on engines without history.
   */
  compact(): Promise<void>;
  /** Bytes in use, for reports and back-pressure; `limitBytes` undefined where there is none. */
  size(): Promise<{ readonly usedBytes: number; readonly limitBytes?: number }>;
  /** Waits for the writes under way. Afterwards every call rejects with {@link StoreUnavailable}. */
  close(): Promise<void>;
}
