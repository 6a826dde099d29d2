/**
 * What users of such systems complain about, each as a test with the complaint in its name, over real
 * processes. Complaints that other tests show already:
 * - DTM #143, no retry-now: here, and transactions.test.ts "is visible, and can be retried at once";
 * - WildFly operator #61, #100, scaling down, and grpc-node #2265, #2455, following scaling: cluster.test.ts;
 * - Temporal #5198, a shard count that can't change, is refused clearly: start.test.ts; #7101, latency when
 *   ownership moves: cluster.test.ts and failover.test.ts print it;
 * - Jepsen, etcd locks without fencing: term.test.ts (P2) and the simulation's bug "fence left out of a write";
 * - Jepsen, acknowledged and lost: lmdb.test.ts "every write that a process was told of is there after kill -9";
 * - Jepsen, added twice after an unknown result: keyvalue.test.ts "a put under a request id happens once (K6)".
 */

import { randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connect, newTransactionId, put, TransactionAborted, type ConnectOptions, type Mesh } from 'txmesh/client';
import { serveParticipant, type Participant } from 'txmesh/participant';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { ClusterServiceClient } from '../../services/gen/txmesh/cluster/v1/cluster.ts';
import { CertificateFiles } from '../../services/runtime/transport/certificate-files.ts';
import { channelCredentials } from '../../services/runtime/transport/credentials.ts';
import { makeCertificates } from './support/certificates.ts';
import { unfinished } from './support/in-doubt.ts';
import { note, Notebook } from './support/notebook.ts';
import { folder, serve } from './support/processes.ts';
import { until } from './support/until.ts';

function open(options: ConnectOptions): Mesh {
  const mesh = connect(options);
  onTestFinished(() => mesh.close());
  return mesh;
}

/** A mesh in one process on memory. */
async function openMesh(...args: string[]): Promise<{ address: string; mesh: Mesh }> {
  const { address } = await serve(['--store', 'memory', ...args]);
  return { address, mesh: open({ addresses: [address] }) };
}

async function serveNotebook(mesh: string, notebook: Notebook): Promise<Participant> {
  const participant = await serveParticipant({ name: 'notebook', mesh, listen: '127.0.0.1:0', resourceManager: notebook, timeToLiveMs: 2_000 });
  onTestFinished(() => participant.close(0));
  return participant;
}

/** A participant by the name "silent" that takes connections and never says a word. */
async function registerSilence(mesh: string): Promise<void> {
  const server = createServer((socket) => socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await until('the silent participant listens', 1_000, () => server.listening);
  const client = new ClusterServiceClient(mesh, grpc.credentials.createInsecure());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const request = { name: 'silent', address, registrationId: '', timeToLive: { seconds: 120n, nanos: 0 } };
  await new Promise<void>((resolve, reject) => client.registerParticipant(request, (error) => (error === null ? resolve() : reject(error))));
  client.close();
}

const transfer = (key: string) => [put('inventory', 'c', key, 'v'), put('payments', 'c', key, 'v')];

describe('DTM', () => {
  test('#446, #504, #293, #306, endless fixed retries that run away: delays grow, with jitter, and are visible; #143, no retry-now: RetryTransaction works', async () => {
    const { address, mesh } = await openMesh();
    const notebook = new Notebook();
    let broken = true;
    notebook.beforeCommit = () => (broken ? Promise.reject(new Error('the disk is on fire')) : Promise.resolve());
    await serveNotebook(address, notebook);
    const { committed, transactionId } = await mesh.execute({ operations: [put('inventory', 'c', 'k', 'v'), note('notebook')] });
    expect(committed).toBe(true);
    const tries: number[] = [];
    const waiting = await until('the next retry is seconds away', 60_000, async () => {
      const { branches } = await mesh.get(transactionId);
      const branch = branches.find(({ participant }) => participant === 'notebook')!;
      if (tries.at(-1) !== branch.tries) tries.push(branch.tries);
      return (branch.nextTryTime?.getTime() ?? 0) - Date.now() > 3_000 ? branch : undefined;
    });
    // Exponential: what took this long with a fixed delay of 50 ms would have been hundreds of tries.
    expect(waiting.tries).toBeLessThan(25);
    expect(notebook.commitCalls.length).toBeLessThan(25);
    const gaps = notebook.commitCalls.slice(1).map((at, i) => at - notebook.commitCalls[i]!);
    expect(new Set(gaps.map((gap) => Math.round(gap))).size).toBeGreaterThan(1);
    broken = false;
    const startMs = performance.now();
    await mesh.retry(transactionId);
    await until('it is finished', 2_000, async () => (await mesh.get(transactionId)).state === 'COMMITTED');
    console.log(`${notebook.commitCalls.length} tries; after RetryTransaction finished in ${Math.round(performance.now() - startMs)} ms, ${waiting.nextTryTime!.getTime() - Date.now()} ms before its turn`);
    expect(notebook.applied.get(transactionId)).toBe(1);
  });

  test('#354, timeouts in whole seconds only, client deadlines ignored: milliseconds are honoured and passed on; Seata #6478, a rollback two minutes late: locks are free at once', async () => {
    const { address, mesh } = await openMesh();
    await mesh.ready();
    await registerSilence(address);
    for (const timeoutMs of [350, 900]) {
      const startMs = performance.now();
      const error = await mesh
        .execute({ operations: [put('inventory', 'c', 'locked', 'v'), note('silent')], timeoutMs })
        .then((outcome) => (outcome.committed ? undefined : outcome.cause), (failure: unknown) => failure);
      const tookMs = performance.now() - startMs;
      expect(error).toBeInstanceOf(TransactionAborted);
      expect(tookMs).toBeGreaterThan(timeoutMs / 2);
      expect(tookMs).toBeLessThan(timeoutMs + 150);
      // The participant that had prepared hears of it without delay.
      await mesh.keyValue('inventory').collection('c').put('locked', 'free', { timeoutMs: 1_000 });
    }
    const startMs = performance.now();
    const tx = await mesh.begin({ transactionTimeoutMs: 400 });
    await tx.put('inventory', 'c', 'late', 'v');
    await until('the transaction has timed out', 3_000, async () => (await mesh.get(tx.id)).state === 'ABORTED');
    expect(performance.now() - startMs).toBeLessThan(1_500);
    await expect(tx.commit()).rejects.toMatchObject({ reason: 'TRANSACTION_TIMEOUT' });
  });

  test('#299, no TLS to branches: coordinator and participant speak mutual TLS across processes, and strangers are refused', async (context) => {
    const tools = await requireGoTools('etcd');
    if (tools === undefined) return context.skip('etcd is not there and could not be built');
    const certificates = makeCertificates(folder());
    if (certificates === undefined) return context.skip('there is no openssl');
    const etcd = await startEtcd({ etcd: tools.etcd });
    onTestFinished(() => etcd.stop());
    const { ca, cert, key } = certificates;
    const common = ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(','), '--lease', '2s', '--tls-cert', cert, '--tls-key', key, '--tls-ca', ca];
    const [coordinator] = await Promise.all([serve([...common, '--participants', '']), serve([...common, '--coordinator', 'false'])]);
    const credentials = channelCredentials(new CertificateFiles({ certFile: cert, keyFile: key, caFile: ca }));
    const mesh = open({ addresses: [coordinator.address], credentials: grpc.credentials.createSsl(readFileSync(ca), readFileSync(key), readFileSync(cert)) });
    const outcome = await mesh.execute({ operations: transfer('k'), timeoutMs: 15_000 });
    expect(outcome.committed).toBe(true);
    await until('it is finished at both', 10_000, async () => (await unfinished(mesh, coordinator.address, credentials)).length === 0);
    // Asked at the coordinator's process, answered by the participant's.
    expect((await mesh.keyValue('payments').collection('c').get('k'))?.text()).toBe('v');
    for (const stranger of [undefined, channelCredentials(new CertificateFiles({ caFile: ca }))]) {
      const refused = open({ addresses: [coordinator.address], ...(stranger && { credentials: stranger }) });
      await expect(refused.ready({ timeoutMs: 1_000 })).rejects.toThrow();
    }
  });

  test('#479, finished rows are never collected: after the retention the list is empty and the store stays flat', async () => {
    const dataDir = join(folder(), 'data');
    const { address } = await serve(['--data-dir', dataDir, '--retention', '1s']);
    const mesh = open({ addresses: [address] });
    const sizes: number[] = [];
    for (let round = 0; round < 4; round++) {
      const outcomes = await Promise.all(Array.from({ length: 400 }, (_, i) => mesh.execute({ operations: transfer(`key-${i}`) })));
      expect(outcomes.every(({ committed }) => committed)).toBe(true);
      await until('everything is collected', 15_000, async () => (await mesh.list().next()).done);
      sizes.push(statSync(join(dataDir, 'data.mdb')).blocks * 512);
    }
    console.log(`store after each 400 transactions: ${sizes.map((size) => `${Math.round(size / 1024)} KiB`).join(', ')}`);
    expect(sizes[3]).toBeLessThanOrEqual(sizes[1]! * 1.1);
  });

  test('#318, #559, deadlock in the idempotency barrier: fifty copies at once of one transaction have one outcome', async () => {
    const { mesh } = await openMesh();
    for (let round = 0; round < 10; round++) {
      const request = { transactionId: newTransactionId(), operations: [put('inventory', 'c', `${round}`, 'v', { precondition: 'absent' as const }), put('payments', 'c', `${round}`, 'v')] };
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => mesh.execute({ ...request, timeoutMs: 10_000 })));
      expect(outcomes.every(({ committed }) => committed)).toBe(true);
    }
  });
});

describe('Seata', () => {
  test('#7004, phase 2 racing the retry timer: retries during a slow commit apply it once', async () => {
    const { address, mesh } = await openMesh();
    const notebook = new Notebook();
    const go = Promise.withResolvers<void>();
    notebook.beforeCommit = () => go.promise;
    await serveNotebook(address, notebook);
    const { transactionId } = await mesh.execute({ operations: [put('inventory', 'c', 'once', 'v'), note('notebook')] });
    const version = (await mesh.keyValue('inventory').collection('c').get('once'))!.version;
    await until('several retries race with the commit', 30_000, async () => {
      await Promise.all(Array.from({ length: 20 }, () => mesh.retry(transactionId)));
      return (await mesh.get(transactionId)).branches.some(({ participant, tries }) => participant === 'notebook' && tries >= 3);
    });
    go.resolve();
    await until('it is finished', 10_000, async () => (await mesh.get(transactionId)).state === 'COMMITTED');
    expect(notebook.commitCalls).toHaveLength(1);
    expect(notebook.applied.get(transactionId)).toBe(1);
    expect((await mesh.keyValue('inventory').collection('c').get('once'))!.version).toBe(version);
  });

  test("#957, #895, #7096, #7373, a participant's address changing: phase 2 follows it to its new port", async () => {
    const { address, mesh } = await openMesh();
    const notebook = new Notebook();
    notebook.beforeCommit = () => Promise.reject(new Error('not here'));
    const before = await serveNotebook(address, notebook);
    const { transactionId } = await mesh.execute({ operations: [put('inventory', 'c', 'moved', 'v'), note('notebook')] });
    await until('phase 2 has begun', 10_000, () => notebook.commitCalls.length > 0);
    await before.close(0);
    notebook.beforeCommit = () => Promise.resolve();
    const startMs = performance.now();
    const after = await serveNotebook(address, notebook);
    expect(after.address).not.toBe(before.address);
    await until('it is finished at the new address', 20_000, async () => (await mesh.get(transactionId)).state === 'COMMITTED');
    console.log(`finished at the new address after ${Math.round(performance.now() - startMs)} ms`);
    expect(notebook.applied.get(transactionId)).toBe(1);
  });

  test("#957, the same for a key-value participant: it comes back on another port, between decision and phase 2", async (context) => {
    const tools = await requireGoTools('etcd');
    if (tools === undefined) return context.skip('etcd is not there and could not be built');
    const etcd = await startEtcd({ etcd: tools.etcd });
    onTestFinished(() => etcd.stop());
    const common = ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(','), '--lease', '2s'];
    const holding = new URL('../../deploy/local/holding-server.ts', import.meta.url).pathname;
    const [coordinator, participant] = await Promise.all([
      serve([...common, '--participants', ''], { main: holding }),
      serve([...common, '--coordinator', 'false']),
    ]);
    const mesh = open({ addresses: [coordinator.address] });
    const { transactionId, state } = await mesh.execute({ operations: transfer('k'), timeoutMs: 15_000 });
    expect(state).toBe('COMMITTING');
    await participant.kill();
    await coordinator.kill();
    const startMs = performance.now();
    const [again] = await Promise.all([serve([...common, '--participants', '']), serve([...common, '--coordinator', 'false'])]);
    const after = open({ addresses: [again.address] });
    await until('it is finished at the new address', 30_000, async () => (await after.get(transactionId)).state === 'COMMITTED');
    console.log(`finished by a new coordinator at a new participant after ${Math.round(performance.now() - startMs)} ms, both starts included`);
    expect((await after.keyValue('payments').collection('c').get('k'))?.text()).toBe('v');
  });

  test('#7490, #7068, #6935, locks never released: not by clients that cancel, vanish, or abandon a transaction', async () => {
    const { address, mesh } = await openMesh();
    await mesh.ready();
    const keys = Array.from({ length: 30 }, (_, i) => `key-${i}`);
    // Cancelled at once, at every stage that a millisecond can reach.
    await Promise.all(keys.map((key, i) => mesh.execute({ operations: transfer(key), signal: AbortSignal.timeout(i % 6) }).catch(() => undefined)));
    // Connections that break off in the middle.
    for (const key of keys.slice(0, 10)) {
      const other = connect(address);
      await other.ready();
      const executing = other.execute({ operations: transfer(key) }).catch(() => undefined);
      other.close();
      await executing;
    }
    // Interactive transactions that nobody ends.
    const abandoned = connect(address);
    for (const key of keys.slice(10, 20)) {
      const tx = await abandoned.begin({ transactionTimeoutMs: 500 });
      await tx.put('inventory', 'c', key, 'abandoned');
    }
    abandoned.close();
    for (const key of keys) await mesh.transaction(async (tx) => {
      tx.put('inventory', 'c', key, 'free');
      tx.put('payments', 'c', key, 'free');
    }, { timeoutMs: 5_000 });
    await until('nothing is left', 5_000, async () => (await unfinished(mesh, address)).length === 0);
  });
});

describe('grpc-node', () => {
  test('#2785, reconnecting: a client finds a server that was killed and is back on its port', async () => {
    const dataDir = join(folder(), 'data');
    const first = await serve(['--data-dir', dataDir]);
    const mesh = open({ addresses: [first.address] });
    const keys = mesh.keyValue('inventory').collection('c');
    await keys.put('k', 'before');
    await first.kill();
    const reading = keys.get('k', { timeoutMs: 60_000 });
    const startMs = performance.now();
    await serve(['--data-dir', dataDir, '--port', first.address.split(':')[1]!]);
    const upMs = performance.now();
    expect((await reading)?.text()).toBe('before');
    await keys.put('k', randomUUID());
    console.log(`back ${Math.round(performance.now() - upMs)} ms after the server, which took ${Math.round(upMs - startMs)} ms to start`);
    expect(performance.now() - upMs).toBeLessThan(5_000);
  });
});
