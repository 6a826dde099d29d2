import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { expect, test } from 'vitest';
import { CoordinatorKernel } from '../../kernel/coordinator/kernel.ts';
import { systemClock } from '../../runtime/clock.ts';
import { Metrics } from '../../runtime/telemetry/metrics/metrics.ts';
import { ScrapedReader } from '../../runtime/telemetry/metrics/readers.ts';
import { WatchedHistograms } from '../../runtime/telemetry/metrics/watched-histograms.ts';
import { CoordinatorMeter, MESH_FAULTS } from './meter.ts';

const WRITE = { operations: 1, startMs: 0, endMs: 1, durationMs: 1 };

function setUp() {
  const reader = new ScrapedReader();
  const metrics = new Metrics(new MeterProvider({ readers: [reader] }).getMeter('test'), new WatchedHistograms({ name: 'test' }));
  const term = new CoordinatorMeter(metrics, 'coordinator', systemClock).term();
  term.watch(new CoordinatorKernel({ partition: 0, retentionMs: 60_000, numbersAbove: 0, tally: term.tally }));
  term.counts.begin({ leading: true });
  const values = async (name: string): Promise<Record<string, unknown>> => {
    const { resourceMetrics } = await reader.collect();
    const found = resourceMetrics.scopeMetrics.flatMap(({ metrics: all }) => all).filter(({ descriptor }) => descriptor.name === name);
    const points: { attributes: object; value: unknown }[] = found.flatMap(({ dataPoints }) => dataPoints as never[]);
    return Object.fromEntries(points.map(({ attributes, value }) => [Object.values(attributes).join(' ').trim(), value]));
  };
  return { ...term, values };
}

test('an abort is under way until it is durable, and counts from then on', async () => {
  const { tally, counts, values } = setUp();
  expect(await values('txmesh.transaction.open')).toEqual({ active: 0, preparing: 0, committing: 0, aborting: 0 });
  tally.aborted('LOCK_CONFLICT');
  tally.aborted('left');
  expect(await values('txmesh.transaction.open')).toMatchObject({ aborting: 2 });
  expect(await values('txmesh.transaction.finished')).not.toHaveProperty('aborted left');
  counts.batch(2, WRITE);
  expect(await values('txmesh.transaction.open')).toMatchObject({ aborting: 0 });
  expect(await values('txmesh.transaction.finished')).toMatchObject({ 'aborted LOCK_CONFLICT': 1, 'aborted left': 1 });
});

test('aborts that are the mesh\'s doing begin at 0, so that the first of them has a rate', async () => {
  const { values } = setUp();
  expect(await values('txmesh.transaction.finished')).toEqual({ committed: 0, ...Object.fromEntries(MESH_FAULTS.map((reason) => [`aborted ${reason}`, 0])) });
});
