import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { describe, expect, it } from 'vitest';
import { LATENCY_BUCKETS } from './instruments.ts';
import { Metrics } from './metrics.ts';
import { ScrapedReader } from './readers.ts';
import { WatchedHistograms } from './watched-histograms.ts';

const EXECUTE = 'txmesh.coordinator.v1.CoordinatorService/Execute';
const STREAM = 'txmesh.coordinator.v1.CoordinatorService/ExecuteStream';

function setUp() {
  const histograms = new WatchedHistograms({ name: 'test' });
  const reader = new ScrapedReader([histograms]);
  const { requests } = new Metrics(new MeterProvider({ readers: [reader] }).getMeter('test'), histograms);
  const points = async (name: string) => {
    const { resourceMetrics, errors } = await reader.collect();
    expect(errors).toEqual([]);
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics).filter(({ descriptor }) => descriptor.name === name).flatMap(({ dataPoints }) => dataPoints as { attributes: object; value: unknown }[]);
  };
  return {
    requests,
    points,
    counts: async () => Object.fromEntries((await points('txmesh.request.finished')).map(({ attributes, value }) => [Object.values(attributes).join(' '), value])),
  };
}

describe('requests', () => {
  it('are counted by method and status, and what the mesh is to blame for begins at 0', async () => {
    const { requests, counts } = setUp();
    const execute = requests.of(`/${EXECUTE}`);
    const none = { [`${EXECUTE} OK`]: 0, [`${EXECUTE} UNKNOWN`]: 0, [`${EXECUTE} DEADLINE_EXCEEDED`]: 0, [`${EXECUTE} INTERNAL`]: 0, [`${EXECUTE} UNAVAILABLE`]: 0 };
    expect(await counts()).toEqual(none);
    execute.ended(0, 3);
    execute.endedAs('UNAVAILABLE');
    execute.failed('NO_LEADER', 2);
    execute.failed('LOCK_CONFLICT');
    // What a participant outside made up.
    execute.ended(99);
    const expected = { ...none, [`${EXECUTE} OK`]: 3, [`${EXECUTE} UNAVAILABLE`]: 3, [`${EXECUTE} ABORTED`]: 1, [`${EXECUTE} UNKNOWN`]: 1 };
    expect(await counts()).toEqual(expected);
    expect(await counts(), 'collecting does not begin anew').toEqual(expected);
  });

  it('on streams have durations in the buckets of the table', async () => {
    const { requests, points } = setUp();
    const stream = requests.stream(`/${STREAM}`);
    expect(requests.stream(`/${STREAM}`), 'one for all who ask').toBe(stream);
    expect(await points('txmesh.stream.request.duration'), 'nothing was measured').toEqual([]);
    stream.took(2);
    stream.took(2, 4);
    stream.took(0);
    stream.took(61_000);
    const [point, ...others] = await points('txmesh.stream.request.duration');
    expect(others).toEqual([]);
    const counts = Array.from({ length: LATENCY_BUCKETS.length + 1 }, () => 0);
    counts[0] = 1;
    counts[LATENCY_BUCKETS.indexOf(0.002)] = 5;
    counts[LATENCY_BUCKETS.length] = 1;
    expect(point).toMatchObject({ attributes: { 'grpc.method': STREAM }, value: { count: 7, buckets: { boundaries: [...LATENCY_BUCKETS], counts } } });
    expect((point!.value as { sum: number }).sum).toBeCloseTo(61.01);
  });
});
