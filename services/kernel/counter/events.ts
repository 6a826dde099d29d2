/**
 * Adds to queued counters: one record for each batch (of at most {@link NAMES} counters; more
 * records for more), rolled up into the counters later, oldest first (invariant C8).
 */

import type { Cost } from '../kernel.ts';
import { isInt64 } from './int64.ts';
import type { RecordOutput } from '../participant/resource.ts';
import { EVENT_PREFIX, eventKey } from './keys.ts';
import type { CounterTypes, EventRecord, QueuedAdds } from './types.ts';

/** Most counters of one record, and of one roll-up: each is a record, and all must fit one write. */
export const NAMES = 64;
/** Upper bound of one counter's adds in a record, with its name. */
export const EVENT_ADDS_BYTES = 860;

interface Pending {
  readonly name: string;
  readonly id: string;
  amount: bigint;
  adds: number;
}

interface Logged {
  readonly number: number;
  readonly record: EventRecord;
}

export class EventLog {
  private readonly log: Logged[] = [];
  private readonly pending = new Map<string, Pending>();
  private batch = new Map<string, Pending>();
  /** Of the batch under way: sums that would pass 64 bits with more. */
  private full: Pending[] = [];
  private number = 1;

  recover(key: string, record: EventRecord): void {
    const number = parseInt(key.slice(EVENT_PREFIX.length), 16);
    this.number = number + 1;
    this.log.push({ number, record });
    for (const { name, id, amount, adds } of record.adds) count(this.pending, name, id, amount, adds);
  }

  append(name: string, id: string, amount: bigint): void {
    const summed = this.batch.get(keyOf(name, id));
    if (summed !== undefined && !isInt64(summed.amount + amount)) {
      this.full.push(summed);
      this.batch.delete(keyOf(name, id));
    }
    count(this.batch, name, id, amount, 1);
    count(this.pending, name, id, amount, 1);
  }

  /** What waits to be rolled up into the counter. */
  pendingOf(name: string, id: string): { readonly amount: bigint; readonly adds: number } | undefined {
    return this.pending.get(keyOf(name, id));
  }

  get recordCount(): number {
    return this.log.length;
  }

  /** When the oldest event was made; undefined: none waits. */
  get oldestMs(): number | undefined {
    return this.log[0]?.record.timeMs;
  }

  /** Counters that the next roll-up is about. */
  names(): ReadonlySet<string> {
    const names = new Set<string>();
    for (const { record } of this.log) {
      const before = names.size;
      for (const { name } of record.adds) names.add(name);
      if (names.size <= NAMES) continue;
      // The names of one record are few enough by themselves.
      return before === 0 ? names : new Set([...names].slice(0, before));
    }
    return names;
  }

  /** Takes the oldest events, of at most {@link NAMES} counters, off the log. */
  take(out: RecordOutput<CounterTypes>): readonly EventRecord[] {
    const names = this.names();
    let taken = 0;
    while (taken < this.log.length && this.log[taken]!.record.adds.every(({ name }) => names.has(name))) taken++;
    if (taken === 0) return [];
    const events = this.log.splice(0, taken);
    out.removeRange(eventKey(events[0]!.number), eventKey(events.at(-1)!.number + 1));
    for (const { record } of events) for (const adds of record.adds) this.settle(adds);
    return events.map(({ record }) => record);
  }

  seal(nowMs: number, out: RecordOutput<CounterTypes>): void {
    if (this.batch.size === 0) return;
    const all: QueuedAdds[] = [...this.full, ...this.batch.values()];
    for (let from = 0; from < all.length; from += NAMES) {
      const number = this.number++;
      const record: EventRecord = { type: 'event', timeMs: nowMs, adds: all.slice(from, from + NAMES) };
      out.put(eventKey(number), record);
      this.log.push({ number, record });
    }
    this.batch = new Map();
    this.full = [];
  }

  /** Of the batch under way, and of the range that {@link take} removes. */
  get sealCost(): Cost {
    return { operations: 1 + Math.ceil((this.batch.size + this.full.length) / NAMES), bytes: 0 };
  }

  durableState(): unknown {
    return this.log;
  }

  private settle({ name, id, amount, adds }: QueuedAdds): void {
    const key = keyOf(name, id);
    const pending = this.pending.get(key)!;
    pending.amount -= amount;
    pending.adds -= adds;
    if (pending.adds === 0) this.pending.delete(key);
  }
}

function count(into: Map<string, Pending>, name: string, id: string, amount: bigint, adds: number): void {
  const key = keyOf(name, id);
  const known = into.get(key);
  if (known === undefined) {
    into.set(key, { name, id, amount, adds });
    return;
  }
  known.amount += amount;
  known.adds += adds;
}

/** A name has no line feed. */
function keyOf(name: string, id: string): string {
  return `${name}\n${id}`;
}
