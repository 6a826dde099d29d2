import type * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { FakeMesh, aborted, transactionOf, unary } from '../../test/support/fake-mesh.ts';
import { State, type CommitTransactionRequest } from '../gen/txmesh/coordinator/v1/coordinator.ts';
import type { GetRequest, PutRequest } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../kernel/failure.ts';
import { DeadlineExceeded, NotFound, OutcomeUnknown, TransactionAborted } from './errors.ts';
import { Mesh } from './mesh.ts';
import { json, put } from './operations.ts';
import { TestEnvironment, until } from './testing/test-environment.ts';

let fake: FakeMesh;
let mesh: Mesh;
let environment: TestEnvironment;

const start = async (overrides: { [name: string]: grpc.UntypedHandleCall } = {}) => {
  fake = await FakeMesh.start(overrides);
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address] }, environment);
};
afterEach(() => {
  mesh.close();
  fake.stop();
});
const accounts = () => mesh.keyValue('payments').collection('accounts');

describe('a collection', () => {
  test('reads values as text and JSON, and absent keys as undefined', async () => {
    await start();
    fake.set('payments', 'accounts', 'alice', '{"balance":7}');
    const alice = await accounts().get('alice');
    expect(alice).toMatchObject({ participant: 'payments', collection: 'accounts', key: 'alice', version: 1 });
    expect(alice!.json()).toEqual({ balance: 7 });
    expect(alice!.text()).toBe('{"balance":7}');
    expect(await accounts().get('bob')).toBeUndefined();
  });

  test('repeats a put whose answer was lost with the same request id', async () => {
    const requests: PutRequest[] = [];
    const failures: Failure[] = [{ reason: 'OUTCOME_UNKNOWN', message: 'lost' }];
    await start({
      put: unary((request: PutRequest) => {
        requests.push(request);
        const failure = failures.shift();
        return failure === undefined ? { response: { version: 9 } } : { failure };
      }),
    });
    expect(await accounts().put('alice', json({ balance: 1 }), { precondition: 'absent' })).toBe(9);
    expect(requests).toHaveLength(2);
    expect(requests[1]).toEqual(requests[0]);
    expect(requests[0]!.requestId).not.toBe('');
  });

  test('tells a put that was refused from one whose outcome is unknown', async () => {
    const failures: Failure[] = [
      { reason: 'PRECONDITION_FAILED', message: 'there is one' },
      { reason: 'OUTCOME_UNKNOWN', message: 'lost' },
      { reason: 'INTERNAL', message: 'broken' },
    ];
    await start({ put: unary(() => ({ failure: failures.shift()! })) });
    await expect(accounts().put('alice', '1')).rejects.toBeInstanceOf(TransactionAborted);
    await expect(accounts().put('alice', '1')).rejects.toBeInstanceOf(OutcomeUnknown);
  });

  test('fails a read that is not answered at its deadline', async () => {
    await start({ get: unary(() => undefined) });
    await expect(accounts().get('alice', { timeoutMs: 1 })).rejects.toBeInstanceOf(DeadlineExceeded);
  });
});

describe('an interactive transaction', () => {
  const begin = async (commits: ({ response: unknown } | { failure: Failure } | undefined)[]) => {
    const work: (GetRequest | PutRequest)[] = [];
    const asked: CommitTransactionRequest[] = [];
    await start({
      put: unary((request: PutRequest) => {
        work.push(request);
        return { response: { version: 0 } };
      }),
      commitTransaction: unary((request: CommitTransactionRequest) => {
        asked.push(request);
        return commits.shift();
      }),
    });
    return { tx: await mesh.begin(), work, asked };
  };

  test('sends its id and attempt along, and commits', async () => {
    const commits: { response: unknown }[] = [];
    const { tx, work } = await begin(commits);
    commits.push({ response: { transaction: transactionOf(tx.id, State.COMMITTING) } });
    await tx.put('payments', 'accounts', 'alice', '1');
    expect(work[0]).toMatchObject({ requestId: '', transaction: { transactionId: tx.id, attempt: { epoch: 1, counter: 1 } } });
    expect(await tx.commit()).toMatchObject({ committed: true, state: 'COMMITTING' });
    await expect(tx.put('payments', 'accounts', 'alice', '2')).rejects.toThrow(/is over/);
  });

  test('throws when it was aborted, with the cause', async () => {
    const commits: { response: unknown }[] = [];
    const { tx } = await begin(commits);
    commits.push({ response: { transaction: aborted(tx.id, { reason: 'WORKSPACE_LOST', message: 'failover' }) } });
    await expect(tx.commit()).rejects.toMatchObject({ name: 'TransactionAborted', reason: 'WORKSPACE_LOST', retryable: true });
  });

  test('settles a commit whose outcome is unknown by abort, which tells what was decided', async () => {
    const { tx } = await begin([{ failure: { reason: 'OUTCOME_UNKNOWN', message: 'lost' } }, { failure: { reason: 'WRONG_ATTEMPT', message: 'gone on' } }]);
    fake.outcomes.set(tx.id, transactionOf(tx.id, State.COMMITTED));
    expect(await tx.commit()).toMatchObject({ committed: true, state: 'COMMITTED' });
    expect(fake.aborted).toEqual([tx.id]);
  });

  test('is aborted when it is left without commit', async () => {
    const { tx } = await begin([]);
    {
      await using left = tx;
      expect(left.id).toBe(tx.id);
    }
    expect(fake.aborted).toEqual([tx.id]);
  });
});

test('a transaction that is not known is NotFound', async () => {
  await start();
  await expect(mesh.get('01900000-0000-7000-8000-000000000000')).rejects.toBeInstanceOf(NotFound);
});

test('a call that reaches no server says which were tried', async () => {
  await start();
  fake.stop();
  const lost = new Mesh({ addresses: [fake.address] }, environment);
  const call = lost.keyValue('payments').collection('accounts').put('alice', '1', { timeoutMs: 20_000 }).catch((error: unknown) => error);
  const execution = lost.execute({ operations: [put('payments', 'accounts', 'alice', '1')], timeoutMs: 20_000 }).catch((error: unknown) => error);
  const transaction = lost.transaction(async (tx) => tx.put('payments', 'accounts', 'alice', '1'), { timeoutMs: 20_000 }).catch((error: unknown) => error);
  const addition = lost.counter('sales').add(1, { timeoutMs: 20_000 }).catch((error: unknown) => error);
  await until(() => environment.delays.length > 12);
  environment.advance(20_000);
  for (const error of [await call, await execution, await transaction, await addition])
    expect(error).toMatchObject({ name: 'DeadlineExceeded', message: expect.stringContaining(`none of ${fake.address} could be reached`) });
  lost.close();
});

test('ready fails when no server can be reached in time', async () => {
  await start();
  fake.stop();
  const lost = new Mesh({ addresses: [fake.address] }, environment);
  const ready = lost.ready({ timeoutMs: 20_000 }).catch((error: unknown) => error);
  await until(() => environment.delays.length > 3);
  environment.advance(20_000);
  expect(await ready).toMatchObject({ name: 'DeadlineExceeded', message: expect.stringContaining(`none of ${fake.address} could be reached in time`) });
  lost.close();
});
