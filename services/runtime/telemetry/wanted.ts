/** What the standard OTEL_* variables ask for. */

import { TelemetryError } from './telemetry-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type Signal = 'traces' | 'metrics' | 'logs';

export function isDisabled(environment: Environment): boolean {
  return environment['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true';
}

/**
 * Names of the exporters of a signal: those that OTEL_<SIGNAL>_EXPORTER lists, or OTLP where only an
 * endpoint is given. Empty: nothing is to be sent.
 */
export function exportersOf(signal: Signal, environment: Environment): readonly string[] {
  if (isDisabled(environment)) return [];
  const upper = signal.toUpperCase();
  const listed = (environment[`OTEL_${upper}_EXPORTER`] ?? '').split(',').map((name) => name.trim()).filter((name) => name !== '');
  if (listed.length > 0) return listed.includes('none') ? [] : [...new Set(listed)];
  const endpoints = ['OTEL_EXPORTER_OTLP_ENDPOINT', `OTEL_EXPORTER_OTLP_${upper}_ENDPOINT`];
  return endpoints.some((name) => (environment[name] ?? '') !== '') ? ['otlp'] : [];
}

/** A port, or a time in milliseconds. @throws TelemetryError */
export function numberOf(name: string, environment: Environment, fallback: number): number {
  const value = environment[name]?.trim();
  if (value === undefined || value === '') return fallback;
  if (!/^\d+$/.test(value) || Number(value) === 0) throw new TelemetryError(`${name} must be a whole number above 0, not ${JSON.stringify(value)}`);
  return Number(value);
}
