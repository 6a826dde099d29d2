/**
 * Counters in memory, loaded on demand and bounded by bytes; that a counter is absent is remembered
 * too. What changes in a batch is written at its end, once for each counter. Evicts the least
 * recently used, roughly: what was used since it was last looked at gets a second chance.
 */

import type { RecordOutput } from '../participant/resource.ts';
import { CounterEntry } from './entry.ts';
import { COUNTER_PREFIX, counterKey } from './keys.ts';
import type { CounterRecord, CounterTypes } from './types.ts';

interface Cached {
  entry: CounterEntry | undefined;
  bytes: number;
  used: boolean;
}

/** Of an absent counter, and of the objects around one that is there. */
const CACHED_BYTES = 600;
/** An object takes about so many times the bytes of its record. */
const OBJECT_FACTOR = 3;
/** Shrinks this far below its bound, so that it evicts many at once. */
const LOW_WATER = 0.95;

export class CounterCache {
  private readonly cached = new Map<string, Cached>();
  private readonly maxBytes: number;
  private bytes = 0;
  /** Changed in this batch; undefined: deleted. */
  private touched = new Map<string, CounterEntry | undefined>();

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  has(name: string): boolean {
    return this.cached.has(name);
  }

  /** Undefined: it is known to be absent, or not known; {@link has} tells. */
  get(name: string): CounterEntry | undefined {
    const cached = this.cached.get(name);
    if (cached === undefined) return undefined;
    cached.used = true;
    return cached.entry;
  }

  admit(key: string, record: CounterRecord | undefined): void {
    const name = key.slice(COUNTER_PREFIX.length);
    if (this.cached.has(name)) return;
    this.set(name, record && new CounterEntry(name, record));
  }

  /** The entry was changed: it is written when the batch ends. */
  touch(entry: CounterEntry): void {
    if (entry.touched) return;
    entry.touched = true;
    this.touched.set(entry.name, entry);
  }

  create(name: string, record: CounterRecord): CounterEntry {
    const entry = new CounterEntry(name, record);
    this.set(name, entry);
    this.touch(entry);
    return entry;
  }

  delete(name: string): void {
    const entry = this.get(name);
    if (entry !== undefined) entry.touched = false;
    this.set(name, undefined);
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
      this.evict();
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
      this.measure(name, entry);
    }
    this.touched = new Map();
    this.evict();
    return touched;
  }

  private set(name: string, entry: CounterEntry | undefined): void {
    const cached = this.cached.get(name);
    if (cached === undefined) {
      this.cached.set(name, { entry, bytes: 0, used: true });
    } else {
      cached.entry = entry;
      cached.used = true;
    }
    this.measure(name, entry);
  }

  private measure(name: string, entry: CounterEntry | undefined): void {
    const cached = this.cached.get(name)!;
    const bytes = CACHED_BYTES + 2 * name.length + OBJECT_FACTOR * (entry?.recordBytes ?? 0);
    this.bytes += bytes - cached.bytes;
    cached.bytes = bytes;
  }

  /** Drops what is over the bound. Looks at each counter at most twice. */
  private evict(): void {
    if (this.bytes <= this.maxBytes) return;
    const target = this.maxBytes * LOW_WATER;
    for (const [name, cached] of this.cached) {
      if (this.bytes <= target) return;
      this.cached.delete(name);
      if (cached.used) {
        cached.used = false;
        this.cached.set(name, cached);
      } else this.bytes -= cached.bytes;
    }
  }
}
