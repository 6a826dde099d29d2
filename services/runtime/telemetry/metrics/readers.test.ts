import { AggregationTemporality, InMemoryMetricExporter, MeterProvider } from '@opentelemetry/sdk-metrics';
import { expect, it, vi } from 'vitest';
import { TelemetryError } from '../telemetry-error.ts';
import { Metrics } from './metrics.ts';
import { pushingReader, readerOf, ScrapedReader } from './readers.ts';
import { WatchedHistograms } from './watched-histograms.ts';

it('collects of itself beside another reader, until it is shut down', async () => {
  const reader = new ScrapedReader();
  const provider = new MeterProvider({ readers: [reader] });
  let reads = 0;
  new Metrics(provider.getMeter('test'), new WatchedHistograms({ name: 'test' })).watch(['process.uptime'], () => void reads++);
  reader.collectBeside(1);
  await vi.waitUntil(() => reads >= 2);
  await provider.shutdown();
  await expect(reader.collect()).rejects.toThrow('shutdown');
});

it('pushes what is counted beside the SDK, too', async () => {
  const histograms = new WatchedHistograms({ name: 'test' });
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = readerOf(exporter, {}, [histograms]);
  const provider = new MeterProvider({ readers: [reader] });
  new Metrics(provider.getMeter('test'), histograms).requests.stream('/Service/Stream').took(3);
  await reader.forceFlush();
  const names = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics.map(({ descriptor }) => descriptor.name)));
  expect(names.toSorted()).toEqual(['txmesh.request.finished', 'txmesh.stream.request.duration']);
  await provider.shutdown();
});

it('says which variable does not name an exporter, a protocol or a time', () => {
  const failing = (name: string, environment: Record<string, string>) => () => pushingReader(name, environment);
  expect(failing('zipkin', {})).toThrow(new TelemetryError('OTEL_METRICS_EXPORTER: "zipkin" is none of otlp, prometheus, console and none'));
  expect(failing('otlp', { OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'x' })).toThrow(new TelemetryError('OTEL_EXPORTER_OTLP_METRICS_PROTOCOL must be grpc, http/protobuf or http/json, not "x"'));
  expect(failing('otlp', { OTEL_METRIC_EXPORT_INTERVAL: '1 s' })).toThrow(new TelemetryError('OTEL_METRIC_EXPORT_INTERVAL must be a whole number above 0, not "1 s"'));
});
