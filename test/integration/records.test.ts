/**
 * What released versions have stored is read for ever: servers are started on stores that each of them
 * left behind (test/fixtures), and finish what was under way.
 */

import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connect, newTransactionId, type Mesh } from 'txmesh/client';
import { decodeRecord as decodeCoordinator, encodeRecord as encodeCoordinator } from '../../services/coordinator/codec.ts';
import { decodeRecord as decodeParticipant, encodeRecord as encodeParticipant } from '../../services/participant/codec.ts';
import { clusterCodec, externalCodec, leaderCodec, memberCodec, serviceCodec } from '../../services/runtime/cluster/codec.ts';
import { startNode, type Node } from '../../services/mesh.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { StoreUnusable } from '../../services/runtime/store/errors.ts';
import { MemoryStore } from '../../services/runtime/store/memory.ts';
import { AT_MS, IDS } from '../fixtures/story.ts';
import { until } from './support/until.ts';

const FOLDER = new URL('../fixtures/records/', import.meta.url);
const FINISHED_WITHIN_MS = 20_000;

type Records = ReadonlyMap<string, Uint8Array>;

const stores: [version: string, records: Records][] = globSync('*.txt', { cwd: FOLDER }).map((file) => {
  const lines = readFileSync(new URL(file, FOLDER), 'utf8').trimEnd().split('\n');
  const entries = lines.map((line) => {
    const space = line.lastIndexOf(' ');
    return [JSON.parse(line.slice(0, space)) as string, new Uint8Array(Buffer.from(line.slice(space + 1), 'hex'))] as const;
  });
  return [basename(file, '.txt'), new Map(entries)];
});

/** Which codec reads a key's record. */
function codecOf(key: string): { decode(bytes: Uint8Array): unknown; encode?(record: never): Uint8Array } {
  const { 1: data } = /^data\/([^/]+)\/\d{4}\//.exec(key) ?? [];
  if (data === 'coordinator') return { decode: (bytes) => decodeCoordinator(key, bytes), encode: encodeCoordinator };
  if (data !== undefined) return { decode: (bytes) => decodeParticipant(key, bytes), encode: encodeParticipant };
  if (key === 'cluster') return clusterCodec;
  if (key.startsWith('service/')) return serviceCodec;
  if (key.startsWith('live/member/')) return memberCodec;
  if (key.startsWith('live/leader/')) return leaderCodec;
  if (key.startsWith('live/external/')) return externalCodec;
  throw new Error(`no codec for ${key}`);
}

/** A server on the store, at the time at which it was left; leased keys have gone with their holders. */
async function start(records: Records): Promise<{ mesh: Mesh; node: Node; logged: string[] }> {
  const aheadMs = AT_MS - Date.now();
  const clock = { ...systemClock, nowMs: () => Date.now() + aheadMs };
  const store = new MemoryStore(clock);
  for (const [key, value] of records) if (!key.startsWith('live/')) await store.write({ puts: [{ key, value }] });
  const logged: string[] = [];
  const settings = { host: '127.0.0.1', port: 0, coordinator: true, participants: ['inventory', 'payments'], historyLimit: 2 };
  const node = await startNode(settings, { store, clock, log: (message, fields) => void logged.push(`${message} ${JSON.stringify(fields)}`) });
  onTestFinished(() => node.drain(0));
  const mesh = connect(node.address);
  onTestFinished(() => mesh.close());
  return { mesh, node, logged };
}

test('the store of every released version is here', () => {
  expect(stores.map(([version]) => version)).toContain('0.1.0');
});

describe.each(stores)('the store that %s left behind', (_, records) => {
  test('is decoded, and says the same when it is encoded again', () => {
    for (const [key, bytes] of records) {
      const { decode, encode } = codecOf(key);
      const record = decode(bytes);
      if (encode !== undefined) expect(decode(encode(record as never)), key).toEqual(record);
    }
    expect(clusterCodec.decode(records.get('cluster')!).clusterId).toBe(IDS.cluster);
    expect(memberCodec.decode(records.get('live/member/host-1')!)).toMatchObject({ address: '10.0.0.1:50051' });
    expect(externalCodec.decode(records.get('live/external/loyalty')!).registrationId).toBe(IDS.registration);
  });

  test('is served: outcomes, versions, history and changes are what they were', async () => {
    const { mesh, node } = await start(records);
    await node.ready();
    expect(node.view.clusterId).toBe(IDS.cluster);
    expect(await mesh.get(IDS.committed)).toMatchObject({ state: 'COMMITTED', mixed: false });
    expect(await mesh.get(IDS.late)).toMatchObject({ state: 'COMMITTED' });
    expect(await mesh.get(IDS.unborn)).toMatchObject({ state: 'ABORTED', cause: { reason: 'ABORTED_BY_REQUEST' } });
    expect(await mesh.get(IDS.aborted)).toMatchObject({ state: 'ABORTED', cause: { reason: 'PRECONDITION_FAILED', metadata: { key: 'teapot' } } });
    expect(await mesh.get(IDS.mixed)).toMatchObject({ state: 'COMMITTED', mixed: true, branches: [{ participant: 'inventory' }, { participant: 'payments', heuristic: 'ABORT' }] });

    const shelf = mesh.keyValue('inventory').collection('shelf');
    expect((await shelf.get('plain'))!.text()).toBe('plain');
    expect(await shelf.get('gone')).toBeUndefined();
    expect(await shelf.get('teapot')).toMatchObject({ version: 5 });
    expect((await shelf.versions('teapot')).map((entry) => entry?.json())).toEqual([{ left: 8 }, undefined, { left: 9 }]);
    const changes: string[] = [];
    for await (const { key, version } of shelf.watch({ after: new Map([[0, 0]]) })) if (changes.push(`${key} ${version}`) >= 5) break;
    expect(changes).toEqual(['teapot 1', 'plain 2', 'gone 3', 'teapot 4', 'teapot 5']);
    // Versions go on above those of the past (K1).
    const requestId = newTransactionId(AT_MS);
    expect(await shelf.put('plain', 'newer', { precondition: { version: 2 }, requestId })).toBeGreaterThan(5);
  });

  test('is finished: what was promised is kept, what nobody decided is aborted, what was forced is told', async () => {
    const { mesh, node } = await start(records);
    await node.ready();
    const shelf = mesh.keyValue('inventory').collection('shelf');
    expect((await shelf.get('open'))!.json()).toEqual({ of: 'open' });
    expect((await shelf.get('untold'))!.json()).toEqual({ of: 'untold' });
    expect(await shelf.get('undecided')).toBeUndefined();
    expect(await shelf.get('forgotten')).toBeUndefined();
    expect(await shelf.get('aborted')).toBeUndefined();
    expect(await shelf.get('teapot')).toMatchObject({ version: 5 });
    const finished = (id: string) =>
      until(`${id} is finished`, FINISHED_WITHIN_MS, async () => {
        const found = await mesh.get(id);
        return found.state === 'COMMITTED' ? found : undefined;
      });
    expect(await finished(IDS.untold)).toMatchObject({ mixed: false });
    expect(await finished(IDS.open)).toMatchObject({ mixed: true, branches: [{ participant: 'inventory' }, { participant: 'payments', heuristic: 'ABORT' }] });
    await expect(mesh.get(IDS.undecided)).rejects.toMatchObject({ reason: 'TRANSACTION_NOT_FOUND' });
  });
});

describe('a record of a format from the future', () => {
  const [, records] = stores.find(([version]) => version === '0.1.0')!;
  const future = (key: string): Records => {
    // Field 1 is the format, in every record.
    const bytes = Uint8Array.from(records.get(key)!);
    expect([...bytes.slice(0, 2)]).toEqual([8, 1]);
    bytes[1] = 99;
    return new Map([...records, [key, bytes]]);
  };

  test.each([['cluster', 2], ['service/inventory', 1]])('is refused when a server starts: %s', async (key, newest) => {
    // One of the errors that the server tells in a line.
    await expect(start(future(key))).rejects.toBeInstanceOf(StoreUnusable);
    await expect(start(future(key))).rejects.toThrow(`has format 99, this version reads ${newest}: run a newer version`);
  });

  test.each(['data/coordinator/0000/progress', 'data/inventory/0000/progress'])('is never led over, and the log says why: %s', async (key) => {
    const { logged, node } = await start(future(key));
    const [, service] = key.split('/');
    await until(`the log speaks of ${key}`, FINISHED_WITHIN_MS, () => logged.some((line) => line.includes('has format 99') && line.includes('run a newer version')), () => logged.join('\n'));
    expect(node.view.leader(service!, 0)).toBeUndefined();
    const { entries } = await node.store.scan({ from: key, to: `${key}\0` }, { limit: 1 });
    expect(entries[0]!.value).toEqual(future(key).get(key));
  });
});
