/**
 * The etcd engine: every write is one etcd transaction, every read is linearizable. Keys lie under a
 * prefix, so several clusters can share an etcd and etcdctl shows them.
 */
import { randomInt } from 'node:crypto';
import { AmbiguousWrite, LeaseLost, StoreFull, StoreUnavailable, WriteLimitExceeded, type StoreError } from './errors.ts';
import type { EtcdSettings } from './etcd-clients.ts';
import { EtcdConnection, EtcdFailed } from './etcd-connection.ts';
import { EtcdKeys, type RangeResponse } from './etcd-keys.ts';
import { EtcdLease, reasonOf } from './etcd-lease.ts';
import { EtcdWatch } from './etcd-watch.ts';
import { isEmptyRange } from './keys.ts';
import {
  WRITE_LIMITS,
  type Lease,
  type Range,
  type ScanOptions,
  type ScanResult,
  type Store,
  type Watch,
  type WatchHandlers,
  type WriteBatch,
  type WriteResult,
} from './store.ts';
import { validateBatch, validateKey, validateScan, validateTtl, validateWatchRange } from './validate.ts';

export interface EtcdStoreSettings extends EtcdSettings {
  readonly prefix: string;
  /** The servers' --quota-backend-bytes: etcd tells it to nobody. */
  readonly quotaBytes: number;
}

interface TxnResponse {
  readonly header: { readonly revision: string };
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range: RangeResponse }[];
}

/** The most that randomInt takes. Among so many, two leases do not meet. */
const MOST_LEASE_NUMBER = 2 ** 48 - 1;
const ASCENDING = { sort_target: 'Key', sort_order: 'None' };
const DESCENDING = { sort_target: 'Key', sort_order: 'Descend' };

export class EtcdStore implements Store {
  readonly limits = WRITE_LIMITS;
  readonly description: string;
  readonly #settings: EtcdStoreSettings;
  readonly #connection: EtcdConnection;
  readonly #keys: EtcdKeys;
  readonly #watches = new Set<EtcdWatch>();
  /** The highest revision that an answer has shown. */
  #seenRevision = 0;
  #revisionAtLastCompaction: number | undefined;
  #closed = false;

  constructor(settings: EtcdStoreSettings) {
    this.description = `etcd at ${settings.endpoints.join(',')}`;
    this.#settings = settings;
    this.#connection = new EtcdConnection(settings);
    this.#keys = new EtcdKeys(settings.prefix);
  }

  async get(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    for (const key of keys) validateKey(key);
    if (keys.length === 1) {
      const response = await this.#read<RangeResponse>('range', { key: this.#keys.encode(keys[0]!) });
      return [response.kvs[0]?.value];
    }
    const values: (Uint8Array | undefined)[] = [];
    for (let start = 0; start < keys.length; start += WRITE_LIMITS.operations) {
      const success = keys.slice(start, start + WRITE_LIMITS.operations).map((key) => ({ request_range: { key: this.#keys.encode(key) } }));
      const response = await this.#read<TxnResponse>('txn', { success });
      for (const { response_range } of response.responses) values.push(response_range.kvs[0]?.value);
    }
    return values;
  }

  async scan(range: Range, options: ScanOptions): Promise<ScanResult> {
    validateScan(range, options);
    if (isEmptyRange(range)) return { entries: [], more: false };
    const response = await this.#read<RangeResponse>('range', {
      ...this.#keys.range(range),
      ...(options.reverse === true ? DESCENDING : ASCENDING),
      limit: options.limit,
      keys_only: options.keysOnly === true,
    });
    return { entries: response.kvs.map(({ key, value }) => ({ key: this.#keys.decode(key), value })), more: response.more };
  }

  async write(batch: WriteBatch): Promise<WriteResult> {
    this.#requireOpen();
    validateBatch(batch);
    const revisionBefore = this.#seenRevision;
    try {
      const response = await this.#connection.call<TxnResponse>('KV', 'txn', this.#transaction(batch));
      const revision = this.#see(response);
      return response.succeeded ? { type: 'written', revision } : { type: 'refused' };
    } catch (error) {
      if (error instanceof EtcdFailed) throw await this.#writeError(error, batch, revisionBefore);
      throw error;
    }
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#requireOpen();
    validateTtl(ttlMs);
    try {
      // etcd's own numbers have 63 bits, and protobufjs rounds those without a word wherever its
      // require('long') finds the wrong kind of module. These pass through any kind of number.
      const id = String(randomInt(1, MOST_LEASE_NUMBER));
      // An answer after its end would be of no use.
      const timeoutMs = Math.min(this.#settings.requestTimeoutMs, ttlMs);
      // Whole seconds, rounded up: a lease that lives longer than its holder believes is safe.
      await this.#connection.call('Lease', 'leaseGrant', { ID: id, TTL: Math.ceil(ttlMs / 1000) }, { timeoutMs });
      return new EtcdLease(id, ttlMs, this.#settings.requestTimeoutMs, this.#connection, this.description);
    } catch (error) {
      if (error instanceof EtcdFailed && error.failure.type === 'no-space') throw this.#full(error);
      // Granted or not: a lease that nobody renews ends by itself.
      throw new StoreUnavailable(`${this.description}: no lease was granted: ${reasonOf(error)}`, { cause: error });
    }
  }

  watch(range: Range, handlers: WatchHandlers): Watch {
    this.#requireOpen();
    validateWatchRange(range);
    const watch = new EtcdWatch(this.#connection, this.#keys, range, handlers, this.#settings.clock);
    this.#watches.add(watch);
    return {
      close: () => {
        watch.close();
        this.#watches.delete(watch);
      },
    };
  }

  async compact(): Promise<void> {
    const now = this.#see(await this.#read<RangeResponse>('range', { key: this.#keys.encode('\0'), count_only: true }));
    const before = this.#revisionAtLastCompaction;
    this.#revisionAtLastCompaction = now;
    if (before === undefined) return;
    try {
      await this.#connection.call('KV', 'compact', { revision: String(before) });
    } catch (error) {
      // Another replica has compacted further.
      if (error instanceof EtcdFailed && error.failure.type === 'compacted') return;
      throw new StoreUnavailable(`${this.description}: history was not compacted: ${reasonOf(error)}`, { cause: error });
    }
  }

  /**
   * Bytes in use at the answering member, without free pages inside the file, which etcd fills before
   * the file grows towards the quota.
   */
  async size(): Promise<{ usedBytes: number; limitBytes: number }> {
    this.#requireOpen();
    try {
      const status = await this.#connection.call<{ dbSizeInUse: string }>('Maintenance', 'status', {}, { read: true });
      return { usedBytes: Number(status.dbSizeInUse), limitBytes: this.#settings.quotaBytes };
    } catch (error) {
      throw new StoreUnavailable(`${this.description}: no status: ${reasonOf(error)}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    this.#connection.close();
  }

  #requireOpen(): void {
    if (this.#closed) throw new StoreUnavailable(`${this.description}: the store is closed`);
  }

  async #read<Response extends { readonly header: { readonly revision: string } }>(method: 'range' | 'txn', payload: object): Promise<Response> {
    this.#requireOpen();
    try {
      const response = await this.#connection.call<Response>('KV', method, payload, { read: true });
      this.#see(response);
      return response;
    } catch (error) {
      throw new StoreUnavailable(`${this.description}: a read got no answer: ${reasonOf(error)}`, { cause: error });
    }
  }

  #see(response: { readonly header: { readonly revision: string } }): number {
    const revision = Number(response.header.revision);
    if (revision > this.#seenRevision) this.#seenRevision = revision;
    return revision;
  }

  #transaction({ compares = [], puts = [], deletes = [], deleteRanges = [] }: WriteBatch): object {
    const success: object[] = [];
    for (const { key, value, lease } of puts) {
      success.push({ request_put: lease === undefined ? { key: this.#keys.encode(key), value } : { key: this.#keys.encode(key), value, lease: lease.id } });
    }
    for (const key of deletes) success.push({ request_delete_range: { key: this.#keys.encode(key) } });
    for (const range of deleteRanges) {
      if (!isEmptyRange(range)) success.push({ request_delete_range: this.#keys.range(range) });
    }
    return {
      // A key that is absent has create revision 0.
      compare: compares.map((compare) => ({
        result: 'Equal',
        target: 'Create',
        key: this.#keys.encode(compare.key),
        create_revision: compare.type === 'absent' ? '0' : String(compare.revision),
      })),
      success,
    };
  }

  async #writeError(error: EtcdFailed, batch: WriteBatch, revisionBefore: number): Promise<StoreError> {
    const { failure } = error;
    const options = { cause: error };
    switch (failure.type) {
      case 'not-executed':
      case 'token-ended':
      case 'denied':
      case 'compacted':
        return new StoreUnavailable(`${this.description}: a write was not executed: ${failure.message}`, options);
      case 'over-limit':
        return new WriteLimitExceeded(`${this.description}: a write is over a limit of this etcd (--max-txn-ops, --max-request-bytes), which must be at least its default: ${failure.message}`, options);
      case 'lease-not-found':
        return new LeaseLost(`${this.description}: a lease of this write has ended: ${failure.message}`, options);
      case 'no-space':
        return (await this.#wasExecuted(batch, revisionBefore)) ? this.#ambiguous(error) : this.#full(error);
      case 'unknown':
        return this.#ambiguous(error);
    }
  }

  /**
   * The first write that takes etcd over its quota is executed and answered with "space exceeded";
   * those after it are refused with the same words. After that answer the outcome is settled, and a
   * read of a key that was put shows it. Errs towards yes.
   */
  async #wasExecuted(batch: WriteBatch, revisionBefore: number): Promise<boolean> {
    const put = batch.puts?.[0];
    if (put === undefined) return true;
    try {
      const response = await this.#read<RangeResponse>('range', { key: this.#keys.encode(put.key), keys_only: true });
      const found = response.kvs[0];
      return found !== undefined && Number(found.mod_revision) > revisionBefore;
    } catch {
      return true;
    }
  }

  #ambiguous(cause: EtcdFailed): AmbiguousWrite {
    return new AmbiguousWrite(`${this.description}: it is not known whether a write was executed: ${cause.message}`, { cause });
  }

  #full(cause: EtcdFailed): StoreFull {
    return new StoreFull(
      `${this.description}: over its space quota, nothing was written: compact, defragment, run "etcdctl alarm disarm", or raise --quota-backend-bytes`,
      { cause },
    );
  }
}
