/** Commits: what prepared or local changes do to counters; see {@link CounterChange}. */

import type { RecordOutput } from '../participant/resource.ts';
import type { CounterCache } from './cache.ts';
import type { CounterEntry } from './entry.ts';
import type { EventLog } from './events.ts';
import { replicaKey } from './keys.ts';
import { HOME_SLOT } from './placement.ts';
import type { Slots } from './slots.ts';
import type { CounterTally } from './tally.ts';
import type { Component, CounterChange, CounterTypes } from './types.ts';

export interface ChangeParts {
  readonly counters: CounterCache;
  readonly events: EventLog;
  readonly slots: Slots;
  /** This partition of this cluster. */
  readonly own: Component;
  readonly tally: CounterTally | undefined;
  /** News of a replicated counter are to be told to others. */
  tell(name: string): void;
}

type Creation = Extract<CounterChange, { readonly type: 'create' }>;

export class Changes {
  private readonly parts: ChangeParts;

  constructor(parts: ChangeParts) {
    this.parts = parts;
  }

  /** What the commit of a branch does to one counter, which is loaded. */
  apply(change: CounterChange, out: RecordOutput<CounterTypes>): void {
    if (change.type === 'create') return this.create(change, out);
    const entry = this.parts.counters.get(change.name)!;
    switch (change.type) {
      case 'add':
        return this.add(entry, change.amount);
      case 'check':
        return;
      case 'set':
        entry.value = change.value;
        break;
      case 'update':
        if (change.bounds !== undefined) entry.bounds = change.bounds;
        if (change.shards !== 0 && change.shards !== entry.shards) {
          entry.previousShards = entry.shards;
          entry.shards = change.shards;
          this.parts.slots.relayout(entry, out);
        }
        break;
      case 'delete':
        this.parts.slots.forget(entry, out);
        if (entry.kind === 'replicated') out.remove(replicaKey(entry.name));
        this.parts.counters.delete(change.name);
        return;
    }
    this.parts.counters.touch(entry);
  }

  private add(entry: CounterEntry, amount: bigint): void {
    this.parts.tally?.added(entry.kind);
    if (entry.kind === 'queued') return this.parts.events.append(entry.name, entry.id, amount);
    entry.credit(amount, HOME_SLOT, this.parts.own);
    entry.count(amount, 1);
    if (entry.kind === 'replicated') this.parts.tell(entry.name);
    this.parts.counters.touch(entry);
  }

  private create({ name, id, kind, bounds, value, shards, createMs }: Creation, out: RecordOutput<CounterTypes>): void {
    if (kind === 'replicated') {
      out.put(replicaKey(name), { type: 'replica' });
      // Others may have counted under this name: they hear of it, and answer with what they know.
      this.parts.tell(name);
    }
    this.parts.counters.create(name, {
      type: 'counter',
      id,
      kind,
      createMs,
      bounds,
      value,
      shards,
      previousShards: shards,
      slots: kind === 'sharded' ? this.parts.slots.initial(name, shards) : [],
      components: [],
      rates: { seconds: [], minutes: [], hours: [] },
    });
  }
}
