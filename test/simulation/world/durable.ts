/** What the store holds, followed write by write. */

import type { Kernel } from '../../../services/kernel/kernel.ts';
import { partitionPrefix } from '../../../services/runtime/cluster/keys.ts';
import type { Service } from '../../../services/runtime/cluster/view.ts';
import type { WriteBatch } from '../../../services/runtime/store/store.ts';
import type { AnyKernel } from './commands.ts';
import type { Follower } from './follower.ts';
import { codecOf } from './kinds.ts';

interface Partition {
  readonly service: Service;
  readonly partition: number;
  readonly prefix: string;
  readonly records: Map<string, Uint8Array>;
  /** Epoch that the last write compared; 0: none. */
  lastEpoch: number;
}

export class Durable {
  private readonly partitions = new Map<string, Partition>();
  private readonly followers: readonly Follower[];
  private readonly count: (what: string) => void;

  constructor(services: readonly Service[], followers: readonly Follower[], count: (what: string) => void) {
    this.followers = followers;
    this.count = count;
    for (const service of services) {
      for (let partition = 0; partition < service.partitions; partition++) {
        const prefix = partitionPrefix(service.name, partition);
        this.partitions.set(prefix, { service, partition, prefix, records: new Map(), lastEpoch: 0 });
      }
    }
  }

  /** A write has taken effect. */
  onWritten(batch: WriteBatch, atMs: number): void {
    const any = batch.puts?.[0]?.key ?? batch.deletes?.[0] ?? batch.deleteRanges?.[0]?.from ?? '';
    const target = this.partitions.get(any.slice(0, any.indexOf('/', any.indexOf('/', 5) + 1) + 1));
    if (target === undefined) return;
    const { service, partition, records, prefix } = target;
    const compare = batch.compares?.find((one) => one.type === 'created');
    target.lastEpoch = compare?.type === 'created' ? compare.revision : 0;
    const removed = this.remove(target, batch);
    const codec = codecOf(service);
    const puts = (batch.puts ?? []).map(({ key: full, value }) => {
      const key = full.slice(prefix.length);
      records.set(key, value);
      return { key, decode: () => codec.decode(key, value) };
    });
    for (const follower of this.followers) follower.onWritten({ service, partition, atMs, removed, puts });
  }

  private remove({ records, prefix }: Partition, batch: WriteBatch): string[] {
    const removed: string[] = [];
    for (const { from, to } of batch.deleteRanges ?? []) {
      for (const key of records.keys()) {
        if (prefix + key < from || prefix + key >= to) continue;
        removed.push(key);
        this.count(`collected ${key.slice(0, key.indexOf('/'))} records`);
      }
    }
    for (const full of batch.deletes ?? []) if (records.has(full.slice(prefix.length))) removed.push(full.slice(prefix.length));
    for (const key of removed) records.delete(key);
    return removed;
  }

  /** Recovers a kernel from what the partition's records are now. */
  replay(service: Service, partition: number, fresh: AnyKernel): void {
    const { records } = this.partitions.get(partitionPrefix(service.name, partition))!;
    const codec = codecOf(service);
    const sorted = [...records.keys()].sort();
    for (const range of loads(fresh)) {
      const keys = 'from' in range ? sorted.filter((key) => key >= range.from && key < range.to) : range;
      for (const key of keys) {
        const bytes = records.get(key);
        if (bytes !== undefined) fresh.recover(key, codec.decode(key, bytes));
      }
    }
  }

  lastEpoch({ name }: Service, partition: number): number {
    return this.partitions.get(partitionPrefix(name, partition))!.lastEpoch;
  }
}

/** What a kernel wants to be recovered from; asked again after every load. */
function* loads(kernel: AnyKernel): Generator<NonNullable<ReturnType<Kernel<never, never, never, never>['recovery']>>> {
  for (let next = kernel.recovery(); next !== undefined; next = kernel.recovery()) yield next;
}
