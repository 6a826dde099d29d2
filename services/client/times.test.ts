import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeMesh } from '../../test/support/fake-mesh.ts';
import { InvalidRequest } from './errors.ts';
import { Mesh } from './mesh.ts';
import { put } from './operations.ts';
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
  ['precondition', async () => put('payments', 'accounts', 'alice', '1', { precondition: { version: NaN } })],
  ['precondition', () => mesh.keyValue('payments').collection('accounts').put('alice', '1', { precondition: { version: 0.5 } })],
];

test.each(wrong)('a wrong %s is refused by its name', async (field, use) => {
  const error = await use().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InvalidRequest);
  expect(error).toMatchObject({ message: expect.stringMatching(/NaN|-1|Infinity|0\.5/), violations: [{ field }] });
});
