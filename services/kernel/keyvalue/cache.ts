/**
 * Records in memory, bounded by bytes; that a record is absent is remembered too. Evicts the least
 * recently used, roughly: what was used since it was last looked at gets a second chance.
 */

interface Cached<Record> {
  record: Record | undefined;
  bytes: number;
  used: boolean;
}

/** Of an entry without its value: maps, objects, the key twice as long as its characters. */
const ENTRY_BYTES = 200;
/** Shrinks this far below its bound, so that it evicts many at once. */
const LOW_WATER = 0.95;

export class RecordCache<Record extends { readonly value?: Uint8Array }> {
  private readonly entries = new Map<string, Cached<Record>>();
  private readonly maxBytes: number;
  private bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get byteCount(): number {
    return this.bytes;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  /** Undefined: it is known to be absent, or not known; {@link has} tells. */
  get(key: string): Record | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    entry.used = true;
    return entry.record;
  }

  set(key: string, record: Record | undefined): void {
    const bytes = ENTRY_BYTES + 2 * key.length + (record?.value?.length ?? 0);
    const entry = this.entries.get(key);
    if (entry === undefined) {
      this.entries.set(key, { record, bytes, used: true });
      this.bytes += bytes;
      return;
    }
    this.bytes += bytes - entry.bytes;
    entry.record = record;
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
