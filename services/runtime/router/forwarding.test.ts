import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CoordinatorServiceService as coordinator,
  State,
  TransactionEvent_Type as Type,
  type ExecuteRequest,
  type ExecuteResult,
  type ExecuteStreamResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { Consistency, KeyValueServiceService as keyvalue } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { ParticipantServiceService as participant } from '../../gen/txmesh/participant/v1/participant.ts';
import { partitionOf } from '../../kernel/hash.ts';
import type { Node } from '../../mesh.ts';
import { statusToFailure } from '../errors/status.ts';
import { failureOf, newId, putOp, startMesh, until, type Meshed } from './testing/nodes.ts';

const PARTITIONS = 4;
let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: PARTITIONS }, 2);
  await shared();
});
afterAll(() => mesh.close());

/** Both nodes lead some partitions of every service. */
async function shared(): Promise<void> {
  const { view } = mesh.nodes[0]!;
  const isShared = (): boolean =>
    ['coordinator', 'inventory', 'payments'].every((service) => {
      const leaders = Array.from({ length: PARTITIONS }, (_, i) => view.leader(service, i)?.address);
      return !leaders.includes(undefined) && new Set(leaders).size === 2;
    });
  await new Promise<void>((resolve) => {
    if (isShared()) return resolve();
    const unsubscribe = view.onChange(() => {
      if (!isShared()) return;
      unsubscribe();
      resolve();
    });
  });
}

/** The node that leads a partition, and the other one. */
function nodesOf(service: string, partition: number): { leader: Node; other: Node } {
  const address = mesh.nodes[0]!.view.leader(service, partition)!.address;
  const leader = mesh.nodes.find((node) => node.address === address)!;
  return { leader, other: mesh.nodes.find((node) => node !== leader)! };
}

const execute = (operations: ExecuteRequest['operations'], transactionId = newId()): ExecuteRequest => ({
  transactionId,
  operations,
  timeout: undefined,
  firstTryTime: undefined,
  mode: 0,
});

const settled = [State.COMMITTING, State.COMMITTED];
const get = (name: string, key: string) => ({ participant: name, collection: 'stock', key, consistency: 0 as const, transaction: undefined });

describe('any node can be called', () => {
  test('Execute, Get and GetTransaction are answered wherever they arrive', async () => {
    for (let i = 0; i < 8; i++) {
      const request = execute([putOp('inventory', `f${i}`, '1'), putOp('payments', `f${i}`, '1')]);
      const { other } = nodesOf('coordinator', partitionOf(request.transactionId, PARTITIONS));
      const { transaction } = await mesh.call(coordinator.execute, request, other);
      expect(settled).toContain(transaction!.state);
      for (const node of mesh.nodes) {
        expect((await mesh.call(keyvalue.get, get('inventory', `f${i}`), node)).entry!.absent).toBe(false);
        const { transaction: found } = await mesh.call(coordinator.getTransaction, { transactionId: request.transactionId }, node);
        expect(settled).toContain(found!.state);
      }
    }
  });

  test('an interactive transaction works at both nodes', async () => {
    for (const node of mesh.nodes) {
      const transaction = await mesh.call(coordinator.beginTransaction, { transactionId: '', timeout: undefined, firstTryTime: undefined, mode: 0 }, node);
      for (const key of ['a', 'b', 'c', 'd']) {
        const put = { participant: 'payments', collection: 'stock', key, value: Buffer.from('1'), contentType: '', precondition: undefined, mergePolicy: 0 as const, requestId: '', transaction };
        await mesh.call(keyvalue.put, put, node);
      }
      const other = mesh.nodes.find((candidate) => candidate !== node)!;
      expect(settled).toContain((await mesh.call(coordinator.commitTransaction, transaction, other)).transaction!.state);
    }
  });

  test('a stream through one node reaches all partitions', async () => {
    for (const node of mesh.nodes) {
      const stream = mesh.channels.duplex(node.address, coordinator.executeStream);
      const results: ExecuteResult[] = [];
      const all = new Promise<void>((resolve) => {
        stream.on('data', (response: ExecuteStreamResponse) => {
          results.push(...response.results);
          if (results.length === 301) resolve();
        });
      });
      const calls = Array.from({ length: 300 }, (_, i) => ({
        sequence: i,
        request: execute([putOp('inventory', `g${i}`, '1')], i % 3 === 0 ? '' : newId()),
        traceparent: '',
        remaining: { seconds: 20n, nanos: 0 },
      }));
      stream.write({ calls: [...calls, { sequence: 300, request: execute([]), traceparent: '', remaining: undefined }] });
      await all;
      const states = results.filter(({ sequence }) => sequence < 300).map(({ result }) => (result!.$case === 'response' ? result!.value.transaction!.state : undefined));
      expect(states.every((state) => settled.includes(state as never))).toBe(true);
      const bad = results.find(({ sequence }) => sequence === 300)!.result!;
      expect(bad.$case === 'error' && statusToFailure(bad.value).reason).toBe('INVALID_FIELD');
      stream.end();
    }
  });

  test('listings, scans and batch reads are whole', async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `q${String(i).padStart(2, '0')}`);
    const made = await Promise.all(
      keys.map(async (key) => (await mesh.call(coordinator.execute, execute([putOp('inventory', key, key)]))).transaction!.transactionId),
    );
    for (const node of mesh.nodes) {
      const scanned: string[] = [];
      let pageToken = '';
      do {
        const page = await mesh.call(keyvalue.scan, { participant: 'inventory', collection: 'stock', prefix: 'q', pageSize: 7, pageToken }, node);
        scanned.push(...page.entries.map(({ key }) => key));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      expect(scanned).toEqual(keys);
      const listed: string[] = [];
      do {
        const page = await mesh.call(coordinator.listTransactions, { states: [], pageSize: 9, pageToken }, node);
        listed.push(...page.transactions.map(({ transactionId }) => transactionId));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      expect(listed).toEqual(expect.arrayContaining(made));
      for (const consistency of [Consistency.LINEARIZABLE, Consistency.EVENTUAL, Consistency.SERIALIZABLE]) {
        const names = [...keys, 'missing'].map((key) => ({ collection: 'stock', key }));
        const { entries } = await mesh.call(keyvalue.batchGet, { participant: 'inventory', keys: names, consistency }, node);
        expect(entries.map(({ value }) => Buffer.from(value).toString())).toEqual([...keys, '']);
      }
    }
  });

  test('watches of transactions and of keys see all partitions', async () => {
    const [node] = mesh.nodes as [Node];
    const controller = new AbortController();
    const { signal } = controller;
    const transactions = mesh.channels.stream(node.address, coordinator.watchTransactions, { transactionId: '', positions: [], fromStart: false }, { signal });
    const changes = mesh.channels.stream(node.address, keyvalue.watch, { participant: 'inventory', collection: '', prefix: 'w', revisions: [] }, { signal });
    const partitions = new Set<number>();
    await until(transactions, ({ position }) => partitions.add(position!.partition).size === PARTITIONS);
    partitions.clear();
    await until(changes, ({ revision }) => partitions.add(revision!.partition).size === PARTITIONS);
    const ids = new Set<string>();
    const keys = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const { transaction } = await mesh.call(coordinator.execute, execute([putOp('inventory', `w${i}`, '1')]));
      ids.add(transaction!.transactionId);
      keys.add(`w${i}`);
    }
    await until(transactions, ({ events }) => {
      for (const { type, transaction } of events) if (type === Type.COMMIT) ids.delete(transaction!.transactionId);
      return ids.size === 0;
    });
    await until(changes, ({ events }) => {
      for (const { entry } of events) keys.delete(entry!.key);
      return keys.size === 0;
    });
    controller.abort();
  });

  test('ListPrepared asks every partition', async () => {
    for (const node of mesh.nodes)
      expect(await mesh.call(participant.listPrepared, { participant: 'inventory', pageSize: 0, pageToken: '' }, node)).toEqual({ branches: [], nextPageToken: '' });
  });
});

describe('one hop and no more', () => {
  test('a forwarded request that arrives where the partition is not led is refused with a retry delay', async () => {
    const transactionId = newId();
    const { other } = nodesOf('coordinator', partitionOf(transactionId, PARTITIONS));
    const failure = await failureOf(mesh.call(coordinator.getTransaction, { transactionId }, other, { forwarded: true }));
    expect(failure).toMatchObject({ reason: 'NO_LEADER', retryAfterMs: expect.any(Number) });
  });

  test('so is a forwarded call in a stream', async () => {
    const request = execute([putOp('inventory', 'a', '1')]);
    const { other } = nodesOf('coordinator', partitionOf(request.transactionId, PARTITIONS));
    const stream = mesh.channels.duplex(other.address, coordinator.executeStream, { forwarded: true });
    stream.write({ calls: [{ sequence: 1, request, traceparent: '', remaining: undefined }] });
    const response = await new Promise<ExecuteStreamResponse>((resolve) => stream.once('data', resolve));
    stream.end();
    const { result } = response.results[0]!;
    expect(result!.$case === 'error' && statusToFailure(result!.value)).toMatchObject({ reason: 'NO_LEADER', retryAfterMs: expect.any(Number) });
  });

  test('the caller’s deadline goes along', async () => {
    const request = execute([putOp('inventory', 'a', '1')]);
    const { other } = nodesOf('coordinator', partitionOf(request.transactionId, PARTITIONS));
    const failure = await failureOf(mesh.call(coordinator.execute, request, other, { deadlineMs: Date.now() - 1 }));
    expect(failure.reason).toBe('DEADLINE_EXCEEDED');
  });

  test('refusals keep their reason and their fields on the way', async () => {
    const request = execute([putOp('nobody', 'a', '1')]);
    const { other } = nodesOf('coordinator', partitionOf(request.transactionId, PARTITIONS));
    expect(await failureOf(mesh.call(coordinator.execute, request, other))).toMatchObject({
      reason: 'UNKNOWN_PARTICIPANT',
      violations: [{ field: 'operations[0].participant' }],
    });
  });
});

test('watches and calls go on when a node leaves', async () => {
  const leaving = await mesh.add();
  await leaving.ready();
  const staying = mesh.nodes[0]!;
  const controller = new AbortController();
  const changes = mesh.channels.stream(staying.address, keyvalue.watch, { participant: 'payments', collection: '', prefix: 'z', revisions: [] }, { signal: controller.signal });
  const partitions = new Set<number>();
  await until(changes, ({ revision }) => partitions.add(revision!.partition).size === PARTITIONS);
  const expected = new Set<string>();
  const put = async (key: string): Promise<void> => {
    for (;;) {
      try {
        await mesh.call(keyvalue.put, { participant: 'payments', collection: 'stock', key, value: Buffer.from(key), contentType: '', precondition: undefined, mergePolicy: 0, requestId: newId(), transaction: undefined }, staying);
        expected.add(key);
        return;
      } catch (error) {
        // Every refusal on the way is one that may be repeated.
        expect((error as { failure: { reason: string } }).failure.reason).toMatch(/NO_LEADER|DRAINING|OUTCOME_UNKNOWN/);
      }
    }
  };
  const drained = leaving.drain(5000);
  for (let i = 0; i < 40; i++) await put(`z${i}`);
  await drained;
  for (let i = 40; i < 60; i++) await put(`z${i}`);
  await until(changes, ({ events }) => {
    for (const { entry } of events) expected.delete(entry!.key);
    return expected.size === 0;
  });
  controller.abort();
  mesh.nodes.splice(mesh.nodes.indexOf(leaving), 1);
});
