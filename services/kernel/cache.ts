/**
 * Values in memory, bounded by bytes; that a value is absent is remembered too. Evicts the least
 * recently used, roughly: what was used since it was last looked at gets a second chance.
 */

interface Cached<Value> {
  value: Value | undefined;
  bytes: number;
  used: boolean;
}

/** Shrinks this far below its bound, so that it evicts many at once. */
const LOW_WATER = 0.95;

export class Cache<Value> {
  private readonly entries = new Map<string, Cached<Value>>();
  private readonly maxBytes: number;
  private readonly sizeOf: (key: string, value: Value | undefined) => number;
  private bytes = 0;

  /** @param sizeOf bytes of an entry, of an absent value too */
  constructor(maxBytes: number, sizeOf: (key: string, value: Value | undefined) => number) {
    this.maxBytes = maxBytes;
    this.sizeOf = sizeOf;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  /** Undefined: it is known to be absent, or not known; {@link has} tells. */
  get(key: string): Value | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    entry.used = true;
    return entry.value;
  }

  /** Also to be called when a value has changed in size. */
  set(key: string, value: Value | undefined): void {
    const bytes = this.sizeOf(key, value);
    const entry = this.entries.get(key);
    if (entry === undefined) {
      this.entries.set(key, { value, bytes, used: true });
      this.bytes += bytes;
      return;
    }
    this.bytes += bytes - entry.bytes;
    entry.value = value;
    entry.bytes = bytes;
    entry.used = true;
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.bytes -= entry.bytes;
    this.entries.delete(key);
  }

  /** Drops what is over the bound. Looks at each entry at most twice. */
  evict(): void {
    if (this.bytes <= this.maxBytes) return;
    const target = this.maxBytes * LOW_WATER;
    for (const [key, entry] of this.entries) {
      if (this.bytes <= target) return;
      this.entries.delete(key);
      if (entry.used) {
        entry.used = false;
        this.entries.set(key, entry);
      } else {
        this.bytes -= entry.bytes;
      }
    }
  }
}
