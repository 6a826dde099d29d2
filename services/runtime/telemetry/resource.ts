/**
 * What identifies this process in everything that it sends. The command line does not: it may have
 * passwords.
 */

import { envDetector, hostDetector, osDetector, processDetector, serviceInstanceIdDetector, type ResourceDetector } from '@opentelemetry/resources';
import { TelemetryError } from './telemetry-error.ts';
import type { Environment } from './wanted.ts';

const COMMAND_LINE = new Set(['process.command', 'process.command_args', 'process.command_line']);

const withoutCommandLine: ResourceDetector = {
  detect(config) {
    const { attributes = {} } = processDetector.detect(config);
    return { attributes: Object.fromEntries(Object.entries(attributes).filter(([name]) => !COMMAND_LINE.has(name))) };
  },
};

/** By the names that OTEL_NODE_RESOURCE_DETECTORS takes. */
const DETECTORS: Readonly<Record<string, ResourceDetector>> = {
  serviceinstance: serviceInstanceIdDetector,
  process: withoutCommandLine,
  host: hostDetector,
  os: osDetector,
  env: envDetector,
};

/** @throws TelemetryError */
export function resourceDetectors(environment: Environment): ResourceDetector[] {
  const names = (environment['OTEL_NODE_RESOURCE_DETECTORS'] ?? '').split(',').map((name) => name.trim()).filter((name) => name !== '');
  if (names.includes('none')) return [];
  if (names.length === 0 || names.includes('all')) return Object.values(DETECTORS);
  return names.map((name) => {
    const detector = DETECTORS[name];
    if (detector !== undefined) return detector;
    throw new TelemetryError(`OTEL_NODE_RESOURCE_DETECTORS: ${JSON.stringify(name)} is none of all, none, ${Object.keys(DETECTORS).join(', ')}`);
  });
}
