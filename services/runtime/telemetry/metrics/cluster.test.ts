import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { expect, it } from 'vitest';
import { watchCluster } from './cluster.ts';
import { Metrics } from './metrics.ts';
import { ScrapedReader } from './readers.ts';
import { WatchedHistograms } from './watched-histograms.ts';

const HERE = '10.0.0.1:50051';

/** Leaders by partition, as the replica heard last, and which partitions it leads itself. */
async function collected(leaders: readonly (string | undefined)[], ledHere: readonly number[], cutOff = false): Promise<unknown> {
  const reader = new ScrapedReader();
  const metrics = new Metrics(new MeterProvider({ readers: [reader] }).getMeter('test'), new WatchedHistograms({ name: 'test' }));
  watchCluster(metrics, ['stock'], {
    services: () => [{ name: 'stock', kind: 'key-value', partitions: leaders.length }],
    isLedHere: (_, partition) => ledHere.includes(partition),
    leaderOf: (_, partition) => leaders[partition],
    address: HERE,
    cutOff,
    usage: () => undefined,
  });
  const { resourceMetrics } = await reader.collect();
  const all = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
  return Object.fromEntries(all.map(({ descriptor, dataPoints }) => [descriptor.name.replace('txmesh.partition.', ''), dataPoints[0]?.value]));
}

it('counts the partitions that nobody is known to lead', async () => {
  expect(await collected([HERE, '10.0.0.2:50051', undefined], [0])).toEqual({ led: 1, leaderless: 1 });
});

it('counts those whose key is its own, where its term has ended', async () => {
  expect(await collected([HERE, HERE, '10.0.0.2:50051'], [0])).toEqual({ led: 1, leaderless: 1 });
});

it('knows no leader at all while it is cut off, whatever it heard last', async () => {
  expect(await collected([HERE, '10.0.0.2:50051', undefined], [], true)).toEqual({ led: 0, leaderless: 3 });
});
