/**
 * One transaction is one trace, across processes: every process sends its spans to an OTLP receiver in
 * this test, configured by the standard OTEL_* variables and nothing else.
 */

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { OtlpReceiver } from './support/otlp-receiver.ts';
import { folder, serve } from './support/processes.ts';

const run = promisify(execFile);
const CLIENT = fileURLToPath(new URL('support/traced-client.ts', import.meta.url));
const NOTE_LOADS = new URL('support/note-loads.ts', import.meta.url).href;
const COORDINATOR = 'txmesh.coordinator.v1.CoordinatorService';
const KEY_VALUE = 'txmesh.keyvalue.v1.KeyValueService';

/** Runs the client; resolves with its trace's id. */
async function client(address: string, form: string, environment: Record<string, string>): Promise<string> {
  const { stdout } = await run(process.execPath, ['--conditions=txmesh-source', CLIENT, address, form], {
    env: { ...process.env, ...environment },
    timeout: 30_000,
  });
  return stdout.trim();
}

/** A server of all services in one process. */
const embedded = (environment: Record<string, string>) => serve(['--store', 'memory'], { environment });

test('over etcd, the spans of client, coordinator and two participants are one tree', async (context) => {
  const tools = await requireGoTools('etcd');
  if (tools === undefined) return context.skip('etcd is not there and could not be built');
  const receiver = await OtlpReceiver.start();
  const etcd = await startEtcd({ etcd: tools.etcd });
  onTestFinished(() => etcd.stop());
  const start = (name: string, ...args: string[]) =>
    serve(['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(','), ...args], { environment: receiver.environment(name) });
  const [{ address }] = await Promise.all([
    start('coordinator', '--participants', ''),
    start('inventory', '--coordinator', 'false', '--participants', 'inventory'),
    start('payments', '--coordinator', 'false', '--participants', 'payments'),
  ]);
  const id = await client(address, 'execute', receiver.environment('shop'));
  const span = (service: string, name: string) => receiver.span(id, service, name);

  const checkout = await span('shop', 'checkout');
  const call = await span('shop', `${COORDINATOR}/Execute`);
  const served = await span('coordinator', `${COORDINATOR}/Execute`);
  const execute = await span('coordinator', 'execute');
  expect(checkout.parentSpanId).toBe('');
  expect(call).toMatchObject({ parentSpanId: checkout.spanId, kind: 'CLIENT' });
  expect(call.attributes).toMatchObject({ 'rpc.system.name': 'grpc', 'rpc.method': `${COORDINATOR}/Execute`, 'rpc.response.status_code': 'OK' });
  expect(served).toMatchObject({ parentSpanId: call.spanId, kind: 'SERVER' });
  expect(served.attributes).toMatchObject({ 'rpc.system.name': 'grpc', 'rpc.method': `${COORDINATOR}/ExecuteStream`, 'rpc.response.status_code': 'OK' });
  expect(execute.parentSpanId).toBe(served.spanId);
  for (const participant of ['inventory', 'payments']) {
    const prepare = await span(participant, 'prepare');
    const commit = await span(participant, 'commit');
    for (const step of [prepare, commit]) {
      expect(step.parentSpanId).toBe(served.spanId);
      // The write that made it durable: a child, and linked both ways.
      const write = receiver.spans.find(({ name, links }) => name === 'write batch' && links.includes(step.spanId))!;
      expect(write, `a write for ${step.name}\n${receiver.show(id)}`).toMatchObject({ service: participant, kind: 'CLIENT', traceId: id });
      expect(step.links).toContain(write.spanId);
      expect(write.attributes).toMatchObject({ 'db.system.name': 'etcd', 'db.operation.name': 'write' });
      expect(write.attributes['db.operation.batch.size']).toBeGreaterThan(0);
    }
  }
  // The decision, too, waited for a write of the coordinator's.
  const decision = await span('coordinator', 'write batch');
  const caused = receiver.of(id).filter(({ service, links }) => service === 'coordinator' && links.includes(decision.spanId));
  expect(caused.map(({ name }) => name)).toEqual(expect.arrayContaining(['vote coordinator']));
  // One tree: every parent is there.
  const ids = new Set(receiver.of(id).map(({ spanId }) => spanId));
  expect(receiver.of(id).filter(({ parentSpanId }) => !ids.has(parentSpanId)).map(({ name }) => name)).toEqual(['checkout']);
}, 120_000);

test('in one process, local and interactive transactions are traced to their writes', async () => {
  const receiver = await OtlpReceiver.start();
  const { address } = await embedded(receiver.environment('mesh'));

  const local = await client(address, 'local', receiver.environment('shop'));
  const transaction = await receiver.span(local, 'shop', 'txmesh transaction');
  const localCall = await receiver.span(local, 'shop', KEY_VALUE);
  const localServed = await receiver.span(local, 'mesh', KEY_VALUE);
  const localStep = await receiver.span(local, 'mesh', 'local inventory');
  const localWrite = await receiver.span(local, 'mesh', 'write batch');
  expect(localCall.parentSpanId).toBe(transaction.spanId);
  expect(localServed.parentSpanId).toBe(localCall.spanId);
  expect(localStep).toMatchObject({ parentSpanId: localServed.spanId, links: [localWrite.spanId] });
  expect(localWrite.attributes).toMatchObject({ 'db.system.name': 'memory' });

  const interactive = await client(address, 'interactive', receiver.environment('shop'));
  const commitCall = await receiver.span(interactive, 'shop', `${COORDINATOR}/CommitTransaction`);
  const commitServed = await receiver.span(interactive, 'mesh', `${COORDINATOR}/CommitTransaction`);
  expect(commitServed.parentSpanId).toBe(commitCall.spanId);
  for (const participant of ['inventory', 'payments']) {
    expect((await receiver.span(interactive, 'mesh', `prepare ${participant}`)).parentSpanId).toBe(commitServed.spanId);
    expect((await receiver.span(interactive, 'mesh', `commit ${participant}`)).parentSpanId).toBe(commitServed.spanId);
  }
  const begin = await receiver.span(interactive, 'mesh', `${COORDINATOR}/BeginTransaction`);
  expect((await receiver.span(interactive, 'mesh', 'begin coordinator')).parentSpanId).toBe(begin.spanId);
}, 60_000);

test('a ratio of the traces is kept whole, and of the others nothing', async () => {
  const receiver = await OtlpReceiver.start();
  const sampler = (ratio: string) => ({ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: ratio });
  const { address } = await embedded(receiver.environment('mesh', sampler('0')));
  const dropped = await client(address, 'execute', receiver.environment('shop', sampler('0')));
  // The caller's choice holds, whatever the server would choose itself.
  const kept = await client(address, 'execute', receiver.environment('shop', sampler('1')));
  await receiver.span(kept, 'mesh', 'commit payments');
  expect(receiver.of(dropped)).toEqual([]);
  // Without a caller that has chosen, the server chooses.
  const silent = await client(address, 'execute', receiver.environment('shop', { OTEL_SDK_DISABLED: 'true' }));
  expect(silent).toMatch(/^0+$/);
  expect(receiver.spans.filter(({ service, traceId }) => service === 'mesh' && traceId !== kept)).toEqual([]);
}, 60_000);

test('nothing is loaded and nothing is posted unless a variable asks for it', async () => {
  const receiver = await OtlpReceiver.start();
  const asked = receiver.environment('mesh');
  const environments: [Record<string, string>, boolean][] = [
    [{ OTEL_SERVICE_NAME: 'mesh', OTEL_TRACES_SAMPLER: 'always_on' }, false],
    [{ ...asked, OTEL_SDK_DISABLED: 'true' }, false],
    [{ ...asked, OTEL_TRACES_EXPORTER: 'none' }, false],
    [asked, true],
  ];
  for (const [environment, loads] of environments) {
    const loaded = join(folder(), 'loaded');
    const server = await embedded({ ...environment, NODE_OPTIONS: `--import=${NOTE_LOADS}`, NOTE_LOADS_IN: loaded });
    expect(await client(server.address, 'execute', { OTEL_SDK_DISABLED: 'true' })).toMatch(/^0+$/);
    await server.stop();
    expect(existsSync(loaded) ? readFileSync(loaded, 'utf8') : '', JSON.stringify(environment)).toMatch(loads ? /sdk-node/ : /^$/);
    if (!loads) expect(receiver.requests).toBe(0);
  }
}, 60_000);
