import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMesh } from '../../../test/support/fake-mesh.ts';
import { Kind } from '../../gen/txmesh/counter/v1/counter.ts';
import { Cancelled, FailedPrecondition, InvalidRequest, NotFound, OutcomeUnknown, Overloaded, TransactionAborted } from '../errors.ts';
import { Mesh } from '../mesh.ts';
import { put } from '../operations.ts';
import { TestEnvironment, until } from '../testing/test-environment.ts';
import type { Counter } from './counter.ts';
import { add } from './operations.ts';

let fake: FakeMesh;
let environment: TestEnvironment;
let mesh: Mesh;
let sales: Counter;

beforeEach(async () => {
  fake = await FakeMesh.start();
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address], maxPending: 100 }, environment);
  sales = mesh.counter('sales');
});
afterEach(() => {
  mesh.close();
  fake.stop();
});

const failed = (promise: Promise<unknown>) => promise.then(() => undefined, (error: unknown) => error);

describe('an add', () => {
  test('returns the value after it, exactly', async () => {
    expect(await sales.add(2n ** 62n)).toBe(2n ** 62n);
    expect(await sales.add(-1)).toBe(2n ** 62n - 1n);
    expect(await sales.add()).toBe(2n ** 62n);
  });

  test('travels in one frame with the others of its turn, and names a counter once', async () => {
    await mesh.ready();
    await Promise.all(Array.from({ length: 1_000 }, () => sales.add(1)));
    expect(fake.counter.frames).toHaveLength(1);
    expect(fake.counter.frames[0]!.adds.slice(0, 3).map(({ counter }) => counter)).toEqual(['sales', '', '']);
    expect(fake.counter.values.get('sales')).toBe(1_000n);
  });

  test('takes no number that is not exact, nor more than 64 bits', async () => {
    for (const wrong of [0.5, 2 ** 53, NaN, 2n ** 63n, '1' as never]) await expect(sales.add(wrong)).rejects.toBeInstanceOf(InvalidRequest);
  });

  test('whose answer is lost is sent again under the same token, and counts once', async () => {
    fake.counter.onAdd = (wanted, stream) => {
      fake.counter.onAdd = () => 'own';
      fake.counter.execute(wanted);
      stream.emit('error', { code: 14, details: 'going away' });
      return undefined;
    };
    expect(await sales.add(5)).toBe(5n);
    expect(fake.counter.adds).toHaveLength(2);
    expect(fake.counter.adds[1]).toEqual(fake.counter.adds[0]);
  });

  test('fails as unknown at its deadline; settle() adds it, once', async () => {
    fake.counter.onAdd = () => undefined;
    const adding = failed(sales.add(5, { timeoutMs: 20_000 }));
    await until(() => fake.counter.adds.length === 1);
    environment.advance(20_000);
    const error = await adding;
    expect(error).toBeInstanceOf(OutcomeUnknown);
    expect(await (error as OutcomeUnknown).settle()).toBe(true);
    expect(await (error as OutcomeUnknown).settle()).toBe(true);
    expect(fake.counter.values.get('sales')).toBe(5n);
  });

  test.each(['BOUND_EXCEEDED', 'COUNTER_OVERFLOW'] as const)('that was never counted, because of %s, is settled as that', async (reason) => {
    fake.counter.onAdd = () => undefined;
    const adding = failed(sales.add(5, { timeoutMs: 20_000 }));
    await until(() => fake.counter.adds.length === 1);
    environment.advance(20_000);
    const error = await adding;
    fake.counter.refusal = { reason, message: 'nothing is left' };
    expect(await (error as OutcomeUnknown).settle()).toBe(false);
    fake.counter.refusal = { reason: 'COUNTER_NOT_FOUND', message: 'somebody has deleted it, which tells nothing' };
    await expect((error as OutcomeUnknown).settle()).rejects.toMatchObject({ reason: 'COUNTER_NOT_FOUND' });
  });

  test.each([
    ['BOUND_EXCEEDED', 'is refused, for good', FailedPrecondition],
    ['COUNTER_NOT_FOUND', 'may have been counted before', OutcomeUnknown],
  ] as const)('whose answer is lost, and is answered with %s when it is sent again, %s', async (reason, _, kind) => {
    fake.counter.onAdd = (_add, stream) => {
      fake.counter.onAdd = () => ({ reason, message: 'it is so' });
      stream.emit('error', { code: 14, details: 'going away' });
      return undefined;
    };
    expect(await failed(sales.add(5))).toBeInstanceOf(kind);
    expect(fake.counter.adds).toHaveLength(2);
  });

  test('is sent again when the server could not do it yet', async () => {
    fake.counter.onAdd = () => {
      fake.counter.onAdd = () => 'own';
      return { reason: 'OVERLOADED', message: 'a slot is moving', retryAfterMs: 300 };
    };
    expect(await sales.add(1)).toBe(1n);
    expect(Math.max(...environment.delays)).toBeGreaterThanOrEqual(300);
  });

  test('goes on in a new session when its session has expired or is old', async () => {
    await sales.add(1);
    fake.counter.onAdd = () => {
      fake.counter.onAdd = () => 'own';
      return { reason: 'SESSION_EXPIRED', message: 'not known' };
    };
    await sales.add(1);
    expect(fake.counter.sessions).toHaveLength(2);
    environment.advance(6 * 60_000);
    await sales.add(1);
    expect(fake.counter.sessions).toHaveLength(3);
    expect(fake.counter.values.get('sales')).toBe(3n);
  });

  test('waits for room, and is refused when too many wait', async () => {
    fake.counter.onAdd = () => undefined;
    const underWay = Array.from({ length: 4_096 + 100 }, () => failed(sales.add(1)));
    expect(await failed(sales.add(1))).toBeInstanceOf(Overloaded);
    await until(() => fake.counter.adds.length === 4_096);
    mesh.close();
    const errors = await Promise.all(underWay);
    expect(errors.filter((error) => error instanceof OutcomeUnknown)).toHaveLength(4_096);
    expect(errors.filter((error) => error instanceof Cancelled)).toHaveLength(100);
  });

  test('of many counters tells of each what became of it', async () => {
    fake.counter.onAdd = ({ counter }) => (counter === 'b' ? { reason: 'LIMIT_EXCEEDED', message: 'too much' } : 'own');
    const outcomes = await mesh.counters().add([{ counter: 'a', amount: 1 }, { counter: 'b', amount: 2n }]);
    expect(outcomes).toMatchObject([{ counter: 'a', value: 1n }, { counter: 'b', error: { reason: 'LIMIT_EXCEEDED' } }]);
  });
});

describe('a transaction', () => {
  test('adds the sum of its adds', async () => {
    await mesh.transaction(async (tx) => {
      tx.put('inventory', 'stock', 'a', '1');
      tx.add('sales', 3);
      tx.add('sales', -1n);
    });
    expect(fake.executed[0]!.operations.filter(({ participant }) => participant === 'counter')).toHaveLength(1);
    expect(fake.counter.values.get('sales')).toBe(2n);
  });

  test('can be stated as operations', async () => {
    await mesh.execute({ operations: [add('sales', 3), put('inventory', 'stock', 'a', '1')] });
    expect(fake.executed[0]!.operations[0]).toMatchObject({ participant: 'counter', routingKey: 'sales' });
    expect(fake.counter.values.get('sales')).toBe(3n);
  });
});

test('a counter is created, read, and set if it has the expected value', async () => {
  const created = await sales.create({ bounds: { minimum: 0, maximum: 10n ** 18n }, initialValue: 7 });
  expect(created).toMatchObject({ name: 'sales', kind: 'STRONG', bounds: { minimum: 0n, maximum: 10n ** 18n } });
  expect(fake.counter.created[0]).toMatchObject({ kind: Kind.STRONG, participant: 'counter' });
  expect(await sales.get()).toMatchObject({ value: 7n, kind: 'STRONG', pendingAdds: 0 });
  await sales.compareAndSet(7, 8);
  await expect(sales.compareAndSet(7, 9)).rejects.toBeInstanceOf(TransactionAborted);
  const [found, missing] = await mesh.counters().get(['sales', 'nothing']);
  expect(found).toMatchObject({ counter: 'sales', value: { value: 8n } });
  expect(missing!.error).toBeInstanceOf(NotFound);
});

test('a watch goes on after a lost connection', async () => {
  await sales.add(1);
  const seen: unknown[] = [];
  for await (const value of sales.watch()) {
    seen.push(value?.value);
    if (seen.length === 2) break;
    await sales.add(1);
    fake.counter.watches[0]!.emit('error', { code: 14, details: 'going away' });
  }
  expect(seen).toEqual([1n, 2n]);
});
