/** A map with a limit: what was not used for longest makes room. */

export class BoundedMap<Key, Value> {
  private readonly limit: number;
  private readonly entries = new Map<Key, Value>();

  constructor(limit: number) {
    this.limit = limit;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Counts as use. */
  get(key: Key): Value | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    this.entries.delete(key);
    this.entries.set(key, value);
    return value;
  }

  /**
   * @param spares whether this one may not go, which counts as use. Some are asked, those that were not
   *   used for longest first. False: none of those may go.
   */
  set(key: Key, value: Value, spares: (value: Value) => boolean = () => false): boolean {
    if (!this.entries.has(key) && this.entries.size >= this.limit && !this.makeRoom(spares)) return false;
    this.entries.set(key, value);
    return true;
  }

  delete(key: Key): void {
    this.entries.delete(key);
  }

  clear(): void {
    this.entries.clear();
  }

  private makeRoom(spares: (value: Value) => boolean): boolean {
    let asked = 0;
    for (const [key, value] of this.entries) {
      this.entries.delete(key);
      if (!spares(value)) return true;
      this.entries.set(key, value);
      if (++asked >= MOST_ASKED || asked >= this.limit) return false;
    }
    return false;
  }
}

const MOST_ASKED = 1_024;
