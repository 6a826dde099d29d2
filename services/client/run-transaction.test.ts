import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMesh, aborted } from '../../test/support/fake-mesh.ts';
import { idTimeMs } from '../kernel/transaction-id.ts';
import { InvalidRequest, OutcomeUnknown, TransactionAborted } from './errors.ts';
import { Mesh } from './mesh.ts';
import { del } from './operations.ts';
import type { Transaction } from './transaction.ts';
import { TestEnvironment, until } from './testing/test-environment.ts';

let fake: FakeMesh;
let environment: TestEnvironment;
let mesh: Mesh;

beforeEach(async () => {
  fake = await FakeMesh.start();
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address] }, environment);
  fake.set('inventory', 'stock', 'apples', '5');
  fake.set('payments', 'accounts', 'alice', '100');
});
afterEach(() => {
  mesh.close();
  fake.stop();
});

/** Takes an apple and pays for it. */
const buy = async (tx: Transaction) => {
  const [apples, money] = await Promise.all([tx.get('inventory', 'stock', 'apples'), tx.get('payments', 'accounts', 'alice')]);
  tx.put('inventory', 'stock', 'apples', String(Number(apples!.text()) - 1));
  tx.put('payments', 'accounts', 'alice', String(Number(money!.text()) - 10));
  return tx.id;
};
const lockConflict = { reason: 'LOCK_CONFLICT', message: 'somebody holds it' } as const;

describe('a transaction', () => {
  test('writes what its function wrote and returns what it returned', async () => {
    const id = await mesh.transaction(buy);
    expect(fake.executed.map(({ transactionId }) => transactionId)).toEqual([id]);
    expect(fake.text('inventory', 'stock', 'apples')).toBe('4');
    expect(fake.text('payments', 'accounts', 'alice')).toBe('90');
  });

  test('sends nothing when its function throws', async () => {
    const failure = new Error('changed my mind');
    await expect(
      mesh.transaction(async (tx) => {
        await buy(tx);
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(fake.executed).toHaveLength(0);
    expect(fake.local).toHaveLength(0);
  });

  test('sends nothing when it did nothing but one read', async () => {
    expect(await mesh.transaction(async (tx) => (await tx.get('payments', 'accounts', 'alice'))!.text())).toBe('100');
    expect(fake.executed.length + fake.local.length).toBe(0);
  });

  test('validates reads of several keys', async () => {
    await mesh.transaction(async (tx) => {
      await tx.get('payments', 'accounts', 'alice');
      await tx.get('inventory', 'stock', 'apples');
    });
    expect(fake.executed[0]!.operations.map(({ operation }) => operation!.typeUrl.split('.').at(-1))).toEqual(['CheckOperation', 'CheckOperation']);
  });

  test('T11 runs again when an absent key that it read came and went, though it is absent again', async () => {
    const seen: string[] = [];
    await mesh.transaction(async (tx) => {
      expect(await tx.get('payments', 'accounts', 'bob')).toBeUndefined();
      if (tx.tries === 1) {
        fake.set('payments', 'accounts', 'bob', '1');
        await mesh.execute({ operations: [del('payments', 'accounts', 'bob')] });
      }
      seen.push((await tx.get('inventory', 'stock', 'apples'))!.text());
    });
    expect(seen).toHaveLength(2);
  });

  test('requires of an absent key that it writes only that it is absent: its lock keeps it so', async () => {
    await mesh.transaction(async (tx) => {
      expect(await tx.get('payments', 'accounts', 'bob')).toBeUndefined();
      if (tx.tries === 1) {
        fake.set('payments', 'accounts', 'bob', '1');
        await mesh.execute({ operations: [del('payments', 'accounts', 'bob')] });
      }
      tx.put('payments', 'accounts', 'bob', '2');
    }, { attempts: 1 });
    expect(fake.text('payments', 'accounts', 'bob')).toBe('2');
  });

  test('sees its own writes, and reads the same again', async () => {
    await mesh.transaction(async (tx) => {
      expect((await tx.get('payments', 'accounts', 'alice'))!.text()).toBe('100');
      fake.set('payments', 'accounts', 'alice', 'changed');
      expect((await tx.get('payments', 'accounts', 'alice'))!.text()).toBe('100');
      tx.put('payments', 'accounts', 'alice', 'mine');
      expect((await tx.get('payments', 'accounts', 'alice'))!.text()).toBe('mine');
      tx.delete('payments', 'accounts', 'alice');
      expect(await tx.get('payments', 'accounts', 'alice')).toBeUndefined();
      tx.put('payments', 'accounts', 'alice', 'again');
      if (tx.tries === 1) return;
    }, { attempts: 1 }).catch((error: unknown) => expect(error).toBeInstanceOf(TransactionAborted));
    expect(fake.text('payments', 'accounts', 'alice')).toBe('changed');
  });

  test('runs again under a new id with the first try’s time when what it read has changed', async () => {
    let runs = 0;
    const tried: string[] = [];
    await mesh.transaction(async (tx) => {
      tried.push(tx.id);
      await buy(tx);
      if (++runs < 3) fake.set('payments', 'accounts', 'alice', String(100 + runs));
    });
    expect(fake.text('payments', 'accounts', 'alice')).toBe('92');
    expect(fake.text('inventory', 'stock', 'apples')).toBe('4');
    expect(fake.executed.map(({ transactionId }) => transactionId)).toEqual(tried);
    expect(new Set(tried).size).toBe(3);
    const firstMs = idTimeMs(tried[0]!);
    const firstTryTime = { seconds: BigInt(Math.floor(firstMs / 1000)), nanos: (firstMs % 1000) * 1e6 };
    expect(fake.executed.map((request) => request.firstTryTime)).toEqual([undefined, firstTryTime, firstTryTime]);
  });

  test('gives up after the bound of tries, with the last cause', async () => {
    fake.onExecute = ({ transactionId }) => ({ outcome: aborted(transactionId, lockConflict) });
    await expect(mesh.transaction(buy, { attempts: 4 })).rejects.toMatchObject({ name: 'TransactionAborted', reason: 'LOCK_CONFLICT' });
    expect(fake.executed).toHaveLength(4);
    expect(environment.delays.slice(-3)).toEqual([5, 10, 20]);
  });

  test('gives up with the last cause when there is no time for another try', async () => {
    fake.onExecute = ({ transactionId }) => ({ outcome: aborted(transactionId, { ...lockConflict, retryAfterMs: 60_000 }) });
    await expect(mesh.transaction(buy)).rejects.toMatchObject({ reason: 'LOCK_CONFLICT' });
    expect(fake.executed).toHaveLength(1);
  });

  test('does not run again when a condition that it stated itself does not hold', async () => {
    const work = async (tx: Transaction) => {
      tx.put('payments', 'accounts', 'alice', 'new', { precondition: 'absent' });
      tx.put('inventory', 'stock', 'pears', '1');
    };
    await expect(mesh.transaction(work)).rejects.toMatchObject({ reason: 'PRECONDITION_FAILED', conflict: { key: 'alice' } });
    expect(fake.executed).toHaveLength(1);
  });

  test.each(['REFUSED_BY_PARTICIPANT', 'MERGE_CONFLICT', 'ABORTED_BY_REQUEST'] as const)('does not run again after %s', async (reason) => {
    fake.onExecute = ({ transactionId }) => ({ outcome: aborted(transactionId, { reason, message: 'no' }) });
    await expect(mesh.transaction(buy)).rejects.toMatchObject({ name: 'TransactionAborted', reason });
    expect(fake.executed).toHaveLength(1);
  });

  test('does not run its function again while the outcome of a try is open', async () => {
    let runs = 0;
    fake.onExecute = (request) => {
      fake.decide(request.transactionId, request.operations);
      fake.onExecute = () => 'own';
      return { failure: { reason: 'OUTCOME_UNKNOWN', message: 'the reply was lost' } };
    };
    await mesh.transaction(async (tx) => {
      runs++;
      return buy(tx);
    });
    expect(runs).toBe(1);
    expect(new Set(fake.executed.map(({ transactionId }) => transactionId)).size).toBe(1);
    expect(fake.text('inventory', 'stock', 'apples')).toBe('4');
  });

  test('fails as unknown when its outcome stays open, naming the id', async () => {
    fake.onExecute = () => undefined;
    const outcome = mesh.transaction(buy, { timeoutMs: 20_000 }).catch((error: unknown) => error);
    await until(() => fake.executed.length === 1);
    environment.advance(20_000);
    expect(await outcome).toBeInstanceOf(OutcomeUnknown);
    expect(await outcome).toMatchObject({ transactionId: fake.executed[0]!.transactionId });
  });

  test('is over when its function has returned', async () => {
    let kept: Transaction | undefined;
    await mesh.transaction(async (tx) => {
      kept = tx;
    });
    expect(() => kept!.put('payments', 'accounts', 'alice', '1')).toThrow(InvalidRequest);
  });

  test('refuses conditions that contradict each other', async () => {
    await expect(
      mesh.transaction(async (tx) => {
        await tx.get('payments', 'accounts', 'alice');
        tx.put('payments', 'accounts', 'alice', 'new', { precondition: 'absent' });
      }),
    ).rejects.toThrow(/version 2 \(as it was read\) and absent at once/);
  });
});

describe('a transaction in one partition', () => {
  const pay = async (tx: Transaction) => {
    const money = await tx.get('payments', 'accounts', 'alice');
    tx.put('payments', 'accounts', 'alice', String(Number(money!.text()) - 10));
    tx.put('payments', 'accounts', 'bob', '10');
  };

  test('goes straight to the participant', async () => {
    await mesh.transaction(pay);
    expect(fake.executed).toHaveLength(0);
    expect(fake.local).toHaveLength(1);
    expect(fake.text('payments', 'accounts', 'alice')).toBe('90');
  });

  test('goes to the coordinator when it has more operations than a local transaction takes', async () => {
    await mesh.transaction(async (tx) => {
      for (let i = 0; i < 121; i++) tx.put('payments', 'accounts', `a${i}`, '0');
    });
    expect(fake.executed).toHaveLength(1);
  });

  test('goes to the coordinator when its keys lie in several partitions', async () => {
    await mesh.transaction(async (tx) => {
      for (let i = 0; i < 20; i++) tx.put('inventory', 'stock', `a${i}`, '0');
    });
    expect(fake.executed).toHaveLength(1);
    await mesh.transaction(async (tx) => {
      for (let i = 0; i < 20; i++) tx.put('inventory', 'stock', `{together}${i}`, '0');
    });
    expect(fake.local).toHaveLength(1);
  });

  test('runs again on conflict, and is settled by the same id when unknown', async () => {
    const failures = [{ reason: 'OUTCOME_UNKNOWN', message: 'lost' } as const, lockConflict];
    fake.onLocal = () => failures.shift() ?? 'own';
    await mesh.transaction(pay);
    const ids = fake.local.map(({ transactionId }) => transactionId);
    expect(ids).toHaveLength(3);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[1]);
    expect(fake.text('payments', 'accounts', 'alice')).toBe('90');
  });

  test.each([true, false])('whose outcome is unknown is settled at the participant, committed: %s', async (committed) => {
    const controller = new AbortController();
    fake.onLocal = (request) => {
      if (committed) fake.decide(request.transactionId, request.operations);
      controller.abort();
      return { reason: 'OUTCOME_UNKNOWN', message: 'lost' };
    };
    const error = await mesh.transaction(pay, { signal: controller.signal }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutcomeUnknown);
    fake.onLocal = () => (committed ? 'own' : lockConflict);
    expect(await (error as OutcomeUnknown).settle()).toBe(committed);
    expect(fake.aborted).toEqual([]);
    expect(new Set(fake.local.map(({ transactionId }) => transactionId)).size).toBe(1);
  });
});
