/** A store whose failures are counted, whoever asked. */

import type { Counter } from '@opentelemetry/api';
import { Labels } from '../telemetry/metrics/labels.ts';
import type { Metrics } from '../telemetry/metrics/metrics.ts';
import { AmbiguousWrite, LeaseLost, StoreFull, StoreUnavailable } from './errors.ts';
import type { Lease, Range, ScanOptions, ScanResult, Store, Watch, WatchHandlers, WriteBatch, WriteResult } from './store.ts';

export class MeteredStore implements Store {
  private readonly store: Store;
  private readonly failures: Counter;
  private readonly labels = new Labels('txmesh.reason');

  constructor(store: Store, metrics: Metrics) {
    this.store = store;
    this.failures = metrics.counter('txmesh.store.failures');
    for (const reason of REASONS) this.failures.add(0, this.labels.of(reason));
  }

  get description(): string {
    return this.store.description;
  }

  get limits(): Store['limits'] {
    return this.store.limits;
  }

  get(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.counted(this.store.get(keys));
  }

  scan(range: Range, options: ScanOptions): Promise<ScanResult> {
    return this.counted(this.store.scan(range, options));
  }

  write(batch: WriteBatch): Promise<WriteResult> {
    return this.counted(this.store.write(batch));
  }

  grantLease(ttlMs: number): Promise<Lease> {
    return this.counted(this.store.grantLease(ttlMs));
  }

  watch(range: Range, handlers: WatchHandlers): Watch {
    return this.store.watch(range, handlers);
  }

  compact(): Promise<void> {
    return this.counted(this.store.compact());
  }

  size(): Promise<{ readonly usedBytes: number; readonly limitBytes?: number }> {
    return this.counted(this.store.size());
  }

  close(): Promise<void> {
    return this.store.close();
  }

  /** The same promise: whoever waits for it hears of the failure. */
  private counted<T>(request: Promise<T>): Promise<T> {
    request.catch((error: unknown) => this.failures.add(1, this.labels.of(reasonOf(error))));
    return request;
  }
}

const REASONS = ['unavailable', 'full', 'ambiguous', 'lease_lost', 'invalid'] as const;

function reasonOf(error: unknown): (typeof REASONS)[number] {
  if (error instanceof StoreUnavailable) return 'unavailable';
  if (error instanceof StoreFull) return 'full';
  if (error instanceof AmbiguousWrite) return 'ambiguous';
  return error instanceof LeaseLost ? 'lease_lost' : 'invalid';
}
