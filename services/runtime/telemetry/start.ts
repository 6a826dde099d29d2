/**
 * Starts OpenTelemetry when the standard OTEL_* variables ask for it, and otherwise does not even load
 * it: without an exporter or endpoint the SDK would record everything and post it to localhost:4318.
 */

export interface TelemetryHandle {
  readonly enabled: boolean;
  /** Sends what is left. */
  shutdown(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether one of the standard variables names a trace exporter or an endpoint. */
export function wantsTraces(environment: Environment): boolean {
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return false;
  const exporter = environment['OTEL_TRACES_EXPORTER'];
  if (exporter !== undefined && exporter !== '') return exporter !== 'none';
  return ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'].some(
    (name) => environment[name] !== undefined && environment[name] !== '',
  );
}

/** @param serviceName taken unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES names another. */
export async function startTelemetry(serviceName: string, environment: Environment): Promise<TelemetryHandle> {
  if (!wantsTraces(environment)) return { enabled: false, shutdown: () => Promise.resolve() };
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  // Metrics and logs are off unless asked for: their default is to export, too.
  process.env['OTEL_METRICS_EXPORTER'] ??= 'none';
  process.env['OTEL_LOGS_EXPORTER'] ??= 'none';
  const named = environment['OTEL_SERVICE_NAME'] ?? /(^|,)service\.name=/.exec(environment['OTEL_RESOURCE_ATTRIBUTES'] ?? '')?.[0];
  const sdk = new NodeSDK({ instrumentations: [], ...(named === undefined ? { serviceName } : {}) });
  sdk.start();
  return { enabled: true, shutdown: () => sdk.shutdown() };
}
