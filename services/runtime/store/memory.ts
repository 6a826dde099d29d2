/**
 * The memory engine: everything the port promises except survival of the process. It does no I/O and
 * takes its time from the clock it is given, so a deterministic simulation can run on it. A write
 * takes effect inside the call; its promise resolves in a microtask.
 */
import type { Clock } from '../clock.ts';
import { StoreUnavailable } from './errors.ts';
import { LiveKeys } from './live-keys.ts';
import { scanBoth } from './scan.ts';
import { SortedMap } from './sorted-map.ts';
import {
  LEASED_PREFIX,
  WRITE_LIMITS,
  type Compare,
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
import { validateBatch, validateKey, validateScan } from './validate.ts';

export class MemoryStore implements Store {
  readonly description = 'memory';
  readonly limits = WRITE_LIMITS;
  readonly #values = new SortedMap<Uint8Array>();
  readonly #live: LiveKeys;
  #revision = 0;
  #valueBytes = 0;
  #closed = false;

  constructor(clock: Clock) {
    this.#live = new LiveKeys(clock);
  }

  async get(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    this.#requireOpen();
    return keys.map((key) => {
      validateKey(key);
      return this.#read(key);
    });
  }

  async scan(range: Range, options: ScanOptions): Promise<ScanResult> {
    this.#requireOpen();
    validateScan(range, options);
    return scanBoth(range, options, this.#live, (part, limit) =>
      this.#values.range(part, limit, options.reverse).map(([key, value]) => ({ key, value })));
  }

  async write(batch: WriteBatch): Promise<WriteResult> {
    this.#requireOpen();
    validateBatch(batch);
    this.#live.requireLeases(batch.puts);
    for (const compare of batch.compares ?? []) {
      if (!this.#holds(compare)) return { type: 'refused' };
    }
    const { puts = [], deletes = [], deleteRanges = [] } = batch;
    if (puts.length + deletes.length + deleteRanges.length > 0) this.#revision++;
    for (const range of deleteRanges) {
      for (const [key] of this.#values.range(range, Infinity)) this.#delete(key);
    }
    for (const key of deletes) this.#delete(key);
    for (const { key, value, lease } of puts) {
      if (lease !== undefined) continue;
      this.#valueBytes += value.length - (this.#values.get(key)?.length ?? 0);
      this.#values.set(key, value);
    }
    this.#live.apply(puts, deletes, deleteRanges, this.#revision);
    return { type: 'written', revision: this.#revision };
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#requireOpen();
    return this.#live.grant(ttlMs);
  }

  watch(range: Range, handlers: WatchHandlers): Watch {
    this.#requireOpen();
    return this.#live.watch(range, handlers);
  }

  async compact(): Promise<void> {
    this.#requireOpen();
  }

  async size(): Promise<{ usedBytes: number }> {
    this.#requireOpen();
    return { usedBytes: this.#valueBytes };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#live.close();
  }

  #requireOpen(): void {
    if (this.#closed) throw new StoreUnavailable('the memory store is closed');
  }

  #read(key: string): Uint8Array | undefined {
    return key.startsWith(LEASED_PREFIX) ? this.#live.get(key) : this.#values.get(key);
  }

  #holds(compare: Compare): boolean {
    return compare.type === 'absent' ? this.#read(compare.key) === undefined : this.#live.createRevision(compare.key) === compare.revision;
  }

  #delete(key: string): void {
    this.#valueBytes -= this.#values.get(key)?.length ?? 0;
    this.#values.delete(key);
  }
}
