/** Deduplication ids of a topic: remembered for a window of time, one record for those of a batch. */

import type { RecordOutput } from '../participant/resource.ts';
import { deduplicationKey } from './keys.ts';
import { Fifo } from './positions.ts';
import { LIMITS, type DeduplicationRecord, type QueueTypes } from './types.ts';

interface Known {
  readonly position: number;
  readonly batch: Batch;
}

interface Batch {
  readonly first: number;
  readonly publishMs: number;
  readonly ids: string[];
  readonly positions: number[];
}

export class Deduplication {
  private readonly topic: string;
  private readonly durable: boolean;
  private readonly known = new Map<string, Known>();
  private readonly batches = new Fifo<Batch>();
  private open: Batch | undefined;

  constructor(topic: string, durable: boolean) {
    this.topic = topic;
    this.durable = durable;
  }

  recover({ publishMs, ids, positions }: DeduplicationRecord): void {
    const batch: Batch = { first: positions[0] ?? 0, publishMs, ids: [...ids], positions: [...positions] };
    this.batches.push(batch);
    ids.forEach((id, i) => this.known.set(id, { position: positions[i]!, batch }));
  }

  /** Where a message with this name was published within the window. */
  find(name: string, windowMs: number, nowMs: number): number | undefined {
    const known = this.known.get(name);
    return known !== undefined && known.batch.publishMs + windowMs > nowMs ? known.position : undefined;
  }

  get isFull(): boolean {
    return this.known.size >= LIMITS.deduplicationIds;
  }

  add(name: string, position: number, nowMs: number, out: RecordOutput<QueueTypes>): void {
    if (this.open === undefined) {
      this.open = { first: position, publishMs: nowMs, ids: [], positions: [] };
      this.batches.push(this.open);
      const { publishMs, ids, positions } = this.open;
      // Grows until the batch is sealed.
      if (this.durable) out.put(deduplicationKey(this.topic, position), { type: 'deduplication', publishMs, ids, positions });
    }
    this.open.ids.push(name);
    this.open.positions.push(position);
    this.known.set(name, { position, batch: this.open });
  }

  /** Whether a record of this batch is there already. */
  get isOpen(): boolean {
    return this.open !== undefined;
  }

  seal(): void {
    this.open = undefined;
  }

  /** When the oldest ids leave the window; undefined: there are none. */
  dueMs(windowMs: number): number | undefined {
    const oldest = this.batches.peek();
    return oldest === undefined ? undefined : oldest.publishMs + windowMs;
  }

  /** Forgets what is out of the window. At most one range. */
  collect(windowMs: number, nowMs: number, out: RecordOutput<QueueTypes>): void {
    let first: number | undefined;
    let last = 0;
    for (let batch = this.batches.peek(); batch !== undefined && batch !== this.open; batch = this.batches.peek()) {
      if (batch.publishMs + windowMs > nowMs) break;
      this.batches.shift();
      for (const id of batch.ids) if (this.known.get(id)?.batch === batch) this.known.delete(id);
      first ??= batch.first;
      last = batch.first;
    }
    if (first !== undefined && this.durable) out.removeRange(deduplicationKey(this.topic, first), deduplicationKey(this.topic, last + 1));
  }

  /** Forgets all of it. */
  clear(out: RecordOutput<QueueTypes>): void {
    this.open = undefined;
    this.known.clear();
    const first = this.batches.peek();
    let last = first;
    for (let batch = this.batches.shift(); batch !== undefined; batch = this.batches.shift()) last = batch;
    if (first === undefined || !this.durable) return;
    out.removeRange(deduplicationKey(this.topic, first.first), deduplicationKey(this.topic, last!.first + 1));
  }

  durableState(): unknown {
    return [...this.known].map(([id, { position }]) => `${id} ${position}`).sort();
  }
}
