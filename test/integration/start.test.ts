/** How the server starts, says why it can't, tells its health, and ends: as a process, from outside. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connect, DeadlineExceeded, OutcomeUnknown, put, Unavailable, type Mesh } from 'txmesh/client';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { SETTINGS } from '../../services/settings/table.ts';
import { folder, MAIN, runToEnd, serve, type Ended } from './support/processes.ts';
import { until } from './support/until.ts';

const DRAIN_MS = 5_000;

function open(address: string, timeoutMs = 10_000): Mesh {
  const mesh = connect({ addresses: [address], timeoutMs });
  onTestFinished(() => mesh.close());
  return mesh;
}

/** One clear line that names the setting, and the exit code; no stack, nothing else. */
function expectRefusal({ code, said, stderr }: Ended, exitCode: number, ...words: string[]): void {
  expect(said, stderr).toHaveLength(1);
  expect(said[0]).toMatch(/^txmesh: /);
  for (const word of words) expect(said[0]).toContain(word);
  expect(code).toBe(exitCode);
}

/** A file system of this size, or undefined where this user may not mount one. */
function mountTmpfs(options: string): string | undefined {
  const path = join(folder(), 'mount');
  mkdirSync(path);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'txmesh-test', path]).status !== 0) return undefined;
  onTestFinished(() => void spawnSync('umount', ['--lazy', path]));
  return path;
}

describe('one line and an exit code tell why it does not start:', () => {
  test('the port is in use', async () => {
    const first = await serve(['--store', 'memory']);
    const port = first.address.split(':')[1]!;
    expectRefusal(await runToEnd(['--store', 'memory', '--port', port]), 1, `port ${port}`, 'in use', '--port', 'TXMESH_PORT');
  });

  test('the data folder is no folder', async () => {
    const file = join(folder(), 'file');
    writeFileSync(file, '');
    expectRefusal(await runToEnd(['--port', '0', '--data-dir', file]), 1, file, '--data-dir');
  });

  test('the data folder can not be written', async (context) => {
    let path: string | undefined;
    if (process.getuid?.() === 0) path = mountTmpfs('ro');
    else chmodSync((path = folder()), 0o500);
    if (path === undefined) return context.skip('root may write everywhere, and nothing can be mounted read-only here');
    expectRefusal(await runToEnd(['--port', '0', '--data-dir', path]), 1, path, '--data-dir');
  });

  test('the data folder is in use by another process', async () => {
    const path = join(folder(), 'data');
    await serve(['--data-dir', path]);
    expectRefusal(await runToEnd(['--port', '0', '--data-dir', path]), 1, path, 'in use by another process', '--data-dir');
  });

  test('etcd does not answer, whether nobody listens there or somebody is silent', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    onTestFinished(() => void silent.close());
    await until('the silent server listens', 1_000, () => silent.listening);
    const { port } = silent.address() as AddressInfo;
    const endpoints = ['http://127.0.0.1:1', `http://127.0.0.1:${port}`];
    const ends = await Promise.all(endpoints.map((each) => runToEnd(['--port', '0', '--store', 'etcd', '--etcd-wait', '1s', '--etcd-endpoints', each])));
    for (const [i, end] of ends.entries()) expectRefusal(end, 1, endpoints[i]!, 'no answer', '--etcd-endpoints');
  });

  test('a setting is wrong', async () => {
    const [range, unit, unknown, variable, pair] = await Promise.all([
      runToEnd(['--port', '99999']),
      runToEnd([], { TXMESH_LEASE: '5' }),
      runToEnd(['--prot', '1']),
      runToEnd([], { TXMESH_PROT: '1' }),
      runToEnd(['--tls-cert', 'cert.pem']),
    ]);
    expectRefusal(range, 2, '--port', 'from 0 to 65535', '99999');
    expectRefusal(unit, 2, 'TXMESH_LEASE', 'unit', '"5"');
    expectRefusal(unknown, 2, '--prot', '--help');
    expectRefusal(variable, 2, 'TXMESH_PROT', '--help');
    expectRefusal(pair, 2, '--tls-cert', '--tls-key');
  });

  test('a certificate can not be read, or is none', async () => {
    const broken = join(folder(), 'broken.pem');
    writeFileSync(broken, 'not a certificate');
    const absent = join(folder(), 'absent.pem');
    const start = (file: string) => runToEnd(['--store', 'memory', '--port', '0', '--tls-cert', file, '--tls-key', file]);
    const ends = await Promise.all([start(absent), start(broken)]);
    expectRefusal(ends[0], 1, absent, '--tls-cert');
    expectRefusal(ends[1], 1, '--tls-cert');
  });

  test('the partitions are others than those that are recorded', async () => {
    const path = join(folder(), 'data');
    const first = await serve(['--data-dir', path, '--partitions', '3']);
    expect(await first.stop()).toBe(0);
    expectRefusal(await runToEnd(['--port', '0', '--data-dir', path, '--partitions', '4']), 1, '3 partitions', '--partitions', '4');
    // Without the setting it takes what is recorded.
    const again = await serve(['--data-dir', path]);
    expect(await again.stop()).toBe(0);
  });

  test('the disk is full: a start says so, and a server that runs refuses writes, still reads, and goes on when there is room', async (context) => {
    const disk = mountTmpfs('size=32m');
    if (disk === undefined) return context.skip('a small file system needs root and mount');
    const fill = (MiB: number) => spawnSync('dd', ['if=/dev/zero', `of=${join(disk, 'filler')}`, 'bs=1M', `count=${MiB}`], { stdio: 'ignore' });
    const mesh = open((await serve(['--data-dir', join(disk, 'data')])).address);
    const keys = mesh.keyValue('inventory').collection('large');
    await keys.put('before', 'there was room');
    fill(64);
    // To begin needs no write, so that nothing hangs until the server has noticed.
    await until('new work is refused', 10_000, () =>
      mesh.begin({ timeoutMs: 300, transactionTimeoutMs: 600_000 }).then(() => false, (error: unknown) => String(error).includes('full')),
    );
    await expect(keys.put('meanwhile', 'x', { timeoutMs: 500 })).rejects.toSatisfy((error) => !(error instanceof OutcomeUnknown) && String(error).includes('full'));
    expect((await keys.get('before'))?.text()).toBe('there was room');
    expectRefusal(await runToEnd(['--port', '0', '--data-dir', join(disk, 'other')]), 1, disk, '--data-dir');
    spawnSync('rm', [join(disk, 'filler')]);
    await keys.put('after', 'there is room again');
    expect((await keys.get('after'))?.text()).toBe('there is room again');
  });
});

describe('where etcd does not answer yet, the server', () => {
  test('waits, says so, and serves when it does', async (context) => {
    const tools = await requireGoTools('etcd');
    if (tools === undefined) return context.skip('no etcd');
    const etcd = await startEtcd({ etcd: tools.etcd });
    onTestFinished(() => etcd.stop());
    const [member] = etcd.members;
    await member!.kill();
    const logFile = join(folder(), 'server.log');
    const serving = serve(['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(',')], { logFile });
    await Promise.race([serving, until('it waits', 20_000, () => existsSync(logFile) && readFileSync(logFile, 'utf8').includes('etcd gives no answer yet'))]);
    member!.start();
    await open((await serving).address).keyValue('inventory').collection('c').put('key', 'value');
  });

  test('stops at once when it is told to', async () => {
    const child = spawn(process.execPath, ['--conditions=txmesh-source', MAIN, '--port', '0', '--store', 'etcd', '--etcd-endpoints', 'http://127.0.0.1:1', '--etcd-wait', '1h'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let said = '';
    child.stderr.on('data', (chunk) => (said += chunk));
    await until('it waits', 20_000, () => said.includes('etcd gives no answer yet'), () => said);
    child.kill('SIGTERM');
    expect((await once(child, 'exit'))[0], said).toBe(0);
    expect(said).toContain('stopped before it served');
  });
});

describe('the command', () => {
  test('--help lists every setting with its variable, --version says the version', async () => {
    const [help, version] = await Promise.all([runToEnd(['--help']), runToEnd(['--version'])]);
    expect([help.code, help.stderr, version.code, version.stderr]).toEqual([0, '', 0, '']);
    for (const { flag, help: text } of Object.values(SETTINGS)) {
      expect(help.stdout).toContain(`--${flag} `);
      expect(help.stdout).toContain(`TXMESH_${flag.toUpperCase().replaceAll('-', '_')}`);
      expect(help.stdout).toContain(text);
    }
    const packageJson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
    expect(version.stdout.trim()).toBe(packageJson.version);
  });
});

describe('SIGTERM', () => {
  test('drains under load and exits 0 within the bound; no call that was taken is lost, and the next start finds everything', async () => {
    const path = join(folder(), 'data');
    const server = await serve(['--data-dir', path, '--drain', `${DRAIN_MS}ms`]);
    const mesh = open(server.address, 2_000);
    const acknowledged = { keys: [] as string[], transactions: [] as string[] };
    const errors: unknown[] = [];
    let running = true;
    const load = Array.from({ length: 16 }, async (_, worker) => {
      for (let i = 0; running; i++) {
        const key = `${worker}-${i}`;
        try {
          if (worker % 2 === 0) {
            await mesh.keyValue('inventory').collection('drained').put(key, 'x');
            acknowledged.keys.push(key);
          } else {
            const operations = [put('inventory', 'drained', `t${key}`, 'x'), put('payments', 'drained', `t${key}`, 'x')];
            const { transactionId, committed } = await mesh.execute({ operations });
            if (committed) acknowledged.transactions.push(`t${key}`);
            else errors.push(new Error(`${transactionId} was aborted`));
          }
        } catch (error) {
          errors.push(error);
          return;
        }
      }
    });
    await until('the load runs', 10_000, () => acknowledged.transactions.length > 100 && acknowledged.keys.length > 100);
    const startMs = performance.now();
    expect(await server.stop()).toBe(0);
    const tookMs = performance.now() - startMs;
    running = false;
    await Promise.all(load);
    console.log(`drained in ${Math.round(tookMs)} ms after ${acknowledged.keys.length} writes and ${acknowledged.transactions.length} transactions`);
    expect(tookMs).toBeLessThan(DRAIN_MS + 1_000);
    // What was taken was answered; what was not taken was surely not executed.
    expect(errors.filter((error) => error instanceof OutcomeUnknown).map(String)).toEqual([]);
    expect(errors.filter((error) => !(error instanceof Unavailable || error instanceof DeadlineExceeded)).map(String)).toEqual([]);

    const again = open((await serve(['--data-dir', path])).address);
    for (const participant of ['inventory', 'payments']) {
      const found = new Set<string>();
      for await (const { key } of again.keyValue(participant).collection('drained').scan({ pageSize: 1000 })) found.add(key);
      const expected = participant === 'inventory' ? [...acknowledged.keys, ...acknowledged.transactions] : acknowledged.transactions;
      expect(expected.filter((key) => !found.has(key))).toEqual([]);
    }
  });

  test('does not wait for watches, and exits 0 without load at once', async () => {
    const server = await serve(['--store', 'memory']);
    const mesh = open(server.address);
    await mesh.ready();
    const events = mesh.watchTransactions()[Symbol.asyncIterator]();
    const next = events.next().catch(() => undefined);
    const startMs = performance.now();
    expect(await server.stop()).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(DRAIN_MS);
    mesh.close();
    await next;
  });
});

describe('over real gRPC', () => {
  test('health is checked and watched, for each service and for the whole, and turns when the server stops', async () => {
    const server = await serve(['--store', 'memory']);
    const client = new grpc.Client(server.address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const SERVING = 1;
    const NOT_SERVING = 2;
    const services = ['', 'txmesh.coordinator.v1.CoordinatorService', 'txmesh.keyvalue.v1.KeyValueService', 'txmesh.participant.v1.ParticipantService', 'txmesh.cluster.v1.ClusterService'];
    const request = (service: string): Buffer => Buffer.concat([Buffer.from([10, service.length]), Buffer.from(service)]);
    const asIs = (bytes: Buffer): Buffer => bytes;
    const statusOf = (reply: Buffer): number => reply.at(-1) ?? 0;
    for (const service of services) {
      const status = await new Promise<number>((resolve, reject) =>
        client.makeUnaryRequest('/grpc.health.v1.Health/Check', asIs, asIs, request(service), (error, reply?: Buffer) =>
          error === null ? resolve(statusOf(reply!)) : reject(error)),
      );
      expect(status, service).toBe(SERVING);
    }
    const seen: number[] = [];
    const watch = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', asIs, asIs, request(services[1]!));
    watch.on('data', (reply: Buffer) => seen.push(statusOf(reply)));
    watch.on('error', () => undefined);
    await until('the watch tells the state', 5_000, () => seen.length === 1);
    expect(await server.stop()).toBe(0);
    await until('the watch tells the end', 5_000, () => seen.length === 2);
    expect(seen).toEqual([SERVING, NOT_SERVING]);
  });

  test('log lines are JSON, and those of a traced call carry its trace id', async () => {
    const collector = createServer((socket) => socket.on('error', () => undefined).resume().end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
    collector.listen(0, '127.0.0.1');
    onTestFinished(() => void collector.close());
    await until('the collector listens', 1_000, () => collector.listening);
    const logFile = join(folder(), 'server.log');
    const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
    const server = await serve(['--store', 'memory', '--log-level', 'debug'], { logFile, environment: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } });
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const client = new grpc.Client(server.address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const metadata = new grpc.Metadata();
    metadata.set('traceparent', `00-${traceId}-b7ad6b7169203331-01`);
    const asIs = (bytes: Buffer): Buffer => bytes;
    await new Promise((resolve) =>
      client.makeUnaryRequest('/txmesh.coordinator.v1.CoordinatorService/ListTransactions', asIs, asIs, Buffer.alloc(0), metadata, resolve),
    );
    expect(await server.stop()).toBe(0);
    const lines = readFileSync(logFile, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const line of lines) expect(line).toMatchObject({ level: expect.any(String), time: expect.any(String), message: expect.any(String), 'service.name': 'txmesh' });
    const traced = lines.filter((line) => line['trace_id'] === traceId);
    expect(traced).toEqual([expect.objectContaining({ level: 'debug', method: 'txmesh.coordinator.v1.CoordinatorService/ListTransactions', span_id: expect.stringMatching(/^[0-9a-f]{16}$/) })]);
  });
});
