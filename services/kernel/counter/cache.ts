/**
 * Counters in memory, loaded on demand; that a counter is absent is remembered too. What changes in a
 * batch is written at its end, once for each counter.
 */

import { Cache } from '../cache.ts';
import type { RecordOutput } from '../participant/resource.ts';
import { CounterEntry } from './entry.ts';
import { COUNTER_PREFIX, counterKey } from './keys.ts';
import type { CounterRecord, CounterTypes } from './types.ts';

/** Of an absent counter, and of the objects around one that is there. */
const CACHED_BYTES = 600;
/** An object takes about so many times the bytes of its record. */
const OBJECT_FACTOR = 3;

export class CounterCache {
  private readonly cached: Cache<CounterEntry>;
  /** Changed in this batch; undefined: deleted. */
  private touched = new Map<string, CounterEntry | undefined>();

  constructor(maxBytes: number) {
    this.cached = new Cache(maxBytes, (name, entry) => CACHED_BYTES + 2 * name.length + OBJECT_FACTOR * (entry?.recordBytes ?? 0));
  }

  has(name: string): boolean {
    return this.cached.has(name);
  }

  /** Undefined: it is known to be absent, or not known; {@link has} tells. */
  get(name: string): CounterEntry | undefined {
    return this.cached.get(name);
  }

  admit(key: string, record: CounterRecord | undefined): void {
    const name = key.slice(COUNTER_PREFIX.length);
    if (this.cached.has(name)) return;
    this.cached.set(name, record && new CounterEntry(name, record));
  }

  /** The entry was changed: it is written when the batch ends. */
  touch(entry: CounterEntry): void {
    if (entry.touched) return;
    entry.touched = true;
    this.touched.set(entry.name, entry);
  }

  create(name: string, record: CounterRecord): CounterEntry {
    const entry = new CounterEntry(name, record);
    this.cached.set(name, entry);
    this.touch(entry);
    return entry;
  }

  delete(name: string): void {
    const entry = this.get(name);
    if (entry !== undefined) entry.touched = false;
    this.cached.set(name, undefined);
    this.touched.set(name, undefined);
  }

  isTouched(name: string): boolean {
    return this.touched.has(name);
  }

  get touchedCount(): number {
    return this.touched.size;
  }

  /** Writes what the batch has changed. Returns it; undefined: nothing. */
  seal(nowMs: number, out: RecordOutput<CounterTypes>): ReadonlyMap<string, CounterEntry | undefined> | undefined {
    const { touched } = this;
    if (touched.size === 0) {
      this.cached.evict();
      return undefined;
    }
    for (const [name, entry] of touched) {
      if (entry === undefined) {
        out.remove(counterKey(name));
        continue;
      }
      entry.touched = false;
      entry.foldRates(nowMs);
      out.put(counterKey(name), entry.toRecord());
      this.cached.set(name, entry);
    }
    this.touched = new Map();
    this.cached.evict();
    return touched;
  }
}
