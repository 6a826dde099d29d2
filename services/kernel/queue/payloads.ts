/** The messages of disk topics that are in memory: what was published or loaded last, bounded by bytes. */

import { Fifo } from './positions.ts';
import type { Segment } from './segments.ts';

export class PayloadCache {
  private readonly maxBytes: number;
  private readonly loaded = new Fifo<Segment>();
  private bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** The segment's messages are in memory from now on. */
  add(segment: Segment, payload: Uint8Array[]): void {
    if (segment.payload !== undefined) return;
    segment.payload = payload;
    this.bytes += segment.bytes;
    this.loaded.push(segment);
  }

  /** One of its segments got a message. */
  grow(bytes: number): void {
    this.bytes += bytes;
  }

  /** The segment is gone. */
  forget(segment: Segment): void {
    if (segment.payload === undefined) return;
    segment.payload = undefined;
    this.bytes -= segment.bytes;
  }

  /** Ends a batch: the oldest go where there are too many. */
  evict(): void {
    while (this.bytes > this.maxBytes) {
      const segment = this.loaded.shift();
      if (segment === undefined) return;
      this.forget(segment);
    }
    // What is gone leaves its place in the queue.
    for (let first = this.loaded.peek(); first !== undefined && first.payload === undefined; first = this.loaded.peek()) {
      this.loaded.shift();
    }
  }
}
