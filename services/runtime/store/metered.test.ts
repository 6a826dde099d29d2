import { describe, expect, it } from 'vitest';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { systemClock } from '../clock.ts';
import { Metrics } from '../telemetry/metrics/metrics.ts';
import { ScrapedReader } from '../telemetry/metrics/readers.ts';
import { AmbiguousWrite, DuplicateKey, LeaseLost, StoreFull, StoreUnavailable } from './errors.ts';
import { MemoryStore } from './memory.ts';
import { MeteredStore } from './metered.ts';
import { storeConformance } from './testing/conformance.ts';
import { WatchedHistograms } from '../telemetry/metrics/watched-histograms.ts';

function metered(store: MemoryStore) {
  const reader = new ScrapedReader();
  const metrics = new Metrics(new MeterProvider({ readers: [reader] }).getMeter('test'), new WatchedHistograms({ name: 'test' }));
  const failures = async (): Promise<Record<string, number>> => {
    const { resourceMetrics } = await reader.collect();
    const points = resourceMetrics.scopeMetrics[0]!.metrics.find(({ descriptor }) => descriptor.name === 'txmesh.store.failures')!.dataPoints;
    return Object.fromEntries(points.map(({ attributes, value }) => [String(attributes['txmesh.reason']), Number(value)]));
  };
  return { store: new MeteredStore(store, metrics), failures };
}

storeConformance('metered', async () => metered(new MemoryStore(systemClock)).store);

describe('a metered store', () => {
  it('counts failures by their reason, and passes them on', async () => {
    const inner = new MemoryStore(systemClock);
    const { store, failures } = metered(inner);
    expect(await failures()).toEqual({ unavailable: 0, full: 0, ambiguous: 0, lease_lost: 0, invalid: 0 });
    const errors = [new StoreUnavailable('1'), new StoreFull('2'), new AmbiguousWrite('3'), new LeaseLost('4'), new DuplicateKey('5'), new StoreFull('6')];
    for (const error of errors) {
      inner.write = () => Promise.reject(error);
      await expect(store.write({})).rejects.toBe(error);
    }
    expect(await failures()).toEqual({ unavailable: 1, full: 2, ambiguous: 1, lease_lost: 1, invalid: 1 });
    await inner.close();
    await expect(store.get(['a'])).rejects.toThrow(StoreUnavailable);
    expect(await failures()).toMatchObject({ unavailable: 2 });
  });
});
