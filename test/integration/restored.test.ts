/** What a server does with a store that was restored: what it finishes, what it numbers, what it refuses. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { acknowledge, connect, newTransactionId, PositionCompacted, put, type Mesh } from 'txmesh/client';
import { BackupFile } from '../../services/backup/read.ts';
import { restoreInto } from '../../services/backup/restore.ts';
import { snapshotOf } from '../../services/backup/testing/store-snapshot.ts';
import { writeBackup } from '../../services/backup/write.ts';
import { startNode, type Node, type NodeSettings } from '../../services/mesh.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { MemoryStore } from '../../services/runtime/store/memory.ts';
import type { Store } from '../../services/runtime/store/store.ts';
import { AT_MS, IDS } from '../fixtures/story.ts';
import { folder } from './support/processes.ts';
import { until } from './support/until.ts';

const BOUND_MS = 20_000;

/** The store's records in another store, by way of a backup. Nobody may write meanwhile. */
async function throughBackup(store: Store, into: Store = new MemoryStore(systemClock)): Promise<{ store: Store; numbersAbove: number }> {
  const path = join(folder(), 'backup');
  await writeBackup(snapshotOf(store), path, Date.now());
  const file = await BackupFile.open(path);
  try {
    const { numbersAbove } = await restoreInto(into, file, await file.verify(), systemClock);
    return { store: into, numbersAbove };
  } finally {
    await file.close();
  }
}

async function serveFrom(store: Store, more: Partial<NodeSettings> = {}, clock = systemClock): Promise<{ mesh: Mesh; node: Node }> {
  const participants = ['inventory', 'payments'];
  const settings = { host: '127.0.0.1', port: 0, coordinator: true, participants, queues: ['queue'], counters: ['counter'], defaultPartitions: 1, ...more };
  const node = await startNode(settings, { store, clock, closesStore: false, log: () => {} });
  onTestFinished(() => node.drain(0));
  const mesh = connect(node.address);
  onTestFinished(() => mesh.close());
  await node.ready();
  return { mesh, node };
}

/** The first thing that a watch tells; its error. */
const firstOf = async (watch: AsyncIterable<unknown>): Promise<unknown> => {
  for await (const each of watch) return each;
  return undefined;
};

describe('transactions that were under way when the backup was made', () => {
  test('are finished: what was promised is kept, what nobody decided is aborted, what was forced is told', async () => {
    const source = new MemoryStore(systemClock);
    const lines = readFileSync(new URL('../fixtures/records/unreleased.txt', import.meta.url), 'utf8').trimEnd().split('\n');
    for (const line of lines) {
      const space = line.lastIndexOf(' ');
      const key = JSON.parse(line.slice(0, space)) as string;
      if (!key.startsWith('live/')) await source.write({ puts: [{ key, value: Buffer.from(line.slice(space + 1), 'hex') }] });
    }
    const aheadMs = AT_MS - Date.now();
    const clock = { ...systemClock, nowMs: () => Date.now() + aheadMs };
    const { store, numbersAbove } = await throughBackup(source, new MemoryStore(clock));
    const { mesh, node } = await serveFrom(store, { queues: [], counters: [], historyLimit: 2 }, clock);
    expect(node.view.clusterId).toBe(IDS.cluster);
    for (const service of ['coordinator', 'inventory', 'payments']) expect(node.view.leader(service, 0)!.epoch).toBeGreaterThan(numbersAbove);
    expect(await mesh.get(IDS.committed)).toMatchObject({ state: 'COMMITTED', mixed: false });
    const shelf = mesh.keyValue('inventory').collection('shelf');
    for (const name of ['open', 'untold']) expect((await shelf.get(name))!.json()).toEqual({ of: name });
    for (const name of ['undecided', 'forgotten', 'aborted']) expect(await shelf.get(name), name).toBeUndefined();
    const finished = (id: string) =>
      until(`${id} is finished`, BOUND_MS, async () => {
        const found = await mesh.get(id);
        return found.state === 'COMMITTED' && found;
      });
    expect(await finished(IDS.untold)).toMatchObject({ mixed: false });
    expect(await finished(IDS.open)).toMatchObject({ mixed: true, branches: [{ participant: 'inventory' }, { participant: 'payments', heuristic: 'ABORT' }] });
    await expect(mesh.get(IDS.undecided)).rejects.toMatchObject({ reason: 'TRANSACTION_NOT_FOUND' });
    // What it kept of the past goes on above: versions, and the keys whose earlier versions are kept.
    expect((await shelf.versions('teapot')).map((entry) => entry?.json())).toEqual([{ left: 8 }, undefined, { left: 9 }]);
    expect(await shelf.put('plain', 'newer', { precondition: { version: 2 }, requestId: newTransactionId(AT_MS) })).toBeGreaterThan(numbersAbove);
    await shelf.delete('plain', { requestId: newTransactionId(AT_MS) });
    expect((await shelf.versions('plain'))[0]).toBeUndefined();
  });
});

describe('what was given out after the backup is never given out again', () => {
  test('versions of keys: what was read then never fits, and an absent key is absent under another version', async () => {
    const source = new MemoryStore(systemClock);
    const before = await serveFrom(source);
    const shelf = before.mesh.keyValue('inventory').collection('shelf');
    await shelf.put('a', '1');
    const { store, numbersAbove } = await throughBackup(source);
    const lost = [await shelf.put('a', 'lost'), await shelf.put('b', 'lost')];
    const after = await serveFrom(store);
    const restored = after.mesh.keyValue('inventory').collection('shelf');
    expect((await restored.get('a'))!.text()).toBe('1');
    expect(await restored.get('b')).toBeUndefined();
    for (let i = 0; i < 5; i++) {
      expect(await restored.put('a', `${i}`)).toBeGreaterThan(numbersAbove);
      await expect(restored.put('a', 'x', { precondition: { version: lost[0]! } })).rejects.toMatchObject({ reason: 'PRECONDITION_FAILED' });
    }
    // Restored once more from the same store it is above again, and has forgotten nothing.
    const again = await throughBackup(store);
    expect(again.numbersAbove).toBeGreaterThan(numbersAbove);
    const twice = await serveFrom(again.store);
    const collection = twice.mesh.keyValue('inventory').collection('shelf');
    expect((await collection.get('a'))!.text()).toBe('4');
    expect(await collection.put('a', 'again')).toBeGreaterThan(again.numbersAbove);
  });

  test('positions of watches: those of before are refused, and those of now are served, also by the next term', async () => {
    const source = new MemoryStore(systemClock);
    const before = await serveFrom(source);
    const shelf = before.mesh.keyValue('inventory').collection('shelf');
    /** Finished at both: what is under way at the backup is applied, and so numbered, after the restore. */
    const twoPlaces = async (): Promise<void> => {
      const { transactionId } = await before.mesh.execute({ operations: [put('inventory', 'shelf', 'x', '1'), put('payments', 'shelf', 'x', '1')] });
      await until('it is applied', BOUND_MS, async () => (await before.mesh.get(transactionId)).state === 'COMMITTED');
    };
    await shelf.put('a', '1');
    await twoPlaces();
    const { store, numbersAbove } = await throughBackup(source);
    const lost = await shelf.put('a', 'lost');
    await twoPlaces();
    let { mesh, node } = await serveFrom(store);
    for (const revision of [0, 1, lost]) {
      const watch = firstOf(mesh.keyValue('inventory').collection('shelf').watch({ after: new Map([[0, revision]]) }));
      await expect(watch, `revision ${revision}`).rejects.toBeInstanceOf(PositionCompacted);
    }
    for (const sequence of [0, 1, 2]) {
      const watch = firstOf(mesh.watchTransactions({ after: [{ partition: 0, sequence }] }));
      await expect(watch, `sequence ${sequence}`).rejects.toBeInstanceOf(PositionCompacted);
    }
    const version = await mesh.keyValue('inventory').collection('shelf').put('a', 'new');
    const outcome = await mesh.execute({ operations: [put('inventory', 'shelf', 'y', '1'), put('payments', 'shelf', 'y', '1')] });
    for (let term = 0; term < 2; term++) {
      const change = await firstOf(mesh.keyValue('inventory').collection('shelf').watch({ after: new Map([[0, numbersAbove]]) }));
      expect(change).toMatchObject({ key: 'a', version });
      const event = await firstOf(mesh.watchTransactions({ fromStart: true }));
      expect(event).toMatchObject({ type: 'COMMIT', transaction: { transactionId: outcome.transactionId }, position: { partition: 0, sequence: numbersAbove + 1 } });
      await node.drain(0);
      ({ mesh, node } = await serveFrom(store));
    }
  });

  test('deliveries: acknowledging one of before touches no message of now', async () => {
    const source = new MemoryStore(systemClock);
    const before = await serveFrom(source);
    await before.mesh.queue().topics.create('work');
    await before.mesh.queue().subscriptions.create('workers', 'work', { exactlyOnce: true, ackDeadlineMs: 600_000 });
    const kept = await before.mesh.queue().publish('work', 'kept');
    const { store } = await throughBackup(source);
    const lost = await before.mesh.queue().publish('work', 'lost');
    const [, stale] = await before.mesh.queue().pull('workers', { maxMessages: 2 });
    expect(stale!.text()).toBe('lost');
    const { mesh } = await serveFrom(store);
    const anew = await mesh.queue().publish('work', 'of now');
    expect(new Set([kept, lost, anew]).size).toBe(3);
    const delivered = await mesh.queue().pull('workers', { maxMessages: 2 });
    expect(delivered.map((message) => message.text())).toEqual(['kept', 'of now']);
    expect(delivered.map(({ ackId }) => ackId)).not.toContain(stale!.ackId);
    const operations = [put('inventory', 'shelf', 'done', '1')];
    const late = await mesh.execute({ operations: [...operations, acknowledge({ participant: 'queue', subscription: 'workers', ackId: stale!.ackId })] });
    expect(late.committed).toBe(false);
    expect((await mesh.queue().subscriptions.statistics('workers')).backlogMessages).toBe(2);
    await Promise.all(delivered.map((message) => message.ack()));
    expect((await mesh.queue().subscriptions.statistics('workers')).backlogMessages).toBe(0);
  });

  test('shares of replicated counters: what others had heard of counts, and so does all that is added now', async () => {
    const [source, elsewhere] = [new MemoryStore(systemClock), new MemoryStore(systemClock)];
    const other = await serveFrom(elsewhere);
    const before = await serveFrom(source, { counterPeers: [other.node.address] });
    for (const { mesh } of [other, before]) await mesh.counter('likes').create({ kind: 'REPLICATED' });
    const comes = (of: Mesh, value: bigint) =>
      until(`${value} likes`, BOUND_MS, async () => (await of.counter('likes').get()).value === value, async () => (await of.counter('likes').get()).value);
    await before.mesh.counter('likes').add(10);
    const { store } = await throughBackup(source);
    await before.mesh.counter('likes').add(5);
    await comes(other.mesh, 15n);
    await before.node.drain(0);
    const restored = await serveFrom(store, { counterPeers: [other.node.address] });
    expect((await restored.mesh.counter('likes').get()).value).toBe(10n);
    await restored.mesh.counter('likes').add(3);
    await comes(other.mesh, 18n);
    await other.node.drain(0);
    await serveFrom(elsewhere, { counterPeers: [restored.node.address] });
    await comes(restored.mesh, 18n);
  });
});
