/**
 * The messages of a topic at one partition, packed by batch: what one batch publishes is a segment, one
 * record of what must be known of its messages and one of the messages themselves. In memory a
 * message costs a few numbers; its payload is there only while it is cached.
 */

import type { NewMessage, SegmentRecord } from './types.ts';

export class Segment {
  readonly first: number;
  readonly publishMs: number;
  /** False: only its positions count, nobody gets its messages. */
  readonly kept: boolean;
  readonly sizes: number[];
  keys: string[] | undefined;
  priorities: number[] | undefined;
  deliverAtMs: number[] | undefined;
  expireAtMs: number[] | undefined;
  /** Encoded messages, all together. */
  bytes = 0;
  /** The messages, while they are in memory. */
  payload: Uint8Array[] | undefined;
  /** For how many messages, counted once for each subscription and snapshot, an acknowledgement is missing. */
  remaining = 0;
  /** Messages that a prepared transaction acknowledges. */
  staged = 0;
  /** The earliest time at which one of the first so many messages is due, found when it was asked for. */
  private dueOfFirstMs = Infinity;
  private dueLookedAt = 0;

  constructor(first: number, publishMs: number, kept: boolean, sizes: number[] = []) {
    this.first = first;
    this.publishMs = publishMs;
    this.kept = kept;
    this.sizes = sizes;
  }

  static from(record: SegmentRecord): Segment {
    const { first, publishMs, kept, sizes, keys, priorities, deliverAtMs, expireAtMs } = record;
    const segment = new Segment(first, publishMs, kept, sizes as number[]);
    segment.keys = keys as string[] | undefined;
    segment.priorities = priorities as number[] | undefined;
    segment.deliverAtMs = deliverAtMs as number[] | undefined;
    segment.expireAtMs = expireAtMs as number[] | undefined;
    for (const size of sizes) segment.bytes += size;
    return segment;
  }

  get count(): number {
    return this.sizes.length;
  }

  /** The position after the last one. */
  get end(): number {
    return this.first + this.sizes.length;
  }

  /** As long as its batch is not sealed. */
  append({ encoded, orderingKey, priority, deliverAtMs: atMs, delayMs, timeToLiveMs }: NewMessage): void {
    const { sizes, publishMs } = this;
    const dueMs = delayMs > 0 ? publishMs + delayMs : atMs;
    const deliverAtMs = dueMs <= publishMs ? 0 : dueMs;
    const index = sizes.length;
    sizes.push(encoded.length);
    this.bytes += encoded.length;
    this.payload?.push(encoded);
    if (orderingKey !== '' && this.keys === undefined) this.keys = filled(index, '');
    this.keys?.push(orderingKey);
    if (priority !== 0 && this.priorities === undefined) this.priorities = filled(index, 0);
    this.priorities?.push(priority);
    if (deliverAtMs !== 0 && this.deliverAtMs === undefined) this.deliverAtMs = filled(index, 0);
    this.deliverAtMs?.push(deliverAtMs);
    if (timeToLiveMs !== 0 && this.expireAtMs === undefined) this.expireAtMs = filled(index, 0);
    this.expireAtMs?.push(timeToLiveMs === 0 ? 0 : Math.max(publishMs, deliverAtMs) + timeToLiveMs);
  }

  /** Its record. Grows with it until the batch is sealed. */
  record(): SegmentRecord {
    return new GrowingRecord(this);
  }

  keyOf(position: number): string {
    return this.keys?.[position - this.first] ?? '';
  }

  priorityOf(position: number): number {
    return this.priorities?.[position - this.first] ?? 0;
  }

  deliverAtOf(position: number): number {
    return this.deliverAtMs?.[position - this.first] ?? 0;
  }

  /** When a message may be delivered first. */
  dueMsOf(position: number): number {
    return this.deliverAtOf(position) || this.publishMs;
  }

  /** When the first of the messages may be delivered. */
  get earliestDueMs(): number {
    if (this.deliverAtMs === undefined) return this.publishMs;
    const { deliverAtMs, publishMs } = this;
    for (; this.dueLookedAt < deliverAtMs.length; this.dueLookedAt++)
      this.dueOfFirstMs = Math.min(this.dueOfFirstMs, deliverAtMs[this.dueLookedAt]! || publishMs);
    return this.dueOfFirstMs;
  }

  /** 0: it does not expire by itself. */
  expireAtOf(position: number): number {
    return this.expireAtMs?.[position - this.first] ?? 0;
  }

  sizeOf(position: number): number {
    return this.sizes[position - this.first] ?? 0;
  }
}

class GrowingRecord implements SegmentRecord {
  readonly type = 'segment';
  private readonly segment: Segment;

  constructor(segment: Segment) {
    this.segment = segment;
  }

  get first(): number {
    return this.segment.first;
  }

  get publishMs(): number {
    return this.segment.publishMs;
  }

  get kept(): boolean {
    return this.segment.kept;
  }

  get sizes(): number[] {
    return this.segment.sizes;
  }

  get keys(): string[] | undefined {
    return this.segment.keys;
  }

  get priorities(): number[] | undefined {
    return this.segment.priorities;
  }

  get deliverAtMs(): number[] | undefined {
    return this.segment.deliverAtMs;
  }

  get expireAtMs(): number[] | undefined {
    return this.segment.expireAtMs;
  }
}

function filled<T>(length: number, value: T): T[] {
  return Array.from<T>({ length }).fill(value);
}

/** Segments by position. The last one is looked up without a search, and so is the one found last. */
export class SegmentList {
  private items: Segment[] = [];
  private head = 0;
  private hint = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  get first(): Segment | undefined {
    return this.items[this.head];
  }

  get last(): Segment | undefined {
    return this.length === 0 ? undefined : this.items[this.items.length - 1];
  }

  push(segment: Segment): void {
    this.items.push(segment);
  }

  *[Symbol.iterator](): Generator<Segment> {
    for (let i = this.head; i < this.items.length; i++) yield this.items[i]!;
  }

  /** The segment of a position; undefined if it is not there any more, or not yet. */
  find(position: number): Segment | undefined {
    const segment = this.atOrAfter(position);
    return segment !== undefined && segment.first <= position ? segment : undefined;
  }

  /** The segment of a position, or the next one where that is gone. */
  atOrAfter(position: number): Segment | undefined {
    const index = this.indexOf(position);
    this.hint = index;
    return this.items[index];
  }

  /** The segment and those behind it. */
  *from(position: number): Generator<Segment> {
    for (let i = this.indexOf(position); i < this.items.length; i++) yield this.items[i]!;
  }

  /** Takes out the first one. */
  shift(): void {
    if (this.head === this.items.length) return;
    this.items[this.head++] = undefined as unknown as Segment;
    if (this.head >= 1024 && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
  }

  /** Takes out some, wherever they are. */
  remove(gone: ReadonlySet<Segment>): void {
    this.items = this.items.slice(this.head).filter((segment) => !gone.has(segment));
    this.head = 0;
  }

  clear(): void {
    this.items = [];
    this.head = 0;
  }

  /** Index of the first segment that ends behind the position. */
  private indexOf(position: number): number {
    const { items, hint } = this;
    if (hint >= this.head && hint < items.length) {
      const segment = items[hint]!;
      if (position >= segment.first) {
        if (position < segment.end) return hint;
        const next = items[hint + 1];
        if (next !== undefined && position >= next.first && position < next.end) return hint + 1;
      }
    }
    let low = this.head;
    let high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (items[middle]!.end <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
