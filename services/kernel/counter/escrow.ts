/**
 * Escrow (O'Neil 1986): what prepared adds may still take. A bound is checked against the worst case, that all
 * of those which go towards it commit and none of the others do (invariant C3).
 */

/** Sums of the prepared adds of one counter. */
export interface Reservation {
  /** Of those above zero, and below. */
  readonly added: bigint;
  readonly subtracted: bigint;
}

interface Held {
  added: bigint;
  subtracted: bigint;
  count: number;
}

export class Escrow {
  private readonly held = new Map<string, Held>();
  /** Counters that a prepared branch changes otherwise, exclusively. */
  private readonly exclusive = new Set<string>();
  private readonly ignored: boolean;

  /** @param ignored the deliberate bug 'escrow-counts-committed-only' */
  constructor(ignored: boolean) {
    this.ignored = ignored;
  }

  of(name: string): Reservation | undefined {
    return this.ignored ? undefined : this.held.get(name);
  }

  /** Whether branches that add to the counter are prepared. */
  isHeld(name: string): boolean {
    return this.held.has(name);
  }

  /** Whether a prepared branch is to change the counter in a way that adds can't go beside. */
  isChanging(name: string): boolean {
    return this.exclusive.has(name);
  }

  lock(name: string): void {
    this.exclusive.add(name);
  }

  unlock(name: string): void {
    this.exclusive.delete(name);
  }

  reserve(name: string, amount: bigint): void {
    let held = this.held.get(name);
    if (held === undefined) this.held.set(name, (held = { added: 0n, subtracted: 0n, count: 0 }));
    if (amount > 0n) held.added += amount;
    else held.subtracted += amount;
    held.count++;
  }

  release(name: string, amount: bigint): void {
    const held = this.held.get(name);
    if (held === undefined) return;
    if (amount > 0n) held.added -= amount;
    else held.subtracted -= amount;
    if (--held.count === 0) this.held.delete(name);
  }
}

/**
 * How much of the amount fits between the limits: all of it, or what is left in its direction (0 or of
 * its sign).
 */
export function fitting(amount: bigint, value: bigint, held: Reservation | undefined, minimum: bigint, maximum: bigint): bigint {
  if (amount > 0n) {
    const left = maximum - value - (held?.added ?? 0n);
    return amount <= left ? amount : left > 0n ? left : 0n;
  }
  const left = minimum - value - (held?.subtracted ?? 0n);
  return amount >= left ? amount : left < 0n ? left : 0n;
}
