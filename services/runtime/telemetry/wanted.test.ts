import { expect, it } from 'vitest';
import { TelemetryError } from './telemetry-error.ts';
import { exportersOf, numberOf, type Environment } from './wanted.ts';

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

it.each<[Environment, readonly string[]]>([
  [{}, []],
  [{ OTEL_SERVICE_NAME: 'mesh', OTEL_TRACES_EXPORTER: 'otlp' }, []],
  [ENDPOINT, ['otlp']],
  [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://127.0.0.1:4318/v1/metrics' }, ['otlp']],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }, []],
  [{ ...ENDPOINT, OTEL_METRICS_EXPORTER: 'none' }, []],
  [{ OTEL_METRICS_EXPORTER: 'otlp, prometheus,otlp' }, ['otlp', 'prometheus']],
  [{ ...ENDPOINT, OTEL_METRICS_EXPORTER: '' }, ['otlp']],
  [{ ...ENDPOINT, OTEL_METRICS_EXPORTER: 'console', OTEL_SDK_DISABLED: 'TRUE' }, []],
])('of %j metrics go to %j', (environment, exporters) => {
  expect(exportersOf('metrics', environment)).toEqual(exporters);
});

it('reads whole numbers, and says which variable has none', () => {
  expect(numberOf('A', {}, 7)).toBe(7);
  expect(numberOf('A', { A: ' 8 ' }, 7)).toBe(8);
  for (const wrong of ['0', '-1', '1.5', 'x']) expect(() => numberOf('A', { A: wrong }, 7)).toThrow(new TelemetryError(`A must be a whole number above 0, not "${wrong}"`));
});
