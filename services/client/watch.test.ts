import type * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { FakeMesh, transactionOf, unary } from '../../test/support/fake-mesh.ts';
import { State, type ListTransactionsRequest, type WatchTransactionsRequest } from '../gen/txmesh/coordinator/v1/coordinator.ts';
import type { ScanRequest, WatchRequest } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { failureToServiceError } from '../runtime/errors/status.ts';
import { Cancelled, PositionCompacted } from './errors.ts';
import { newTransactionId } from './ids.ts';
import { Mesh } from './mesh.ts';
import { TestEnvironment } from './testing/test-environment.ts';

let fake: FakeMesh;
let mesh: Mesh;

const start = async (overrides: { [name: string]: grpc.UntypedHandleCall }) => {
  fake = await FakeMesh.start(overrides);
  mesh = new Mesh({ addresses: [fake.address] }, new TestEnvironment());
  return mesh;
};
afterEach(() => {
  mesh.close();
  fake.stop();
});

async function take<Item>(items: AsyncIterable<Item>, count: number): Promise<Item[]> {
  const taken: Item[] = [];
  for await (const item of items) if (taken.push(item) === count) break;
  return taken;
}

const committed = (id: string) => ({ type: 3, transaction: transactionOf(id, State.COMMITTED), branch: undefined, time: { seconds: 1_700_000_000n, nanos: 0 } });
type Stream = grpc.ServerWritableStream<WatchTransactionsRequest, unknown>;

describe('a watch of transactions', () => {
  test('goes on after the last position when its stream is lost', async () => {
    const ids = [newTransactionId(), newTransactionId(), newTransactionId()];
    const asked: WatchTransactionsRequest[] = [];
    await start({
      watchTransactions: (stream: Stream) => {
        asked.push(stream.request);
        if (asked.length === 1) {
          stream.write({ events: [committed(ids[0]!)], position: { partition: 0, sequence: 7 } });
          stream.write({ events: [committed(ids[1]!)], position: { partition: 2, sequence: 3 } });
          stream.emit('error', { code: 14, details: 'going away' });
        } else stream.write({ events: [committed(ids[2]!)], position: { partition: 0, sequence: 8 } });
      },
    } as never);
    const events = await take(mesh.watchTransactions({ fromStart: true }), 3);
    expect(events.map(({ transaction }) => transaction.transactionId)).toEqual(ids);
    expect(events[0]).toMatchObject({ type: 'COMMIT', transaction: { state: 'COMMITTED' }, position: { partition: 0, sequence: 7 }, time: new Date(1_700_000_000_000) });
    expect(asked).toMatchObject([
      { fromStart: true, positions: [] },
      { fromStart: true, positions: [{ partition: 0, sequence: 7 }, { partition: 2, sequence: 3 }] },
    ]);
  });

  test('goes on when the server ends the stream without an error', async () => {
    let opened = 0;
    await start({
      watchTransactions: ((stream: Stream) => {
        stream.write({ events: [committed(newTransactionId())], position: { partition: 0, sequence: ++opened } });
        stream.end();
      }) as never,
    });
    expect((await take(mesh.watchTransactions(), 3)).map(({ position }) => position!.sequence)).toEqual([1, 2, 3]);
  });

  test('fails when a position is no longer kept', async () => {
    await start({
      watchTransactions: ((stream: Stream) =>
        stream.emit('error', failureToServiceError({ reason: 'POSITION_COMPACTED', message: 'the oldest is 9' }))) as never,
    });
    await expect(take(mesh.watchTransactions({ after: [{ partition: 0, sequence: 1 }] }), 1)).rejects.toBeInstanceOf(PositionCompacted);
  });

  test('ends its stream when the loop is left', async () => {
    let cancelled: (() => void) | undefined;
    const ended = new Promise<void>((resolve) => (cancelled = resolve));
    await start({
      watchTransactions: ((stream: Stream) => {
        stream.on('cancelled', cancelled!);
        stream.write({ events: [committed(newTransactionId())], position: undefined });
      }) as never,
    });
    await take(mesh.watchTransactions(), 1);
    await ended;
  });

  test('ends with the signal', async () => {
    const controller = new AbortController();
    await start({ watchTransactions: (() => controller.abort()) as never });
    await expect(take(mesh.watchTransactions({ signal: controller.signal }), 1)).rejects.toBeInstanceOf(Cancelled);
  });
});

test('a watch of keys goes on after the last revisions when its stream is lost', async () => {
  const asked: WatchRequest[] = [];
  const entry = (key: string, version: number, absent: boolean) => ({ collection: 'stock', key, value: Buffer.from('1'), contentType: '', version, absent, updateTime: undefined });
  await start({
    watch: ((stream: grpc.ServerWritableStream<WatchRequest, unknown>) => {
      asked.push(stream.request);
      const first = asked.length === 1;
      const events = first ? [{ entry: entry('a', 5, false), superseded: false }, { entry: entry('b', 6, true), superseded: false }] : [{ entry: entry('c', 7, false), superseded: true }];
      stream.write({ events, revision: { partition: 3, revision: first ? 6 : 7 } });
      if (first) stream.emit('error', { code: 14, details: 'going away' });
    }) as never,
  });
  const events = await take(mesh.keyValue('inventory').collection('stock').watch({ prefix: 'x', after: new Map([[1, 2]]) }), 3);
  expect(events.map(({ key, version, entry: after, superseded }) => [key, version, after?.text(), superseded])).toEqual([
    ['a', 5, '1', false],
    ['b', 6, undefined, false],
    ['c', 7, '1', true],
  ]);
  expect(events[0]!.position).toBeUndefined();
  expect(asked.map(({ revisions }) => revisions)).toEqual([
    [{ partition: 1, revision: 2 }],
    [{ partition: 1, revision: 2 }, { partition: 3, revision: 6 }],
  ]);
});

test('a scan reads page after page, only as far as it is read', async () => {
  const tokens: string[] = [];
  await start({
    scan: unary(({ pageToken, pageSize, prefix }: ScanRequest) => {
      expect([pageSize, prefix]).toEqual([2, 'k']);
      tokens.push(pageToken);
      const from = Number(pageToken || 0);
      const entries = [from, from + 1].map((i) => ({ collection: 'c', key: `k${i}`, value: Buffer.of(i), contentType: '', version: i + 1, absent: false, updateTime: undefined }));
      return { response: { entries, nextPageToken: from < 4 ? String(from + 2) : '' } };
    }),
  });
  const scan = () => mesh.keyValue('inventory').collection('c').scan({ prefix: 'k', pageSize: 2 });
  expect((await take(scan(), 3)).map(({ key }) => key)).toEqual(['k0', 'k1', 'k2']);
  expect(tokens).toEqual(['', '2']);
  expect((await take(scan(), Infinity)).map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6]);
});

test('a list of transactions reads page after page', async () => {
  await start({
    listTransactions: unary(({ pageToken, states }: ListTransactionsRequest) => {
      expect(states).toEqual([State.COMMITTING, State.ABORTED]);
      return { response: { transactions: [transactionOf(newTransactionId(), State.ABORTED)], nextPageToken: pageToken === '' ? 'more' : '' } };
    }),
  });
  const found = await take(mesh.list({ states: ['COMMITTING', 'ABORTED'] }), Infinity);
  expect(found.map(({ state }) => state)).toEqual(['ABORTED', 'ABORTED']);
});
