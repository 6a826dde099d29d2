/**
 * Backups of servers under load, by the commands that an operator types, and what is restored from them: every
 * record as it was at the moment of the backup, and whole transactions only.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connect, type Mesh } from 'txmesh/client';
import { startEtcd, type EtcdCluster, type EtcdOptions } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import type { ServerProcess } from '../../deploy/local/server-process.ts';
import { BackupFile } from '../../services/backup/read.ts';
import { snapshotOf } from '../../services/backup/testing/store-snapshot.ts';
import { writeBackup } from '../../services/backup/write.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { joinCluster } from '../../services/runtime/cluster/identity.ts';
import { openLmdbSnapshot } from '../../services/runtime/store/lmdb-snapshot.ts';
import { MemoryStore } from '../../services/runtime/store/memory.ts';
import { unfinished } from './support/in-doubt.ts';
import { Orders, ordersOf } from './support/orders.ts';
import { folder, runToEnd, serve } from './support/processes.ts';
import { recordsInBackup, recordsInEtcd, recordsInFolder } from './support/records.ts';
import { until } from './support/until.ts';

const MAIN = fileURLToPath(new URL('../../services/main.ts', import.meta.url));
const NO_ETCD = 'etcd is not there and could not be built';
const WORKERS = 8;
const BACKUPS = 2;
const BETWEEN = 100;
const BOUND_MS = 60_000;

/** @returns its last words. */
async function txmesh(...args: string[]): Promise<string> {
  const { code, said } = await runToEnd(args, {}, BOUND_MS);
  expect([code, said]).toEqual([0, [expect.stringMatching(/^txmesh: /)]]);
  return said[0]!;
}

function clientOf(...servers: ServerProcess[]): Mesh {
  const mesh = connect({ addresses: servers.map(({ address }) => address), timeoutMs: BOUND_MS });
  onTestFinished(() => mesh.close());
  return mesh;
}

async function etcdOf(options: Omit<EtcdOptions, 'members'> & { readonly members?: number }): Promise<EtcdCluster> {
  const etcd = await startEtcd(options);
  onTestFinished(() => etcd.stop());
  return etcd;
}

const on = (etcd: EtcdCluster): string[] => ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(','), '--lease', '2s'];
const at = (etcd: EtcdCluster): string[] => on(etcd).slice(0, 4);

/** When it was begun and ended; between the two lies the moment that it shows. */
interface Taken {
  readonly path: string;
  readonly begunMs: number;
  readonly endedMs: number;
}

async function backUp(orders: Orders, store: readonly string[]): Promise<Taken> {
  const path = join(folder(), 'backup');
  const placed = orders.placed.size;
  const begunMs = Date.now();
  await txmesh('backup', ...store, '--output', path);
  expect(orders.placed.size).toBeGreaterThan(placed);
  return { path, begunMs, endedMs: Date.now() };
}

/** Serves what was restored: what was in doubt is settled, every order is whole, and those of before are there. */
async function checkRestored(args: readonly string[], orders: Orders, { begunMs, endedMs }: Taken): Promise<Set<string>> {
  const server = await serve(args);
  const mesh = clientOf(server);
  let left: string[] = [];
  await until('everything is finished', BOUND_MS, async () => (left = await unfinished(mesh, server.address, undefined, ['queue', 'counter'])).length === 0, () => left);
  const violations: string[] = [];
  const found = await ordersOf(mesh, violations);
  for (const [id, atMs] of orders.placed) if (atMs < begunMs && !found.has(id)) violations.push(`the order ${id} was placed before the backup, and is lost`);
  for (const id of found) if (!(orders.begun.get(id)! <= endedMs)) violations.push(`the order ${id} was begun after the backup`);
  expect(violations).toEqual([]);
  // And it goes on.
  const more = new Orders(mesh);
  more.run(1);
  await more.goOn(5);
  await more.stop();
  mesh.close();
  await server.stop();
  return found;
}

describe('a backup of the embedded store', () => {
  test('shows one moment of a server under load, and is restored into a new folder, or into etcd', async () => {
    const tools = await requireGoTools('etcd', 'etcdctl');
    const dataDir = join(folder(), 'data');
    const server = await serve(['--data-dir', dataDir]);
    const orders = new Orders(clientOf(server));
    await orders.open();
    orders.run(WORKERS);
    const taken: Taken[] = [];
    for (let i = 0; i < BACKUPS; i++) {
      await orders.goOn(BETWEEN);
      taken.push(await backUp(orders, ['--data-dir', dataDir]));
    }
    await orders.stop();
    expect(orders.violations).toEqual([]);
    const sizes: number[] = [];
    for (const [i, each] of taken.entries()) {
      const records = await recordsInBackup(each.path);
      if (i % 2 === 0 || tools === undefined) {
        const target = join(folder(), 'data');
        expect(await txmesh('restore', '--input', each.path, '--data-dir', target)).toMatch(/ records restored to /);
        expect(await recordsInFolder(target)).toEqual(records);
        sizes.push((await checkRestored(['--data-dir', target], orders, each)).size);
      } else {
        const etcd = await etcdOf(tools);
        expect(await txmesh('restore', '--input', each.path, ...at(etcd))).toMatch(/ records restored to etcd at /);
        expect(await recordsInEtcd(tools.etcdctl, etcd.endpoints[0]!, 'txmesh/')).toEqual(records);
        sizes.push((await checkRestored(on(etcd), orders, each)).size);
      }
    }
    console.log(`backups of ${sizes.join(', ')} orders, of ${orders.placed.size} in the end`);
    // At rest, record by record.
    await server.stop();
    const path = join(folder(), 'backup');
    await txmesh('backup', '--data-dir', dataDir, '--output', path);
    const target = join(folder(), 'data');
    await txmesh('restore', '--input', path, '--data-dir', target);
    expect(await recordsInFolder(target)).toEqual(await recordsInFolder(dataDir));
  });

  test('is not disturbed by a server that starts meanwhile', async () => {
    const dataDir = join(folder(), 'data');
    const server = await serve(['--data-dir', dataDir]);
    const orders = new Orders(clientOf(server));
    await orders.open();
    orders.run(WORKERS);
    await orders.goOn(BETWEEN);
    await orders.stop();
    await server.stop();
    const before = await recordsInFolder(dataDir);
    const snapshot = openLmdbSnapshot(dataDir);
    const again = await serve(['--data-dir', dataDir]);
    const more = new Orders(clientOf(again));
    more.run(WORKERS);
    await more.goOn(5 * BETWEEN);
    await more.stop();
    const path = join(folder(), 'backup');
    await writeBackup(snapshot, path, Date.now());
    await snapshot.close();
    expect(await recordsInBackup(path)).toEqual(before);
    await again.stop();
    expect(await recordsInFolder(dataDir)).not.toEqual(before);
  });
});

describe('a backup of etcd', () => {
  test('shows the revision that it names, of servers under load, and is restored into a new etcd', async (context) => {
    const tools = await requireGoTools('etcd', 'etcdctl');
    if (tools === undefined) return context.skip(NO_ETCD);
    const etcd = await etcdOf({ ...tools, members: 3 });
    const servers = [await serve(on(etcd)), await serve(on(etcd))];
    const orders = new Orders(clientOf(...servers));
    await orders.open();
    orders.run(WORKERS);
    await orders.goOn(BETWEEN);
    const taken = await backUp(orders, at(etcd));
    const file = await BackupFile.open(taken.path);
    const { header } = await file.verify();
    await file.close();
    const records = await recordsInBackup(taken.path);
    expect(records).toEqual(await recordsInEtcd(tools.etcdctl, etcd.endpoints[0]!, 'txmesh/', header.revision));
    await orders.stop();
    expect(await recordsInEtcd(tools.etcdctl, etcd.endpoints[0]!, 'txmesh/')).not.toEqual(records);

    const anew = await etcdOf({ ...tools, members: 1 });
    await txmesh('restore', ...at(anew), '--etcd-prefix', 'copy/', '--input', taken.path);
    expect(await recordsInEtcd(tools.etcdctl, anew.endpoints[0]!, 'copy/')).toEqual(records);
    const refused = await runToEnd(['restore', ...at(anew), '--etcd-prefix', 'copy/', '--input', taken.path]);
    expect([refused.code, refused.said]).toEqual([1, [expect.stringMatching(/holds cluster .*: restore into an empty store/)]]);
    await checkRestored([...on(anew), '--etcd-prefix', 'copy/'], orders, taken);
    expect(orders.violations).toEqual([]);
  });

  test('by etcd\'s own snapshot is served once its epochs are raised', async (context) => {
    const tools = await requireGoTools('etcd', 'etcdctl', 'etcdutl');
    if (tools === undefined) return context.skip(NO_ETCD);
    const etcd = await etcdOf({ ...tools, members: 1 });
    const server = await serve(on(etcd));
    const orders = new Orders(clientOf(server));
    await orders.open();
    orders.run(WORKERS);
    await orders.goOn(BETWEEN);
    const snapshot = join(folder(), 'snapshot.db');
    const begunMs = Date.now();
    await etcd.etcdctl('snapshot', 'save', snapshot);
    const taken: Taken = { path: snapshot, begunMs, endedMs: Date.now() };
    await orders.goOn(BETWEEN);
    await orders.stop();
    const lost = await etcd.etcdctl('get', 'txmesh/cluster', '-w', 'json');
    await server.stop();
    await etcd.stop();
    // As the documentation has it: every member from the same snapshot, then the epochs, then the servers.
    const anew = await etcdOf({ ...tools, members: 3, restore: { snapshot, etcdutl: tools.etcdutl } });
    const { code, said } = await runToEnd(['raise-epochs', ...at(anew)], {}, 2 * BOUND_MS);
    expect([code, said.at(-1)]).toEqual([0, expect.stringMatching(/what cluster .* numbers is above \d{16} from now on: servers may start/)]);
    await checkRestored(on(anew), orders, taken);
    const [, numbersAbove] = /above (\d+)/.exec(said.at(-1)!)!;
    expect(Number(numbersAbove)).toBeGreaterThan((JSON.parse(lost) as { header: { revision: number } }).header.revision);
    expect(orders.violations).toEqual([]);
  });
});

describe('a restore that is killed', () => {
  const RECORDS = 20_000;

  /** A backup that takes a while to restore. */
  async function largeBackup(): Promise<string> {
    const store = new MemoryStore(systemClock);
    await joinCluster(store, '0190a0a0-0000-7000-8000-000000000001', Date.now());
    for (let i = 0; i < RECORDS; i += 100) {
      const puts = Array.from({ length: 100 }, (_, j) => ({ key: `data/inventory/0000/key/k/${String(i + j).padStart(6, '0')}`, value: Buffer.alloc(1000, i) }));
      await store.write({ puts });
    }
    const path = join(folder(), 'backup');
    await writeBackup(snapshotOf(store), path, Date.now());
    return path;
  }

  /** Kills the command when the condition holds. */
  async function killedWhen(condition: () => boolean | Promise<boolean>, ...args: string[]): Promise<void> {
    const child = spawn(process.execPath, ['--conditions=txmesh-source', MAIN, ...args], { stdio: 'ignore' });
    const exited = once(child, 'exit');
    try {
      await until('the restore is in its midst', BOUND_MS, condition);
    } finally {
      child.kill('SIGKILL');
    }
    expect(await exited).toEqual([null, 'SIGKILL']);
  }

  test('in its midst into a data folder leaves nothing that a server takes for data, and is run again', async () => {
    const path = await largeBackup();
    const dataDir = join(folder(), 'data');
    const aside = join(dataDir, 'restoring', 'data.mdb');
    await killedWhen(() => existsSync(aside) && statSync(aside).size > 2 ** 20, 'restore', '--input', path, '--data-dir', dataDir);
    expect(existsSync(join(dataDir, 'data.mdb'))).toBe(false);
    const refused = await runToEnd(['--data-dir', dataDir, '--port', '0']);
    expect([refused.code, refused.said]).toEqual([1, [expect.stringMatching(/a restore into data folder .* was cut off \(setting --data-dir\): run txmesh restore again/)]]);
    await txmesh('restore', '--input', path, '--data-dir', dataDir);
    expect(await recordsInFolder(dataDir)).toEqual(await recordsInBackup(path));
    await (await serve(['--data-dir', dataDir])).stop();
  });

  test('in its midst into etcd leaves nothing that a server takes for data, and is run again', async (context) => {
    const tools = await requireGoTools('etcd', 'etcdctl');
    if (tools === undefined) return context.skip(NO_ETCD);
    const path = await largeBackup();
    const etcd = await etcdOf({ ...tools });
    const written = async (): Promise<boolean> => /"Count" : \d{4,}/.test(await etcd.etcdctl('get', 'txmesh/data/', '--prefix', '--count-only', '-w', 'fields'));
    await killedWhen(written, 'restore', '--input', path, ...at(etcd));
    const refused = await runToEnd([...on(etcd), '--port', '0']);
    expect([refused.code, refused.said]).toEqual([1, [expect.stringMatching(/a restore into etcd at .* is under way or was cut off: .* run txmesh restore again/)]]);
    const early = await runToEnd(['restore', '--input', path, ...at(etcd)]);
    expect([early.code, early.said]).toEqual([1, [expect.stringMatching(/another restore into etcd at .* is under way, or ended a moment ago: try again in 60 s/)]]);
    // The claim of the one that was killed ends with its lease.
    await etcd.etcdctl('del', 'txmesh/live/restore');
    await txmesh('restore', '--input', path, ...at(etcd));
    expect(await recordsInEtcd(tools.etcdctl, etcd.endpoints[0]!, 'txmesh/')).toEqual(await recordsInBackup(path));
    await (await serve(on(etcd))).stop();
  });
});
