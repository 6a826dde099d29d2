/** What the store holds, followed write by write, and the versions of every key that ever stood there. */

import type { Kernel } from '../../services/kernel/kernel.ts';
import { partitionPrefix } from '../../services/runtime/cluster/keys.ts';
import { COORDINATOR } from '../../services/runtime/cluster/view.ts';
import type { WriteBatch } from '../../services/runtime/store/store.ts';
import { PARTITIONS, SERVICES } from './cluster.ts';
import type { History, Version } from './history.ts';
import { codecOf, versionsIn } from './kernels.ts';

interface Partition {
  readonly service: string;
  readonly prefix: string;
  readonly records: Map<string, Uint8Array>;
  /** Epoch that the last write compared; 0: none. */
  lastEpoch: number;
}

export class Durable {
  private readonly partitions = new Map<string, Partition>();
  private readonly history: History;
  private readonly count: (what: string) => void;

  constructor(history: History, count: (what: string) => void) {
    this.history = history;
    this.count = count;
    for (const service of SERVICES) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const prefix = partitionPrefix(service.name, partition);
        this.partitions.set(prefix, { service: service.name, prefix, records: new Map(), lastEpoch: 0 });
      }
    }
  }

  /** A write has taken effect. */
  onWritten(batch: WriteBatch, atMs: number): void {
    const any = batch.puts?.[0]?.key ?? batch.deletes?.[0] ?? batch.deleteRanges?.[0]?.from ?? '';
    const partition = this.partitions.get(any.slice(0, any.indexOf('/', any.indexOf('/', 5) + 1) + 1));
    if (partition === undefined) return;
    const { records, prefix } = partition;
    const compare = batch.compares?.find((one) => one.type === 'created');
    partition.lastEpoch = compare?.type === 'created' ? compare.revision : 0;
    for (const { from, to } of batch.deleteRanges ?? []) {
      for (const key of records.keys()) {
        if (prefix + key < from || prefix + key >= to) continue;
        records.delete(key);
        this.count(`collected ${key.slice(0, key.indexOf('/'))} records`);
      }
    }
    for (const key of batch.deletes ?? []) records.delete(key.slice(prefix.length));
    const told: { readonly name: string; readonly version: number }[] = [];
    for (const { key, value } of batch.puts ?? []) {
      records.set(key.slice(prefix.length), value);
      if (partition.service !== COORDINATOR) told.push(...this.note(partition.service, key.slice(prefix.length), value, atMs));
    }
    for (const { name, version } of told) {
      if (!this.history.versionsOf(name).some((one) => one.version === version)) this.history.hide(name, version);
    }
  }

  /** Recovers a kernel from what the partition's records are now. */
  replay(service: string, partition: number, fresh: Kernel<unknown, unknown, unknown, unknown>): void {
    const { records } = this.partitions.get(partitionPrefix(service, partition))!;
    const codec = codecOf(service);
    const sorted = [...records.keys()].sort();
    for (let next = fresh.recovery(); next !== undefined; next = fresh.recovery()) {
      const range = next;
      const keys = 'from' in range ? sorted.filter((key) => key >= range.from && key < range.to) : range;
      for (const key of keys) {
        const bytes = records.get(key);
        if (bytes !== undefined) fresh.recover(key, codec.decode(key, bytes));
      }
    }
  }

  lastEpoch(service: string, partition: number): number {
    return this.partitions.get(partitionPrefix(service, partition))!.lastEpoch;
  }

  /** Returns the versions that the record tells of without their values. */
  private note(participant: string, key: string, bytes: Uint8Array, atMs: number): { name: string; version: number }[] {
    const bare: { name: string; version: number }[] = [];
    for (const { name, version, value } of versionsIn(key, () => codecOf(participant).decode(key, bytes))) {
      const full = `${participant}/${name}`;
      if (value === undefined) {
        bare.push({ name: full, version });
        continue;
      }
      const versions = this.history.versions.get(full) ?? [];
      this.history.versions.set(full, versions);
      const known = versions.find((one) => one.version === version);
      if (known?.value === value) continue;
      const found: Version = { version, value, atMs };
      versions.push(found);
    }
    return bare;
  }
}
