/** Metrics and logs of real processes: where the standard variables and the settings send them, and what is refused. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from './support/free-port.ts';
import { OtlpReceiver } from './support/otlp-receiver.ts';
import { folder, runToEnd, serve } from './support/processes.ts';
import { scrape } from './support/scrape.ts';

const MEMORY = ['--store', 'memory'];
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';

/** One call that is traced. */
async function call(address: string): Promise<void> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set('traceparent', `00-${TRACE_ID}-b7ad6b7169203331-01`);
  const asIs = (bytes: Buffer): Buffer => bytes;
  await new Promise((resolve) => client.makeUnaryRequest('/txmesh.coordinator.v1.CoordinatorService/ListTransactions', asIs, asIs, Buffer.alloc(0), metadata, resolve));
  client.close();
}

test('an endpoint alone takes metrics and logs, the last ones too, and log lines stay where they were', async () => {
  const receiver = await OtlpReceiver.start();
  const logFile = join(folder(), 'server.log');
  const environment = receiver.environment('mesh', { OTEL_METRICS_EXPORTER: '', OTEL_LOGS_EXPORTER: '' });
  const server = await serve([...MEMORY, '--log-level', 'debug', '--etcd-user', 'root', '--etcd-password', 'a secret'], { logFile, environment });
  await call(server.address);
  expect(await server.stop()).toBe(0);
  expect(receiver.metrics).toContain('txmesh.partition.leadership.changes');
  expect(receiver.metrics).toContain('grpc.server.call.duration');
  const written = readFileSync(logFile, 'utf8').trim().split('\n').map((line) => (JSON.parse(line) as { message: string }).message);
  expect(receiver.logs.map(({ body }) => body)).toEqual(written);
  expect(new Set(receiver.logs.map(({ service }) => service))).toEqual(new Set(['mesh']));
  const served = receiver.logs.find(({ traceId }) => traceId === TRACE_ID)!;
  expect(served).toMatchObject({ severity: 'DEBUG', body: 'served', attributes: { method: 'txmesh.coordinator.v1.CoordinatorService/ListTransactions' } });
  const [span] = receiver.of(TRACE_ID);
  expect(served.spanId).toBe(span!.spanId);
  expect(receiver.bodies.filter((body) => body.includes('a secret'))).toEqual([]);
});

test('one page serves the setting and OTEL_METRICS_EXPORTER together, on the port of the setting, beside OTLP', async () => {
  const receiver = await OtlpReceiver.start();
  const port = await freePort();
  const other = await freePort();
  const environment = receiver.environment('mesh', { OTEL_METRICS_EXPORTER: 'prometheus,otlp', OTEL_EXPORTER_PROMETHEUS_PORT: String(other) });
  const server = await serve([...MEMORY, '--metrics-port', String(port)], { environment });
  expect((await scrape(port)).sum('txmesh_partition_led')).toBeGreaterThan(0);
  await expect(scrape(other)).rejects.toThrow('fetch failed');
  expect(await server.stop()).toBe(0);
  expect(receiver.metrics).toContain('txmesh.partition.leadership.changes');
});

test('OTEL_METRICS_EXPORTER asks for the page in the standard way', async () => {
  const port = await freePort();
  await serve(MEMORY, { environment: { OTEL_METRICS_EXPORTER: 'prometheus', OTEL_EXPORTER_PROMETHEUS_PORT: String(port), OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1' } });
  expect((await scrape(port)).sum('process_uptime')).toBeGreaterThan(0);
});

test('a port in use, and what can not be started, end it with one line that names what to change', async () => {
  const busy = createServer().listen(0, '127.0.0.1');
  await once(busy, 'listening');
  onTestFinished(() => void busy.close());
  const { port } = busy.address() as AddressInfo;
  const ports = ['--port', '0', '--metrics-port', String(port)];
  expect(await runToEnd([...MEMORY, ...ports])).toMatchObject({
    code: 1,
    said: [`txmesh: port ${port} on 127.0.0.1 is in use: stop what listens there, or choose another port with --metrics-port (TXMESH_METRICS_PORT)`],
  });
  expect(await runToEnd([...MEMORY, ...ports], { OTEL_SDK_DISABLED: 'true' })).toMatchObject({ code: 2, said: [expect.stringContaining('OTEL_SDK_DISABLED is true, but --metrics-port')] });
  expect(await runToEnd([...MEMORY, '--port', '0'], { OTEL_METRICS_EXPORTER: 'statsd' })).toMatchObject({
    code: 2,
    said: ['txmesh: OTEL_METRICS_EXPORTER: "statsd" is none of otlp, prometheus, console and none'],
  });
  expect(await runToEnd([...MEMORY, '--port', '0'], { OTEL_METRICS_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'smtp' })).toMatchObject({
    code: 2,
    said: ['txmesh: OTEL_EXPORTER_OTLP_PROTOCOL must be grpc, http/protobuf or http/json, not "smtp"'],
  });
});

test('nothing is loaded or listened on where nobody asks', async () => {
  const port = await freePort();
  await serve(MEMORY, { environment: { OTEL_EXPORTER_PROMETHEUS_PORT: String(port) } });
  await expect(scrape(port)).rejects.toThrow('fetch failed');
});
