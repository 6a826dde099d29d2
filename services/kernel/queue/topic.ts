/** One topic at one partition: its messages, and who still has to acknowledge them. */

import type { AckSet } from './ack-set.ts';
import { Deduplication } from './deduplication.ts';
import { payloadKey, segmentKey } from './keys.ts';
import { PositionHeap } from './positions.ts';
import { Rate } from './rates.ts';
import { Segment, SegmentList } from './segments.ts';
import type { Due, QueueState } from './state.ts';
import { LIMITS, type NewMessage, type SnapshotConfig, type SubscriptionConfig, type TopicConfig } from './types.ts';

/** A subscription as its topic sees it. */
export interface Reader {
  readonly config: SubscriptionConfig;
  readonly set: AckSet;
  readonly filter: object | undefined;
  /** Messages that prepared transactions acknowledge. */
  readonly staged: ReadonlySet<number>;
  readonly outstanding: { has(position: number): boolean };
  backlogBytes: number;
  matches(encoded: Uint8Array): boolean;
  /** A message of so many bytes has come. */
  onPublished(bytes: number): void;
  /** One was dropped. */
  onGone(bytes: number): void;
  /** Nothing is out any more, and everything is looked at again. */
  restart(): void;
}

/** A snapshot keeps what its subscription had not acknowledged, and all that comes later. */
export interface Snapshot extends Due {
  readonly config: SnapshotConfig;
  readonly set: AckSet;
  /** Prepared transactions that go back to it. */
  pins: number;
}

export class Topic implements Due {
  config: TopicConfig;
  readonly segments = new SegmentList();
  /** What was dropped or has expired: nobody gets it any more. */
  gone: AckSet;
  readonly subscriptions = new Set<Reader>();
  readonly snapshots = new Set<Snapshot>();
  readonly deduplication: Deduplication;
  /** Of messages with a time to live. */
  readonly expiries = new PositionHeap();
  readonly published = new Rate();
  readonly publishedBytes = new Rate();
  next = 1;
  /** Messages that somebody has not acknowledged, and their bytes. */
  live = 0;
  liveBytes = 0;
  /** All that is stored, acknowledged or not. */
  storedBytes = 0;
  /** Room that prepared transactions will need. */
  reserved = 0;
  reservedBytes = 0;
  /** Segments that everybody has acknowledged. */
  readonly obsolete = new Set<Segment>();
  obsoleteSinceMs = 0;
  /** What is to be collected can't be before. */
  blockedUntilMs = 0;
  /** Of the batch under way. */
  open: Segment | undefined;
  dueMs = 0;
  timerIndex = -1;
  private readonly state: QueueState;

  constructor(state: QueueState, config: TopicConfig, gone: AckSet) {
    this.state = state;
    this.config = config;
    this.gone = gone;
    this.deduplication = new Deduplication(config.name, this.isDurable);
  }

  get isDurable(): boolean {
    return this.config.storage === 'disk';
  }

  /** The first position that is not gone for good. */
  get firstKept(): number {
    return this.segments.first?.first ?? this.next;
  }

  /** What has no segment any more is gone for good. */
  raiseGone(): void {
    this.gone.acknowledged.raise(this.firstKept - 1);
  }

  /** What was dropped from the topic counts as acknowledged. */
  takeGone({ acknowledged, attempts }: AckSet): void {
    const { gone } = this;
    acknowledged.raise(gone.acknowledged.floor);
    const ranges = gone.acknowledged.ranges();
    for (let i = 0; i < ranges.length; i += 2) acknowledged.addRange(ranges[i]!, ranges[i + 1]!);
    for (const position of attempts.keys()) if (acknowledged.has(position)) attempts.delete(position);
  }

  *sets(): Generator<AckSet> {
    for (const { set } of this.subscriptions) yield set;
    for (const { set } of this.snapshots) yield set;
  }

  get holders(): number {
    return this.subscriptions.size + this.snapshots.size;
  }

  ring(): void {
    this.state.follow({ type: 'collect', topic: this.config.name });
  }

  // The beginning of a term

  /** What was dropped in earlier terms. */
  takeOver(gone: AckSet): void {
    this.gone = gone;
  }

  /** What was never kept, or has no segment any more, is gone. */
  recoverGone(): void {
    this.raiseGone();
    const { acknowledged } = this.gone;
    let end = this.firstKept;
    for (const segment of this.segments) {
      if (segment.first > end) acknowledged.addRange(end, segment.first - 1);
      end = segment.end;
      if (!segment.kept) acknowledged.addRange(segment.first, segment.end - 1);
      if (segment.expireAtMs === undefined) continue;
      segment.expireAtMs.forEach((atMs, i) => {
        if (atMs > 0) this.expiries.push(atMs, segment.first + i);
      });
    }
  }

  durableState(): { readonly name: string } & Record<string, unknown> {
    const { config, next, live, liveBytes, storedBytes, reserved, reservedBytes, deduplication } = this;
    if (!this.isDurable) return { name: config.name, config };
    const segments = [...this.segments].map(({ first, count, remaining, staged, bytes }) => [first, count, remaining, staged, bytes].join(' '));
    const ids = deduplication.durableState();
    return { name: config.name, config, next, live, liveBytes, storedBytes, reserved, reservedBytes, segments, ids };
  }

  // Publishing

  /** Whether messages of so many bytes go into the segment of this batch. */
  hasOpenFor(bytes: number, count = 1): boolean {
    const { open } = this;
    return open !== undefined && open.count + count <= LIMITS.segmentMessages && open.bytes + bytes <= LIMITS.segmentBytes;
  }

  append(message: NewMessage): number {
    const { state } = this;
    const size = message.encoded.length;
    if (!this.hasOpenFor(size)) this.openSegment();
    const segment = this.open!;
    const position = this.next++;
    segment.append(message);
    if (segment.kept) {
      if (this.isDurable) state.payloads.grow(size);
      else state.memoryBytes += size;
      this.storedBytes += size;
    } else this.gone.acknowledged.add(position);
    let wanted = this.snapshots.size;
    for (const subscription of this.subscriptions) {
      if (subscription.filter !== undefined && !subscription.matches(message.encoded)) {
        state.log.add(subscription.set, position, state.out);
        continue;
      }
      wanted++;
      subscription.onPublished(size);
    }
    segment.remaining += wanted;
    if (wanted > 0) {
      this.live++;
      this.liveBytes += size;
    }
    if (message.timeToLiveMs > 0 && segment.kept) this.expiries.push(segment.expireAtOf(position), position);
    return position;
  }

  /** Ends the batch. */
  seal(): void {
    this.close();
    this.deduplication.seal();
  }

  /** What comes next goes into another segment. */
  close(): void {
    const { open } = this;
    if (open === undefined) return;
    this.open = undefined;
    if (open.remaining === 0) this.obsolete.add(open);
    const { nowMs } = this.state;
    this.published.add(open.count, nowMs);
    this.state.settings.tally?.published(this.config.name, open.count);
    this.publishedBytes.add(open.bytes, nowMs);
  }

  private openSegment(): void {
    this.close();
    const { state, next, config } = this;
    const kept = this.holders > 0 || config.acknowledgedAgeMs > 0;
    const segment = new Segment(next, state.nowMs, kept);
    this.segments.push(segment);
    this.open = segment;
    state.touched.add(this);
    if (!kept) {
      segment.payload = undefined;
      if (this.isDurable) state.out.put(segmentKey(config.name, next), segment.record());
      return;
    }
    const payload: Uint8Array[] = [];
    if (!this.isDurable) segment.payload = payload;
    else {
      state.payloads.add(segment, payload);
      state.out.put(segmentKey(config.name, next), segment.record());
      // Grows until the batch is sealed.
      state.out.put(payloadKey(config.name, next), { type: 'payload', messages: payload });
    }
  }

  // Acknowledging

  /** A subscription is done with a message. False: it was before. */
  acknowledge(set: AckSet, position: number): boolean {
    const { state } = this;
    if (!state.log.add(set, position, state.out)) return false;
    const segment = this.segments.find(position);
    if (segment !== undefined) this.settle(segment, position, 1);
    return true;
  }

  /** Nobody gets the message any more. */
  drop(position: number): void {
    const { state } = this;
    const segment = this.segments.find(position);
    if (segment === undefined || !state.log.add(this.gone, position, state.out)) return;
    let missing = 0;
    const size = segment.sizeOf(position);
    for (const { set } of this.snapshots) if (set.acknowledged.add(position)) missing++;
    for (const subscription of this.subscriptions) {
      if (!subscription.set.acknowledged.add(position)) continue;
      subscription.set.attempts.delete(position);
      subscription.onGone(size);
      missing++;
    }
    if (missing > 0) this.settle(segment, position, missing);
  }

  private settle(segment: Segment, position: number, count: number): void {
    segment.remaining -= count;
    if (segment.remaining === 0 && segment !== this.open) {
      this.obsolete.add(segment);
      this.state.touched.add(this);
    }
    for (const set of this.sets()) if (!set.has(position)) return;
    this.live--;
    this.liveBytes -= segment.sizeOf(position);
  }

  /** Whether a prepared transaction acknowledges the message. */
  isStaged(position: number): boolean {
    if (this.state.bugs.has('staged-message-touched')) return false;
    for (const { staged } of this.subscriptions) if (staged.has(position)) return true;
    return false;
  }

  // Counting anew, where who has to acknowledge has changed

  recount(): void {
    this.close();
    this.live = this.liveBytes = this.storedBytes = 0;
    this.obsolete.clear();
    const sets = [...this.sets()];
    for (const subscription of this.subscriptions) subscription.backlogBytes = 0;
    for (const segment of this.segments) {
      segment.remaining = 0;
      segment.staged = 0;
      if (segment.kept) {
        this.storedBytes += segment.bytes;
        this.countSegment(segment, sets);
      }
      if (segment.remaining === 0) this.obsolete.add(segment);
    }
    for (const subscription of this.subscriptions) {
      for (const position of subscription.staged) {
        const segment = this.segments.find(position);
        if (segment !== undefined) segment.staged++;
      }
    }
    this.state.touched.add(this);
  }

  private countSegment(segment: Segment, sets: readonly AckSet[]): void {
    const { first, end, count, bytes } = segment;
    const open: AckSet[] = [];
    let whole = false;
    for (const set of sets) {
      if (set.acknowledged.floor >= end - 1) continue;
      if (set.acknowledged.lacks(first, end - 1)) {
        segment.remaining += count;
        whole = true;
      } else open.push(set);
    }
    if (whole) {
      this.live += count;
      this.liveBytes += bytes;
    }
    for (const { set } of this.subscriptions) if (!open.includes(set) && set.acknowledged.floor < end - 1) this.addBacklog(set, bytes);
    if (open.length === 0) return;
    for (let position = first; position < end; position++) {
      let missing = 0;
      for (const set of open) {
        if (set.has(position)) continue;
        missing++;
        this.addBacklog(set, segment.sizeOf(position));
      }
      segment.remaining += missing;
      if (missing === 0 || whole) continue;
      this.live++;
      this.liveBytes += segment.sizeOf(position);
    }
  }

  private addBacklog(set: AckSet, bytes: number): void {
    for (const subscription of this.subscriptions) if (subscription.set === set) subscription.backlogBytes += bytes;
  }

  /** This partition's share of the topic's limits. */
  get messageLimit(): number {
    return Math.max(1, Math.ceil(this.config.maxMessages / this.state.settings.partitions));
  }

  get byteLimit(): number {
    return Math.max(1, Math.ceil(this.config.maxBytes / this.state.settings.partitions));
  }
}
