import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMesh, transactionOf } from '../../test/support/fake-mesh.ts';
import { State } from '../gen/txmesh/coordinator/v1/coordinator.ts';
import { Cancelled, InvalidRequest, OutcomeUnknown, Overloaded, TransactionAborted } from './errors.ts';
import { newTransactionId } from './ids.ts';
import { Mesh } from './mesh.ts';
import { check, put } from './operations.ts';
import { TestEnvironment, until } from './testing/test-environment.ts';

let fake: FakeMesh;
let environment: TestEnvironment;
let mesh: Mesh;

beforeEach(async () => {
  fake = await FakeMesh.start();
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address], maxPending: 100 }, environment);
});
afterEach(() => {
  mesh.close();
  fake.stop();
});

const operations = [put('inventory', 'stock', 'a', '1'), put('payments', 'accounts', 'b', '2')];
const execute = (options: { transactionId?: string; timeoutMs?: number; signal?: AbortSignal } = {}) => mesh.execute({ operations, ...options });
const ids = () => fake.executed.map(({ transactionId }) => transactionId);

describe('Execute', () => {
  test('answers with the durable outcome', async () => {
    const transactionId = newTransactionId();
    expect(await execute({ transactionId })).toEqual({ committed: true, transactionId, state: 'COMMITTED', decideTimeMs: undefined });
    expect(fake.text('payments', 'accounts', 'b')).toBe('2');
  });

  test('answers with an abort and its cause, the conflict included', async () => {
    fake.set('payments', 'accounts', 'b', 'theirs');
    const outcome = await mesh.execute({ operations: [check('payments', 'accounts', 'b', 'absent')] });
    expect(outcome).toMatchObject({ committed: false, state: 'ABORTED' });
    const { cause } = outcome as { cause: TransactionAborted };
    expect(cause).toBeInstanceOf(TransactionAborted);
    expect(cause).toMatchObject({ reason: 'PRECONDITION_FAILED', code: 'ABORTED', retryable: true, conflict: { key: 'b', expected: 'absent', currentVersion: 1 } });
    expect(Buffer.from(cause.conflict!.currentValue!).toString()).toBe('theirs');
  });

  test('sends all calls of a turn in one frame', async () => {
    await mesh.ready();
    await Promise.all(Array.from({ length: 50 }, () => execute()));
    expect(fake.executed).toHaveLength(50);
    expect(fake.frames).toBe(1);
  });

  test('keeps frames below their bound', async () => {
    await mesh.ready();
    const large = put('inventory', 'stock', 'large', new Uint8Array(400_000));
    await Promise.all([1, 2, 3, 4].map(() => mesh.execute({ operations: [large] })));
    expect(fake.frames).toBe(2);
  });

  test('sends what is too large for a frame alone', async () => {
    const large = put('inventory', 'stock', 'large', new Uint8Array(1_000_000));
    const outcome = await mesh.execute({ operations: [large, put('payments', 'accounts', 'b', new Uint8Array(200_000))] });
    expect(outcome.committed).toBe(true);
    expect(fake.frames).toBe(0);
  });

  test('tells the first try’s time', async () => {
    await mesh.execute({ operations, firstTryTime: new Date(1_700_000_000_123) });
    expect(fake.executed[0]!.firstTryTime).toEqual({ seconds: 1_700_000_000n, nanos: 123_000_000 });
  });
});

describe('a call whose outcome is not known', () => {
  test('is settled by the same id when its stream is lost', async () => {
    fake.onExecute = (_, stream) => {
      fake.onExecute = () => 'own';
      stream!.emit('error', { code: 14, details: 'going away' });
      return undefined;
    };
    const transactionId = newTransactionId();
    expect(await execute({ transactionId })).toMatchObject({ committed: true, transactionId });
    expect(ids()).toEqual([transactionId, transactionId]);
    expect(fake.executed[1]).toEqual(fake.executed[0]);
  });

  test('is settled by the same id when the server goes away and comes back', async () => {
    fake.onExecute = (request) => {
      fake.decide(request.transactionId, request.operations);
      fake.stop();
      return undefined;
    };
    const transactionId = newTransactionId();
    const outcome = execute({ transactionId });
    await until(() => fake.executed.length === 1);
    fake.onExecute = () => 'own';
    await fake.restart();
    expect(await outcome).toMatchObject({ committed: true, transactionId });
    expect(fake.revision).toBe(1);
  });

  test('is settled by the same id when the server says so', async () => {
    fake.onExecute = () => {
      fake.onExecute = () => 'own';
      return { failure: { reason: 'OUTCOME_UNKNOWN', message: 'the reply was lost' } };
    };
    const transactionId = newTransactionId();
    expect(await execute({ transactionId })).toMatchObject({ committed: true, transactionId });
    expect(ids()).toEqual([transactionId, transactionId]);
  });

  test('is settled by the same id when the server answers without a decision', async () => {
    fake.onExecute = ({ transactionId }) => {
      fake.onExecute = () => 'own';
      return { outcome: transactionOf(transactionId, State.PREPARING) };
    };
    expect((await execute()).committed).toBe(true);
    expect(fake.executed).toHaveLength(2);
  });

  test('fails as unknown at its deadline', async () => {
    fake.onExecute = () => undefined;
    const transactionId = newTransactionId();
    const outcome = execute({ transactionId, timeoutMs: 20_000 });
    await until(() => fake.executed.length === 1);
    environment.advance(20_000);
    const error = await outcome.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutcomeUnknown);
    expect(error).toMatchObject({ transactionId, reason: 'OUTCOME_UNKNOWN', cause: { reason: 'DEADLINE_EXCEEDED' } });
  });

  test('fails as unknown when its signal fires, and can be settled', async () => {
    fake.onExecute = () => undefined;
    const controller = new AbortController();
    const transactionId = newTransactionId();
    const outcome = execute({ transactionId, signal: controller.signal });
    await until(() => fake.executed.length === 1);
    controller.abort();
    const error = await outcome.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutcomeUnknown);
    expect(await (error as OutcomeUnknown).settle()).toBe(false);
    expect(fake.aborted).toEqual([transactionId]);
    expect(await mesh.abort(transactionId)).toMatchObject({ committed: false, cause: { reason: 'ABORTED_BY_REQUEST' } });
  });

  test('stays unknown when a later try is refused', async () => {
    fake.onExecute = () => {
      fake.onExecute = () => ({ failure: { reason: 'TRANSACTION_EXPIRED', message: 'too old' } });
      return { failure: { reason: 'OUTCOME_UNKNOWN', message: 'the reply was lost' } };
    };
    await expect(execute()).rejects.toMatchObject({ name: 'OutcomeUnknown', cause: { reason: 'TRANSACTION_EXPIRED' } });
  });

  test('fails as unknown when the connection is closed by its user', async () => {
    fake.onExecute = () => undefined;
    const outcome = execute();
    await until(() => fake.executed.length === 1);
    mesh.close();
    await expect(outcome).rejects.toBeInstanceOf(OutcomeUnknown);
  });
});

describe('a call that was not executed', () => {
  test('is sent again after the delay that the server asked for', async () => {
    fake.onExecute = () => {
      fake.onExecute = () => 'own';
      return { failure: { reason: 'NO_LEADER', message: 'no leader', retryAfterMs: 700 } };
    };
    expect((await execute()).committed).toBe(true);
    expect(Math.max(...environment.delays)).toBeGreaterThanOrEqual(700);
  });

  test('fails with what is wrong with it', async () => {
    const violations = [{ field: 'operations[0].routing_key', description: 'must not be empty' }];
    fake.onExecute = () => ({ failure: { reason: 'INVALID_FIELD', message: 'operations[0].routing_key must not be empty', violations } });
    const error = await execute().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidRequest);
    expect(error).toMatchObject({ reason: 'INVALID_FIELD', code: 'INVALID_ARGUMENT', violations });
    expect(fake.executed).toHaveLength(1);
  });

  test('fails as cancelled when the signal fired before', async () => {
    const reason = new Error('enough');
    await expect(execute({ signal: AbortSignal.abort(reason) })).rejects.toMatchObject({ name: 'Cancelled', cause: reason });
    await expect(execute({ signal: AbortSignal.abort(reason) })).rejects.toBeInstanceOf(Cancelled);
    expect(fake.executed).toHaveLength(0);
  });

  test('is refused here when too many are under way', async () => {
    fake.onExecute = () => undefined;
    const underWay = Array.from({ length: 100 }, () => execute().catch((error: unknown) => error));
    const error = await execute().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Overloaded);
    expect(error).toMatchObject({ reason: 'OVERLOADED', retryAfterMs: 100 });
    mesh.close();
    await Promise.all(underWay);
  });
});

test('a server that does not serve the stream is not tried for ever', async () => {
  const other = await FakeMesh.start({ executeStream: ((stream: { emit(event: string, error: object): void }) => stream.emit('error', { code: 12, details: 'no' })) as never });
  const connection = new Mesh({ addresses: [other.address] }, environment);
  await expect(connection.execute({ operations })).rejects.toMatchObject({ cause: { reason: 'INTERNAL' } });
  connection.close();
  other.stop();
});


test('an operation that can’t be encoded fails alone', async () => {
  const wrong = { participant: 'payments', routingKey: 'a', operation: { typeUrl: 'x/y', value: 'text' } } as never;
  const [bad, late, good] = await Promise.allSettled([mesh.execute({ operations: [wrong] }), execute({ timeoutMs: NaN }), execute()]);
  expect([bad, late]).toMatchObject([{ reason: { name: 'InvalidRequest' } }, { reason: { name: 'InvalidRequest' } }]);
  expect(good.status).toBe('fulfilled');
});
