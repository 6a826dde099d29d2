/**
 * Starts OpenTelemetry when the standard OTEL_* variables or the metrics port ask for it, and otherwise
 * does not even load it: without an exporter or endpoint the SDK would record everything and post it to
 * localhost:4318.
 */

import { logs as logsApi, metrics, type Logger } from '@opentelemetry/api';
import type { MetricsEndpoint } from './metrics/endpoint.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { WatchedHistograms } from './metrics/watched-histograms.ts';
import { TelemetryError } from './telemetry-error.ts';
import { exportersOf, isDisabled, numberOf, type Environment } from './wanted.ts';

export interface TelemetryHandle {
  /** Anything at all is recorded. */
  readonly started: boolean;
  /** Traces are recorded. */
  readonly enabled: boolean;
  /** Takes logs; undefined: they are not to be sent. */
  readonly logger: Logger | undefined;
  /** Undefined: nobody collects. */
  readonly metrics: Metrics | undefined;
  /** Of the endpoint that is scraped; undefined: there is none. */
  readonly metricsPort: number | undefined;
  /** Sends what is left, and closes the endpoint. */
  shutdown(): Promise<void>;
}

export interface TelemetryOptions {
  /** Taken unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES names another. */
  readonly serviceName: string;
  readonly version: string;
  readonly environment: Environment;
  /** Where metrics are scraped. Port 0 takes a free one. Absent: as OTEL_METRICS_EXPORTER says. */
  readonly scrape?: { readonly host: string; readonly port: number } | undefined;
  /** Where OTEL_METRICS_EXPORTER asks for the endpoint and OTEL_EXPORTER_PROMETHEUS_HOST does not say. */
  readonly host: string;
}

const OFF: TelemetryHandle = { started: false, enabled: false, logger: undefined, metrics: undefined, metricsPort: undefined, shutdown: () => Promise.resolve() };
/** What OpenTelemetry takes where OTEL_EXPORTER_PROMETHEUS_PORT does not say. */
const DEFAULT_SCRAPE_PORT = 9464;
const METER = 'txmesh';

/** @throws TelemetryError, and ListenError where the metrics port can't be listened on; then nothing is left running. */
export async function startTelemetry(options: TelemetryOptions): Promise<TelemetryHandle> {
  const { environment, serviceName, version } = options;
  const traces = exportersOf('traces', environment).length > 0;
  const logs = exportersOf('logs', environment).length > 0;
  const scrape = scrapeOf(options);
  const pushed = exportersOf('metrics', environment).filter((name) => name !== 'prometheus');
  const measured = scrape !== undefined || pushed.length > 0;
  if (!traces && !logs && !measured) return OFF;
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const { resourceDetectors } = await import('./resource.ts');
  const detectors = resourceDetectors(environment);
  const histograms = measured ? await watchedHistograms(version) : undefined;
  const { readers, endpoint, port } = histograms === undefined ? NO_READERS : await metricReaders(scrape, pushed, environment, histograms);
  const named = environment['OTEL_SERVICE_NAME'] ?? /(^|,)service\.name=/.exec(environment['OTEL_RESOURCE_ATTRIBUTES'] ?? '')?.[0];
  const sdk = new NodeSDK({
    instrumentations: [],
    metricReaders: readers,
    resourceDetectors: detectors,
    // What is not given is made of the variables, or by default.
    ...(traces ? {} : { spanProcessors: [], contextManager: null as never }),
    ...(logs ? {} : { logRecordProcessors: [] }),
    ...(named === undefined ? { serviceName } : {}),
  });
  sdk.start();
  const measuring = histograms === undefined ? undefined : await measure(version, histograms);
  return {
    started: true,
    enabled: traces,
    logger: logs ? logsApi.getLogger('txmesh', version) : undefined,
    metrics: measuring?.metrics,
    metricsPort: port,
    async shutdown() {
      measuring?.end();
      await Promise.all([endpoint?.close(), sdk.shutdown()]);
      // Whoever starts it again in this process begins anew.
      metrics.disable();
      logsApi.disable();
    },
  };
}

/** @throws TelemetryError */
function scrapeOf({ scrape, host, environment }: TelemetryOptions): TelemetryOptions['scrape'] {
  if (scrape !== undefined) {
    if (isDisabled(environment)) throw new TelemetryError('OTEL_SDK_DISABLED is true, but --metrics-port (TXMESH_METRICS_PORT) asks for metrics; unset one of them');
    return scrape;
  }
  if (!exportersOf('metrics', environment).includes('prometheus')) return undefined;
  const named = environment['OTEL_EXPORTER_PROMETHEUS_HOST'];
  return {
    host: named === undefined || named === '' ? host : named,
    port: numberOf('OTEL_EXPORTER_PROMETHEUS_PORT', environment, DEFAULT_SCRAPE_PORT),
  };
}

async function metricReaders(scrape: TelemetryOptions['scrape'], pushed: readonly string[], environment: Environment, histograms: WatchedHistograms) {
  const { pushingReader, ScrapedReader } = await import('./metrics/readers.ts');
  const pushing = pushed.map((name) => pushingReader(name, environment, [histograms]));
  if (scrape === undefined) return { ...NO_READERS, readers: pushing };
  const { MetricsEndpoint } = await import('./metrics/endpoint.ts');
  const scraped = new ScrapedReader([histograms]);
  const endpoint: MetricsEndpoint = new MetricsEndpoint(scraped);
  const port = await endpoint.listen(scrape.host, scrape.port);
  if (pushing.length > 0) scraped.collectBeside();
  return { readers: [...pushing, scraped], endpoint, port };
}

const NO_READERS = { readers: [], endpoint: undefined, port: undefined };

async function watchedHistograms(version: string): Promise<WatchedHistograms> {
  const { WatchedHistograms } = await import('./metrics/watched-histograms.ts');
  return new WatchedHistograms({ name: METER, version });
}

async function measure(version: string, histograms: WatchedHistograms): Promise<{ readonly metrics: Metrics; end(): void }> {
  const { Metrics } = await import('./metrics/metrics.ts');
  const { watchProcess } = await import('./metrics/process.ts');
  const made = new Metrics(metrics.getMeter(METER, version), histograms);
  return { metrics: made, end: watchProcess(made) };
}
