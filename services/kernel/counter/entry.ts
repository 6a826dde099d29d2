/** A counter in memory: what this partition has of it. Changed in place; written once per batch. */

import { fnv1a32 } from '../hash.ts';
import { fitting, type Reservation } from './escrow.ts';
import { MAX_INT64, MAX_SLOT, MIN_INT64 } from './int64.ts';
import { Rates } from './rates.ts';
import { compareComponents, increased } from './replicated.ts';
import type { Bounds, Component, CounterKind, CounterRecord, Layout, Slot } from './types.ts';

/** Upper bounds of encoded parts: everything else with the key, a bucket, a slot, a component. */
const ENTRY_BYTES = 420;
const BUCKET_BYTES = 29;
const SLOT_BYTES = 28;
const COMPONENT_BYTES = 70;
/** A batch adds a bucket to each window. */
const NEW_BUCKETS = 3;
const UTF8_BYTES = 3;

export class CounterEntry implements Layout {
  readonly name: string;
  readonly id: string;
  readonly kind: CounterKind;
  readonly createMs: number;
  /** Of the name, for checks of tokens. */
  readonly hash: number;
  readonly slots: (Slot | undefined)[] = [];
  components: readonly Component[];
  bounds: Bounds;
  shards: number;
  previousShards: number;
  value: bigint;
  /** Differs from what is stored. */
  touched = false;
  readonly rates: Rates;
  private batchAmount = 0n;
  private batchAdds = 0;

  constructor(name: string, record: CounterRecord) {
    this.name = name;
    this.id = record.id;
    this.kind = record.kind;
    this.createMs = record.createMs;
    this.hash = fnv1a32(name);
    this.bounds = record.bounds;
    this.shards = record.shards;
    this.previousShards = record.previousShards;
    this.value = record.value;
    this.components = record.components;
    this.rates = new Rates(record.rates);
    for (const slot of record.slots) this.slots[slot.slot] = slot;
  }

  /** Sums an add for the rates, as of the batch under way. */
  count(amount: bigint, adds: number): void {
    this.batchAmount += amount;
    this.batchAdds += adds;
  }

  /** Ends a batch. */
  foldRates(nowMs: number): void {
    if (this.batchAdds === 0) return;
    this.rates.add(this.batchAmount, this.batchAdds, nowMs);
    this.batchAmount = 0n;
    this.batchAdds = 0;
  }


  /**
   * How much of the amount could be added: all of it, or what is left. Of a sharded counter to the
   * slot, of a queued one on top of what is pending, of a replicated one to the component of this place.
   */
  fitting(amount: bigint, slot: number, pending: bigint, held: Reservation | undefined, own: Component): bigint {
    switch (this.kind) {
      case 'strong':
        return fitting(amount, this.value, held, this.bounds.minimum ?? MIN_INT64, this.bounds.maximum ?? MAX_INT64);
      case 'queued':
        return fitting(amount, this.value + pending, held, MIN_INT64, MAX_INT64);
      case 'sharded':
        return fitting(amount, this.slots[slot]!.value, held, -MAX_SLOT, MAX_SLOT);
      case 'replicated': {
        const component = this.component(own);
        return fitting(amount, amount > 0n ? component.added : -component.subtracted, held, -MAX_INT64, MAX_INT64);
      }
    }
  }

  /** Counts an amount that fits; of a queued counter it is an event instead. */
  credit(amount: bigint, slot: number, own: Component): void {
    switch (this.kind) {
      case 'strong':
      case 'queued':
        this.value += amount;
        return;
      case 'sharded': {
        const place = this.slots[slot]!;
        this.slots[slot] = { ...place, value: place.value + amount };
        return;
      }
      case 'replicated': {
        const component = increased(this.component(own), amount, MAX_INT64)!;
        const others = this.components.filter((other) => compareComponents(other, own) !== 0);
        this.components = [...others, component].sort(compareComponents);
      }
    }
  }

  toRecord(): CounterRecord {
    const { kind, id, createMs, bounds, value, shards, previousShards, components } = this;
    const slots = this.slots.filter((slot) => slot !== undefined);
    return { type: 'counter', kind, id, createMs, bounds, value, shards, previousShards, slots, components, rates: this.rates.toRecord() };
  }

  /** Upper bound of its record and key, encoded, at the end of this batch; also about what it takes in memory. */
  get recordBytes(): number {
    const buckets = (this.rates.bucketCount + NEW_BUCKETS) * BUCKET_BYTES;
    const slots = this.kind === 'sharded' ? (this.slots.length + 1) * SLOT_BYTES : 0;
    return ENTRY_BYTES + UTF8_BYTES * this.name.length + buckets + slots + (this.components.length + 1) * COMPONENT_BYTES;
  }

  private component(own: Component): Component {
    return this.components.find((component) => compareComponents(component, own) === 0) ?? own;
  }
}

/** Of a counter that is not in memory, or is yet to be created. */
export const LARGEST_NEW_BYTES = ENTRY_BYTES + UTF8_BYTES * 256 + 65 * SLOT_BYTES + COMPONENT_BYTES;
export { COMPONENT_BYTES, SLOT_BYTES };
