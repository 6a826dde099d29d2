import { describe, expect, it } from 'vitest';
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, MetricReader, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { Labels, MOST_NAMES, OTHER } from './labels.ts';
import { Metrics } from './metrics.ts';
import { readerOf, ScrapedReader } from './readers.ts';
import { ageOf, led, type Listed, PendingCounts, PendingDurations, ServiceMeter, TermCounts } from './term-counts.ts';
import { WatchedHistograms } from './watched-histograms.ts';

/** Values by name and attributes, as a reader collects them. */
async function collect(reader: MetricReader): Promise<Record<string, unknown>> {
  const { resourceMetrics } = await reader.collect();
  const points = resourceMetrics.scopeMetrics.flatMap(({ metrics }) =>
    metrics.flatMap(({ descriptor, dataPoints }) =>
      dataPoints.map(({ attributes, value }) => {
        const shown = typeof value === 'number' ? value : { count: value.count, sum: value.sum };
        return [`${descriptor.name} ${Object.values(attributes).join(' ')}`.trim(), shown] as const;
      }),
    ),
  );
  return Object.fromEntries(points);
}

function setUp(reader: MetricReader = new ScrapedReader()) {
  const provider = new MeterProvider({ readers: [reader] });
  const metrics = new Metrics(provider.getMeter('test'), new WatchedHistograms({ name: 'test' }));
  return { metrics, service: new ServiceMeter(metrics, 'stock'), reader, collect: () => collect(reader) };
}

const WRITE = { operations: 3, startMs: 0, endMs: 2, durationMs: 2 };
const NOBODY = { 'txmesh.participant': 'stock', 'txmesh.reason': 'LOCK_CONFLICT' };

describe('what a term counts', () => {
  it('counts when its batch is through, and not if the term ends before', async () => {
    const { metrics, service, collect } = setUp();
    const counts = new TermCounts(service);
    const conflicts = counts.keep(new PendingCounts(metrics.counter('txmesh.conflict')));
    const waits = counts.keep(new PendingDurations(metrics.histogram('txmesh.lock.wait.duration'), { 'txmesh.participant': 'stock' }));
    const other = { ...NOBODY, 'txmesh.reason': 'LOCK_TIMEOUT' };
    conflicts.add(NOBODY);
    conflicts.add(other, 2);
    conflicts.add(NOBODY);
    waits.add(1500);
    expect(await collect()).toEqual({ 'txmesh.store.writes stock': 0 });
    counts.batch(5, WRITE);
    const durable = {
      'txmesh.conflict stock LOCK_CONFLICT': 2,
      'txmesh.conflict stock LOCK_TIMEOUT': 2,
      'txmesh.lock.wait.duration stock': { count: 1, sum: 1.5 },
      'txmesh.partition.batch.size stock': { count: 1, sum: 5 },
      'txmesh.store.writes stock': 1,
      'txmesh.store.write.duration stock': { count: 1, sum: 0.002 },
    };
    expect(await collect()).toEqual(durable);
    conflicts.add(NOBODY);
    counts.end();
    expect(await collect()).toEqual(durable);
    new TermCounts(service).batch(1, undefined);
    expect(await collect()).toMatchObject({ 'txmesh.partition.batch.size stock': { count: 2, sum: 6 }, 'txmesh.store.writes stock': 1 });
  });

  it.each([
    ['scraped', () => new ScrapedReader()],
    ['pushed', () => readerOf(new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE), {})],
  ])('is %s while the partition is led here, and no longer', async (_, makeReader) => {
    const { metrics, service, reader, collect } = setUp(makeReader());
    const list = new Set<Listed<number>>();
    metrics.watch(['txmesh.branch.prepared'], (observe) => {
      for (const prepared of led(list)) observe('txmesh.branch.prepared', prepared, { 'txmesh.participant': 'stock' });
    });
    const term = { leading: false };
    const counts = new TermCounts(service);
    counts.list(list, 7);
    counts.begin(term);
    expect(await collect()).not.toHaveProperty('txmesh.branch.prepared stock');
    term.leading = true;
    expect(await collect()).toMatchObject({ 'txmesh.branch.prepared stock': 7 });
    expect(await collect()).toMatchObject({ 'txmesh.branch.prepared stock': 7 });
    counts.end();
    expect(await collect()).not.toHaveProperty('txmesh.branch.prepared stock');
    expect(list.size).toBe(0);
    // Counters go on.
    expect(await collect()).toHaveProperty('txmesh.store.writes stock');
    if (reader instanceof PeriodicExportingMetricReader) await reader.shutdown();
  });

  it('has an age that is never below 0', () => {
    expect([ageOf(undefined, 5000), ageOf(2000, 5000), ageOf(6000, 5000)]).toEqual([0, 3, 0]);
  });
});

describe('names that users choose', () => {
  it('have series of their own up to a bound, and the rest one together', () => {
    const labels = new Labels('txmesh.topic', { 'txmesh.participant': 'queue' });
    for (let i = 0; i < MOST_NAMES; i++) expect(labels.of(`topic-${i}`)).toEqual({ 'txmesh.participant': 'queue', 'txmesh.topic': `topic-${i}` });
    const late = labels.of('late');
    expect(late).toEqual({ 'txmesh.participant': 'queue', 'txmesh.topic': OTHER });
    expect(labels.of('later')).toBe(late);
    expect(labels.of('topic-3')).toBe(labels.of('topic-3'));
  });
});
