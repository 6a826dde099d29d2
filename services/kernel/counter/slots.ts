/**
 * Slots of sharded counters on the move (invariant C6). A slot is at one partition. It is frozen where
 * it is, installed where it belongs now with its value and tokens under the next generation, and
 * released: each step is idempotent, and until the last one the slot can be found.
 */

import type { RecordOutput } from '../participant/resource.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { CounterCache } from './cache.ts';
import type { CounterEntry } from './entry.ts';
import { homeOf, HOME_SLOT, partitionOfSlot, SLOTS } from './placement.ts';
import { movingKey } from './keys.ts';
import type { CounterBug, CounterSettings, CounterTypes, MovingRecord, MovingSlot, Slot, SlotName, TokenResult } from './types.ts';

export class Slots {
  private readonly settings: CounterSettings;
  private readonly counters: CounterCache;
  private readonly sessions: Sessions<TokenResult>;
  private readonly bugs: ReadonlySet<CounterBug>;
  /** Names of counters with slots that belong elsewhere, and their ids. */
  private readonly moving = new Map<string, string>();

  constructor(settings: CounterSettings, counters: CounterCache, sessions: Sessions<TokenResult>, bugs: ReadonlySet<CounterBug>) {
    this.settings = settings;
    this.counters = counters;
    this.sessions = sessions;
    this.bugs = bugs;
  }

  recover(name: string, { id }: MovingRecord): void {
    this.moving.set(name, id);
  }

  get isMoving(): boolean {
    return this.moving.size > 0;
  }

  get movingNames(): IterableIterator<string> {
    return this.moving.keys();
  }

  /** The slots that a new counter has here. */
  initial(name: string, shards: number): Slot[] {
    const { partition, partitions } = this.settings;
    const slots: Slot[] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      if (partitionOfSlot(name, slot, shards, partitions) === partition) slots.push({ slot, generation: 1, state: 'here', value: 0n });
    }
    if (homeOf(name, partitions) === partition) slots.push({ slot: HOME_SLOT, generation: 1, state: 'here', value: 0n });
    return slots;
  }

  /** Whether every slot that belongs here is here, and no other. */
  isSettled(entry: CounterEntry): boolean {
    const { partition } = this.settings;
    for (let slot = 0; slot < SLOTS; slot++) {
      const state = entry.slots[slot]?.state;
      const belongs = this.placeOf(entry, slot) === partition;
      if (belongs ? state !== 'here' : state === 'here' || state === 'frozen') return false;
    }
    return true;
  }

  /** The slots of a counter that are here and belong elsewhere, with where they belong. */
  misplaced(entry: CounterEntry): (SlotName & { readonly partition: number })[] {
    const { name, id } = entry;
    const misplaced = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      const state = entry.slots[slot]?.state;
      if (state !== 'here' && state !== 'frozen') continue;
      const partition = this.placeOf(entry, slot);
      if (partition !== this.settings.partition) misplaced.push({ name, id, slot, partition });
    }
    return misplaced;
  }

  /** The counter's number of shards was changed. */
  relayout(entry: CounterEntry, out: RecordOutput<CounterTypes>): void {
    if (this.misplaced(entry).length === 0) return;
    this.moving.set(entry.name, entry.id);
    out.put(movingKey(entry.name), { type: 'moving', id: entry.id });
  }

  /** The counter is deleted: its tokens go with it. */
  forget(entry: CounterEntry, out: RecordOutput<CounterTypes>): void {
    for (const slot of entry.slots) if (slot !== undefined) this.sessions.drop(scopeOf(entry.name, slot.slot));
    this.settle(entry, out, true);
  }

  freeze({ name, id, slot }: SlotName): MovingSlot | undefined {
    const entry = this.find(name, id);
    const place = entry?.slots[slot];
    if (entry === undefined || place === undefined || place.state === 'left') return undefined;
    if (this.placeOf(entry, slot) === this.settings.partition) return undefined;
    if (place.state === 'here') {
      entry.slots[slot] = { ...place, state: 'frozen' };
      this.counters.touch(entry);
    }
    const { floor, groups } = this.sessions.extract(scopeOf(name, slot));
    const tokens = this.bugs.has('token-forgotten-on-move') ? [] : groups;
    return { name, id, slot, generation: place.generation + 1, value: place.value, floor, tokens };
  }

  /** False: there is no such counter here. */
  install({ name, id, slot, generation, value, floor, tokens }: MovingSlot, nowMs: number): boolean {
    const entry = this.find(name, id);
    if (entry === undefined) return false;
    if ((entry.slots[slot]?.generation ?? 0) >= generation) return true;
    entry.slots[slot] = { slot, generation, state: 'here', value };
    this.counters.touch(entry);
    const scope = scopeOf(name, slot);
    this.sessions.install(floor, tokens.map((group) => ({ ...group, scope })), nowMs);
    return true;
  }

  release({ name, id, slot }: SlotName, generation: number, out: RecordOutput<CounterTypes>): void {
    const entry = this.find(name, id);
    const place = entry?.slots[slot];
    if (entry === undefined || place?.state !== 'frozen' || place.generation >= generation) return;
    // What is left behind tells a late copy of an earlier install that the slot has gone on since.
    entry.slots[slot] = { slot, generation, state: 'left', value: 0n };
    this.counters.touch(entry);
    this.sessions.drop(scopeOf(name, slot));
    this.settle(entry, out, false);
  }

  private find(name: string, id: string): CounterEntry | undefined {
    const entry = this.counters.get(name);
    return entry?.kind === 'sharded' && entry.id === id ? entry : undefined;
  }

  private settle(entry: CounterEntry, out: RecordOutput<CounterTypes>, always: boolean): void {
    if (!this.moving.has(entry.name) || (!always && this.misplaced(entry).length > 0)) return;
    this.moving.delete(entry.name);
    out.remove(movingKey(entry.name));
  }

  private placeOf({ name, shards }: CounterEntry, slot: number): number {
    return partitionOfSlot(name, slot, shards, this.settings.partitions);
  }

  durableState(): unknown {
    return [...this.moving].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** Tokens of a slot move with it. */
export function scopeOf(name: string, slot: number): string {
  return `${slot}/${name}`;
}
