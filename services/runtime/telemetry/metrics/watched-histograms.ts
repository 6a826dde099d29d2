/**
 * Histograms whose buckets are counted here and read when somebody collects. The SDK has none that is
 * watched, so this is a source of its own beside it, which every reader is given.
 */

import { type Attributes, type HrTime, ValueType } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AggregationTemporality, type CollectionResult, DataPointType, type MetricData, type MetricProducer } from '@opentelemetry/sdk-metrics';
import { INSTRUMENTS, type WatchedHistogramName } from './instruments.ts';

/** The measurements with one set of attributes. */
export class WatchedHistogram {
  readonly attributes: Attributes;
  private readonly boundaries: readonly number[];
  private readonly counts: Float64Array;
  private sum = 0;
  private lastValue = NaN;
  private lastBucket = 0;

  constructor(boundaries: readonly number[], attributes: Attributes) {
    this.boundaries = boundaries;
    this.attributes = attributes;
    this.counts = new Float64Array(boundaries.length + 1);
  }

  /** Many that are alike come one after the other. */
  add(value: number, times = 1): void {
    if (value !== this.lastValue) {
      this.lastValue = value;
      this.lastBucket = this.bucketOf(value);
    }
    this.counts[this.lastBucket]! += times;
    this.sum += value * times;
  }

  read(): { readonly buckets: { boundaries: number[]; counts: number[] }; readonly sum: number; readonly count: number } {
    const counts = [...this.counts];
    return { buckets: { boundaries: [...this.boundaries], counts }, sum: this.sum, count: counts.reduce((all, count) => all + count, 0) };
  }

  /** Bounds are part of the bucket below them. */
  private bucketOf(value: number): number {
    const { boundaries } = this;
    let bucket = 0;
    while (bucket < boundaries.length && value > boundaries[bucket]!) bucket++;
    return bucket;
  }
}

export class WatchedHistograms implements MetricProducer {
  private readonly startTime = nowTime();
  private readonly known = new Map<WatchedHistogramName, WatchedHistogram[]>();
  private readonly scope: { readonly name: string; readonly version?: string };

  constructor(scope: { readonly name: string; readonly version?: string }) {
    this.scope = scope;
  }

  /** One more: to be asked for once for each set of attributes. */
  create(name: WatchedHistogramName, attributes: Attributes): WatchedHistogram {
    const made = new WatchedHistogram(INSTRUMENTS[name].buckets, attributes);
    const all = this.known.get(name);
    if (all === undefined) this.known.set(name, [made]);
    else all.push(made);
    return made;
  }

  /** What was measured since the process began, as the SDK tells of its own. */
  collect(): Promise<CollectionResult> {
    const metrics = Array.from(this.known, ([name, histograms]) => this.told(name, histograms)).filter(({ dataPoints }) => dataPoints.length > 0);
    const scopeMetrics = metrics.length === 0 ? [] : [{ scope: this.scope, metrics }];
    return Promise.resolve({ resourceMetrics: { resource: resourceFromAttributes({}), scopeMetrics }, errors: [] });
  }

  private told(name: WatchedHistogramName, histograms: readonly WatchedHistogram[]): MetricData {
    const { description, unit } = INSTRUMENTS[name];
    const { startTime } = this;
    const endTime = nowTime();
    const read = histograms.map((histogram) => ({ startTime, endTime, attributes: histogram.attributes, value: histogram.read() }));
    return {
      descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPointType: DataPointType.HISTOGRAM,
      dataPoints: read.filter(({ value }) => value.count > 0),
    };
  }
}

function nowTime(): HrTime {
  const nowMs = Date.now();
  const seconds = Math.floor(nowMs / 1000);
  return [seconds, (nowMs - seconds * 1000) * 1e6];
}
