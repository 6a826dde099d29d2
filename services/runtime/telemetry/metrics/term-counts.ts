/**
 * What one term of one partition counts. A kernel tells what it decides; it counts once the batch is
 * through, so what never became durable is not counted. Many that are alike are added at once.
 */

import type { Attributes, Counter, Histogram } from '@opentelemetry/api';
import type { BatchReport, TermMeter } from '../../partition/types.ts';
import type { Metrics } from './metrics.ts';

/** What is recorded when a batch is through. */
export interface Pending {
  flush(write: BatchReport | undefined): void;
}

export class PendingCounts implements Pending {
  private readonly counter: Counter;
  private readonly counts = new Map<Attributes, number>();
  private lastAttributes: Attributes | undefined;
  private lastCount = 0;

  constructor(counter: Counter) {
    this.counter = counter;
  }

  /** @param attributes always the same object for the same values */
  add(attributes: Attributes, count = 1): void {
    if (attributes !== this.lastAttributes) {
      this.keepLast();
      this.lastAttributes = attributes;
    }
    this.lastCount += count;
  }

  flush(): void {
    if (this.lastCount === 0) return;
    this.keepLast();
    for (const [attributes, count] of this.counts) this.counter.add(count, attributes);
    this.counts.clear();
  }

  private keepLast(): void {
    if (this.lastCount === 0) return;
    this.counts.set(this.lastAttributes!, (this.counts.get(this.lastAttributes!) ?? 0) + this.lastCount);
    this.lastCount = 0;
  }
}

/** Durations, given in milliseconds, recorded in seconds. */
export class PendingDurations implements Pending {
  private readonly histogram: Histogram;
  private readonly attributes: Attributes;
  private readonly durationsMs: number[] = [];

  constructor(histogram: Histogram, attributes: Attributes) {
    this.histogram = histogram;
    this.attributes = attributes;
  }

  add(durationMs: number): void {
    this.durationsMs.push(durationMs);
  }

  flush(): void {
    if (this.durationsMs.length === 0) return;
    for (const durationMs of this.durationsMs) this.histogram.record(durationMs / 1000, this.attributes);
    this.durationsMs.length = 0;
  }
}

/** What the partitions of one service have in common. */
export class ServiceMeter {
  readonly attributes: Attributes;
  private readonly size: Histogram;
  private readonly writes: Counter;
  private readonly duration: Histogram;

  constructor(metrics: Metrics, service: string) {
    this.attributes = { 'txmesh.service': service };
    this.size = metrics.histogram('txmesh.partition.batch.size');
    this.writes = metrics.counter('txmesh.store.writes');
    this.duration = metrics.histogram('txmesh.store.write.duration');
    this.writes.add(0, this.attributes);
  }

  batch(commands: number, write: BatchReport | undefined): void {
    if (commands > 0) this.size.record(commands, this.attributes);
    if (write === undefined) return;
    this.writes.add(1, this.attributes);
    this.duration.record(write.durationMs / 1000, this.attributes);
  }
}

export class TermCounts implements TermMeter {
  private readonly service: ServiceMeter;
  private readonly pending: Pending[] = [];
  private readonly onEnd: (() => void)[] = [];
  private term: { readonly leading: boolean } | undefined;

  constructor(service: ServiceMeter) {
    this.service = service;
  }

  /** Flushes it whenever a batch is through. */
  keep<T extends Pending>(pending: T): T {
    this.pending.push(pending);
    return pending;
  }

  batch(commands: number, write: BatchReport | undefined): void {
    this.service.batch(commands, write);
    for (const pending of this.pending) pending.flush(write);
  }

  /** Whether the partition is led here, so that what it has may be reported. */
  get leading(): boolean {
    return this.term?.leading === true;
  }

  begin(term: { readonly leading: boolean }): void {
    this.term = term;
  }

  end(): void {
    this.term = undefined;
    for (const call of this.onEnd) call();
  }

  /** Enters something of the term into a list for as long as the term lasts. */
  list<T>(list: Set<Listed<T>>, item: T): void {
    const entry = { counts: this, item };
    list.add(entry);
    this.onEnd.push(() => list.delete(entry));
  }
}

/** Something of a term; see {@link TermCounts.list}. */
export interface Listed<T> {
  readonly counts: TermCounts;
  readonly item: T;
}

/** What is listed of the partitions that are led here. */
export function* led<T>(list: ReadonlySet<Listed<T>>): Generator<T> {
  for (const { counts, item } of list) if (counts.leading) yield item;
}

/** The age of the oldest, in seconds; 0 where there is none, or a clock was set back. */
export function ageOf(oldestMs: number | undefined, nowMs: number): number {
  return oldestMs === undefined ? 0 : Math.max(0, nowMs - oldestMs) / 1000;
}

/** The earlier of two times, either of which may be absent. */
export function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || (b !== undefined && b < a) ? b : a;
}
