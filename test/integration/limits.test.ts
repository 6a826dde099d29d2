/** What docs/limits.md says becomes of a request beyond a limit, asked of a mesh over gRPC. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS as PAGE } from '../../docs/reference/limits.ts';
import { CoordinatorServiceService as coordinator, Mode } from '../../services/gen/txmesh/coordinator/v1/coordinator.ts';
import type { Operation } from '../../services/gen/txmesh/common/v1/common.ts';
import { AddOperation } from '../../services/gen/txmesh/counter/v1/counter.ts';
import { KeyValueServiceService as keyValue } from '../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import { PublishOperation } from '../../services/gen/txmesh/queue/v1/operations.ts';
import { Message } from '../../services/gen/txmesh/queue/v1/queue.ts';
import { statusToFailure } from '../../services/runtime/errors/status.ts';
import { failureOf, putOp, startMesh, type Meshed } from '../../services/runtime/router/testing/nodes.ts';

const MIB = 1024 * 1024;
const NAMES = Array.from({ length: 129 }, (_, i) => `p${i}`);

let mesh: Meshed;
beforeAll(async () => {
  mesh = await startMesh({ partitions: 1, queues: ['queue'], counters: ['counter'], participants: ['inventory', ...NAMES] });
}, 60_000);
afterAll(() => mesh.close());

const seconds = (count: number) => ({ seconds: BigInt(count), nanos: 0 });

/** The reason that a transaction is refused or aborted with; undefined: it commits. */
async function reasonOf(operations: readonly Operation[], timeout?: { seconds: bigint; nanos: number }, of: Meshed = mesh): Promise<string | undefined> {
  const request = { transactionId: '', operations: [...operations], timeout, firstTryTime: undefined, mode: Mode.UNSPECIFIED };
  try {
    const { transaction } = await of.call(coordinator.execute, request);
    return transaction?.cause === undefined ? undefined : statusToFailure(transaction.cause).reason;
  } catch {
    return (await failureOf(of.call(coordinator.execute, request))).reason;
  }
}

const puts = (count: number, bytes = 1): Operation[] => Array.from({ length: count }, (_, i) => putOp('inventory', `k${i}`, 'x'.repeat(bytes)));
const onQueue = (): Operation => ({
  participant: 'queue',
  routingKey: 'a',
  operation: { typeUrl: 'type.googleapis.com/txmesh.queue.v1.PublishOperation', value: Buffer.from(PublishOperation.encode({ topic: 'orders', message: Message.decode(new Uint8Array()) }).finish()) },
});
const onCounter = (counter: string): Operation => ({
  participant: 'counter',
  routingKey: counter,
  operation: { typeUrl: 'type.googleapis.com/txmesh.counter.v1.AddOperation', value: Buffer.from(AddOperation.encode({ counter, amount: 1n }).finish()) },
});
const repeated = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const put = (more: { key?: string; bytes?: number; contentType?: string; collection?: string }) =>
  failureOf(
    mesh.call(keyValue.put, {
      participant: 'inventory',
      collection: more.collection ?? 'stock',
      key: more.key ?? 'a',
      value: Buffer.alloc(more.bytes ?? 1),
      contentType: more.contentType ?? '',
      precondition: undefined,
      mergePolicy: 0,
      requestId: '',
      transaction: undefined,
    } ),
  ).then(({ reason }) => reason);

/** By table and row of the page: what is refused, just beyond the limit. */
const BEYOND: Readonly<Record<string, Readonly<Record<string, () => Promise<string | undefined>>>>> = {
  Transactions: {
    'Operations of a transaction': () => reasonOf(puts(4_097)),
    'Branches of a transaction: partitions of participants that it touches': () => reasonOf(NAMES.map((name) => putOp(name, 'a', '1'))),
    'Operations of one branch, encoded': () => reasonOf(puts(3, MIB / 3)),
    'Timeout of a transaction': () => reasonOf(puts(1), seconds(601)),
    'Routing key': () => reasonOf([putOp('inventory', 'k'.repeat(1_025), '1')]),
    'Type URL of an operation': () => reasonOf([{ ...onQueue(), operation: { typeUrl: `${'x'.repeat(255)}/a.B`, value: Buffer.alloc(0) } }]),
  },
  Keys: {
    Value: () => put({ bytes: MIB + 1 }),
    'Key, in UTF-8': () => put({ key: 'k'.repeat(1_025) }),
    'Content type': () => put({ contentType: 'x'.repeat(256) }),
    'Operations of a branch': () => reasonOf(puts(121)),
    'Name of a collection: a-z, A-Z, 0-9, `_`, `-` and `.`': () => put({ collection: 'c'.repeat(65) }),
  },
  Queues: { 'Operations of a branch': () => reasonOf(repeated(121, onQueue)) },
  Counters: {
    'Counters of a branch': () => reasonOf(repeated(65, (i) => onCounter(`c${i}`))),
    'Operations of a branch': () => reasonOf(repeated(1_001, () => onCounter('c'))),
  },
};

const CASES = Object.entries(BEYOND).flatMap(([table, rows]) => Object.entries(rows).map(([what, ask]) => [table, what, ask] as const));

describe('what is beyond a limit of docs/limits.md is refused for the reason that it says', () => {
  test.each(CASES)('%s: %s', async (table, what, ask) => {
    const row = PAGE[table]!.find((each) => each.what === what);
    expect(row).toBeDefined();
    expect(await ask()).toBe(row!.end);
  });
});

test('a request that is larger than --max-message is refused by gRPC itself', async () => {
  expect(await put({ bytes: 5 * MIB })).toBe('OVERLOADED');
});

test('where earlier versions are kept a change takes 3 store operations as soon as it removes one: 41 keys are too many then', async () => {
  const versioned = await startMesh({ partitions: 1, participants: ['inventory'], historyLimit: 1 });
  try {
    for (const [count, reason] of [[41, undefined], [41, undefined], [41, 'LIMIT_EXCEEDED'], [40, undefined]] as const) expect(await reasonOf(puts(count), undefined, versioned)).toBe(reason);
  } finally {
    await versioned.close();
  }
});

test('what is just within the limits of docs/limits.md is taken; a value of 1 MiB is too large for a branch', async () => {
  expect(await reasonOf(puts(120))).toBeUndefined();
  expect(await reasonOf(puts(1, MIB - 1000))).toBeUndefined();
  expect(await reasonOf(puts(1, MIB))).toBe('LIMIT_EXCEEDED');
  expect(await reasonOf(puts(3, MIB / 3 - 100))).toBeUndefined();
  expect(await reasonOf(NAMES.slice(0, 128).map((name) => putOp(name, 'a', '1')))).toBeUndefined();
});
