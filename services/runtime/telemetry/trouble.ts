/**
 * What OpenTelemetry says of its own trouble, such as a receiver that is not there, goes to the log: one
 * line at once, and then one a minute at most, however often it fails.
 */

import { diag, DiagLogLevel, type DiagLogFunction } from '@opentelemetry/api';
import type { Clock } from '../clock.ts';
import type { Environment } from './wanted.ts';

const EVERY_MS = 60_000;

/**
 * @param warn must not send what it takes to OpenTelemetry, which would fail again
 * @returns what ends it
 */
export function reportTrouble(clock: Clock, environment: Environment, warn: (message: string, fields: Record<string, unknown>) => void): () => void {
  // Then the SDK prints all of it by itself.
  if ((environment['OTEL_LOG_LEVEL'] ?? '') !== '') return () => undefined;
  let notBeforeMs = -Infinity;
  let untold = 0;
  const tell: DiagLogFunction = (message: unknown, ...details: unknown[]) => {
    if (clock.monotonicMs() < notBeforeMs) {
      untold++;
      return;
    }
    notBeforeMs = clock.monotonicMs() + EVERY_MS;
    const detail = [message, ...details].map(String).join(' ');
    warn('OpenTelemetry has trouble', { detail, ...(untold > 0 && { untold }) });
    untold = 0;
  };
  const ignore = (): void => undefined;
  diag.setLogger({ error: tell, warn: tell, info: ignore, debug: ignore, verbose: ignore }, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  return () => diag.disable();
}
