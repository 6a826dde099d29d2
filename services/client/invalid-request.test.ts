import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeMesh } from '../../test/support/fake-mesh.ts';
import { InvalidRequest } from './errors.ts';
import { Mesh } from './mesh.ts';
import { json, put } from './operations.ts';
import { TestEnvironment } from './testing/test-environment.ts';

let fake: FakeMesh;
let mesh: Mesh;
beforeEach(async () => {
  fake = await FakeMesh.start();
  mesh = new Mesh({ addresses: [fake.address] }, new TestEnvironment());
});
afterEach(() => {
  mesh.close();
  fake.stop();
});

const never = new Date(NaN);
const wrong: [field: string, use: () => Promise<unknown>][] = [
  ['transactionTimeoutMs', () => mesh.begin({ transactionTimeoutMs: NaN })],
  ['firstTryTime', () => mesh.begin({ firstTryTime: never })],
  ['firstTryTime', () => mesh.execute({ operations: [put('payments', 'accounts', 'alice', '1')], firstTryTime: never })],
  ['maxAgeMs', () => mesh.counter('clicks').get({ maxAgeMs: -1 })],
  ['maxAgeMs', () => mesh.counters().get(['clicks'], { maxAgeMs: Infinity })],
  ['deliverAt', () => mesh.queue().publish('orders', { data: 'x', deliverAt: never })],
  ['expireTime', () => mesh.queue().snapshots.create('s', 'billing', { expireTime: never })],
  ['time', () => mesh.queue().subscriptions.seek('billing', { time: never })],
  ['waitMs', () => mesh.queue().pull('billing', { waitMs: -1 })],
  ['maxExtensionMs', () => mesh.queue().messages('billing', { maxExtensionMs: NaN }).next()],
  ['drainMs', () => mesh.queue().subscribe('billing', async () => undefined, { drainMs: NaN })],
  ['priority', () => mesh.queue().publish('orders', { data: 'x', priority: -1 })],
  ['precondition', async () => put('payments', 'accounts', 'alice', '1', { precondition: { version: NaN } })],
  ['precondition', () => mesh.keyValue('payments').collection('accounts').put('alice', '1', { precondition: { version: 0.5 } })],
];

const what = { balance: 3 } as never;
const noValue: [field: string, use: () => Promise<unknown>][] = [
  ['value', () => mesh.keyValue('payments').collection('accounts').put('alice', what)],
  ['value', () => mesh.keyValue('payments').collection('accounts').put('alice', undefined as never)],
  ['value', () => mesh.transaction(async (tx) => tx.put('payments', 'accounts', 'alice', what))],
  ['value', async () => json(undefined)],
  ['data', () => mesh.queue().publish('orders', what)],
  ['data', () => mesh.queue().publish('orders', { data: what })],
];

test.each(noValue)('what is no %s is refused before it is sent', async (field, use) => {
  await expect(use()).rejects.toMatchObject({ name: 'InvalidRequest', violations: [{ field }] });
});

const unencodable: [what: string, use: () => Promise<unknown>][] = [
  ['a read', () => mesh.list({ pageSize: 0.5 }).next()],
  ['a change', () => mesh.counter('clicks').create({ shards: 0.5 })],
  ['a watch', () => mesh.keyValue('payments').collection('accounts').watch({ after: new Map([[0.5, 1]]) }).next()],
  ['a transaction', () => mesh.transaction(async (tx) => tx.operation('payments', 'alice', { typeUrl: 'x/y', value: 'text' as never }))],
];

test.each(unencodable)('%s that can’t be encoded is not tried again, and surely not executed', async (_, use) => {
  const error = await use().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InvalidRequest);
  expect(error).toMatchObject({ message: expect.stringContaining("can't be encoded"), metadata: { sent: 'false' } });
});

test('a priority out of range does not take what is published beside it with it', async () => {
  fake.queue.subscribe('billing', 'orders');
  const published = await Promise.allSettled([mesh.queue().publish('orders', { data: 'x', priority: 2 ** 33 }), mesh.queue().publish('orders', 'y')]);
  expect(published.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
});

test.each(wrong)('a wrong %s is refused by its name', async (field, use) => {
  const error = await use().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InvalidRequest);
  expect(error).toMatchObject({ message: expect.stringMatching(/NaN|-1|Infinity|0\.5/), violations: [{ field }] });
});
