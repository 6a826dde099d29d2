/** OTLP over TLS, by the standard variables alone: certificates at both ends, and nothing without one. */

import { expect, test } from 'vitest';
import { makeCertificates } from '../support/certificates.ts';
import { OtlpReceiver } from '../support/otlp-receiver.ts';
import { folder, serve } from '../support/processes.ts';

test('telemetry goes to who shows a certificate of the authority, and shows one', async ({ skip }) => {
  const certificates = makeCertificates(folder());
  if (certificates === undefined) return skip('no openssl here, and certificates are made with it');
  const { ca, cert, key } = certificates;
  const receiver = await OtlpReceiver.start(certificates);
  const sentWith = async (variables: Readonly<Record<string, string>>): Promise<number> => {
    const before = receiver.requests;
    const environment = receiver.environment('mesh', { OTEL_METRICS_EXPORTER: 'otlp', ...variables });
    const server = await serve(['--store', 'memory'], { environment });
    expect(await server.stop()).toBe(0);
    return receiver.requests - before;
  };
  const trusted = { OTEL_EXPORTER_OTLP_CERTIFICATE: ca };
  expect(await sentWith({ ...trusted, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: cert, OTEL_EXPORTER_OTLP_CLIENT_KEY: key })).toBeGreaterThan(0);
  expect(receiver.metrics).toContain('txmesh.partition.leadership.changes');
  expect(await sentWith(trusted)).toBe(0);
  expect(await sentWith({ OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: cert, OTEL_EXPORTER_OTLP_CLIENT_KEY: key })).toBe(0);
});
