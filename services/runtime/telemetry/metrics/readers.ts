/**
 * Where metrics go: to whoever scrapes the endpoint, by OTLP, or to the console. The SDK for Node would
 * make these readers of the same variables, but would report a partition for ever once it was led here,
 * and go on without a word where its endpoint's port is in use.
 */

import { diag } from '@opentelemetry/api';
import { OTLPMetricExporter as GrpcExporter } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtobufExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import {
  AggregationTemporality,
  ConsoleMetricExporter,
  InstrumentType,
  type MetricProducer,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from '@opentelemetry/sdk-metrics';
import { TelemetryError } from '../telemetry-error.ts';
import { numberOf, type Environment } from '../wanted.ts';

const DEFAULT_INTERVAL_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const COLLECT_BESIDE_MS = 60_000;

/**
 * A gauge says what is now. The SDK keeps every attribute set that it has ever read of a gauge, unless
 * it is told to begin anew each time.
 */
function temporalityOf(type: InstrumentType, other: AggregationTemporality): AggregationTemporality {
  return type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : other;
}

export class ScrapedReader extends PrometheusExporter {
  private timer: NodeJS.Timeout | undefined;

  /** @param beside sources of metrics beside the SDK */
  constructor(beside: readonly MetricProducer[] = []) {
    super({ preventServerStart: true, withoutScopeInfo: true, metricProducers: [...beside] });
  }

  override selectAggregationTemporality(type: InstrumentType): AggregationTemporality {
    return temporalityOf(type, super.selectAggregationTemporality(type));
  }

  /**
   * Beside another reader: what that one collects, the SDK keeps for this one until it collects, too. So
   * it does now and then, where nobody scrapes.
   */
  collectBeside(everyMs = COLLECT_BESIDE_MS): void {
    this.timer = setInterval(() => {
      this.collect().catch((error: unknown) => diag.error('metrics could not be collected', error));
    }, everyMs);
    this.timer.unref();
  }

  override async onShutdown(): Promise<void> {
    clearInterval(this.timer);
    await super.onShutdown();
  }
}

class PushingReader extends PeriodicExportingMetricReader {
  override selectAggregationTemporality(type: InstrumentType): AggregationTemporality {
    return temporalityOf(type, super.selectAggregationTemporality(type));
  }
}

/** @param name "otlp" or "console", @param beside sources of metrics beside the SDK. @throws TelemetryError */
export function pushingReader(name: string, environment: Environment, beside: readonly MetricProducer[] = []): PeriodicExportingMetricReader {
  return readerOf(exporterOf(name, environment), environment, beside);
}

/** @throws TelemetryError */
export function readerOf(exporter: PushMetricExporter, environment: Environment, beside: readonly MetricProducer[] = []): PeriodicExportingMetricReader {
  const exportIntervalMillis = numberOf('OTEL_METRIC_EXPORT_INTERVAL', environment, DEFAULT_INTERVAL_MS);
  const exportTimeoutMillis = Math.min(exportIntervalMillis, numberOf('OTEL_METRIC_EXPORT_TIMEOUT', environment, DEFAULT_TIMEOUT_MS));
  return new PushingReader({ exporter, exportIntervalMillis, exportTimeoutMillis, metricProducers: [...beside] });
}

function exporterOf(name: string, environment: Environment): PushMetricExporter {
  if (name === 'console') return new ConsoleMetricExporter();
  if (name !== 'otlp') throw new TelemetryError(`OTEL_METRICS_EXPORTER: ${JSON.stringify(name)} is none of otlp, prometheus, console and none`);
  const variables = ['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'];
  const variable = variables.find((each) => (environment[each] ?? '') !== '');
  const protocol = variable === undefined ? 'http/protobuf' : environment[variable]!.trim();
  switch (protocol) {
    case 'grpc':
      return new GrpcExporter();
    case 'http/json':
      return new JsonExporter();
    case 'http/protobuf':
      return new ProtobufExporter();
    default:
      throw new TelemetryError(`${variable} must be grpc, http/protobuf or http/json, not ${JSON.stringify(protocol)}`);
  }
}
