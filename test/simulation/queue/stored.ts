/** Every message that ever stood in the store, and every generation of every subscription. */

import type { CursorRecord, PayloadRecord, SegmentRecord } from '../../../services/kernel/queue/types.ts';
import type { DurableWrite, Follower } from '../world/follower.ts';
import type { QueueHistory, StoredMessage } from './history.ts';
import { payloadOf } from './messages.ts';
import { QUEUE } from './plan.ts';

const PAYLOADS = 'message/';
const SEGMENTS = 'segment/';
const CURSORS = 'cursor/s/';

export class StoredMessages implements Follower {
  private readonly history: QueueHistory;
  /** By partition and key of the record. */
  private readonly there = new Map<string, StoredMessage[]>();

  constructor(history: QueueHistory) {
    this.history = history;
  }

  onWritten({ service, partition, removed, puts, atMs }: DurableWrite): void {
    if (service.name !== QUEUE) return;
    for (const key of removed) this.remove(`${partition}/${key}`, atMs);
    const segments = new Map<string, SegmentRecord>();
    for (const { key, decode } of puts) if (key.startsWith(SEGMENTS)) segments.set(key.slice(SEGMENTS.length), decode() as SegmentRecord);
    for (const { key, decode } of puts) {
      if (key.startsWith(PAYLOADS)) this.put(partition, key, decode() as PayloadRecord, segments.get(key.slice(PAYLOADS.length)), atMs);
      else if (key.startsWith(CURSORS)) this.move(`${key.slice(CURSORS.length)}/${partition}`, decode() as CursorRecord, atMs);
    }
  }

  private put(partition: number, key: string, { messages }: PayloadRecord, segment: SegmentRecord | undefined, atMs: number): void {
    const name = `${partition}/${key}`;
    if (this.there.has(name) || segment === undefined) return;
    const topic = key.slice(PAYLOADS.length, key.lastIndexOf('/'));
    const stored = messages.map((encoded, index): StoredMessage => ({
      topic,
      partition,
      position: segment.first + index,
      payload: payloadOf(encoded),
      publishMs: segment.publishMs,
      fromMs: atMs,
      untilMs: Infinity,
    }));
    this.history.stored.push(...stored);
    this.there.set(name, stored);
  }

  private remove(name: string, atMs: number): void {
    for (const message of this.there.get(name) ?? []) message.untilMs = atMs;
    this.there.delete(name);
  }

  private move(name: string, { generation }: CursorRecord, atMs: number): void {
    const generations = this.history.generations.get(name) ?? [];
    this.history.generations.set(name, generations);
    if (generations.at(-1)?.generation !== generation) generations.push({ generation, fromMs: atMs });
  }
}
