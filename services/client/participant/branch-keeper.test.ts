import { describe, expect, test } from 'vitest';
import { DeadlineExceeded, PermissionDenied } from '../errors.ts';
import { newTransactionId } from '../ids.ts';
import { TestEnvironment, until } from '../testing/test-environment.ts';
import { BranchKeeper } from './branch-keeper.ts';
import type { Inquire } from './inquiries.ts';
import type { Branch, Mark, Recovered, ResourceManager, Vote } from './resource-manager.ts';

class Recorder implements ResourceManager {
  readonly calls: string[] = [];
  vote: Vote | (() => Promise<Vote>) = 'yes';
  failures = 0;
  stored: Recovered = { prepared: [], committed: [], marks: [] };

  async prepare(branch: Branch): Promise<Vote> {
    this.calls.push(`prepare ${branch.attempt.counter}`);
    return typeof this.vote === 'function' ? this.vote() : this.vote;
  }
  commit(branch: Branch): void {
    this.calls.push(`commit ${branch.attempt.counter}`);
    if (this.failures-- > 0) throw new Error('disk full');
  }
  abort(branch: Branch): void {
    this.calls.push(`abort ${branch.attempt.counter}`);
  }
  recover(): Recovered {
    return this.stored;
  }
  forget({ lowWaterMark }: Mark): void {
    this.calls.push(`forget below ${lowWaterMark.counter}`);
  }
}

const branch = (counter: number, transactionId = newTransactionId()): Branch => ({
  transactionId,
  attempt: { epoch: 1, counter },
  coordinatorPartition: 0,
  participant: 'own',
  partition: 0,
});
const context = { signal: new AbortController().signal, readOnly: false, firstTryTime: new Date(0) };

function setUp(inquire: Inquire = () => new Promise(() => undefined)) {
  const manager = new Recorder();
  const problems: string[] = [];
  const keeper = new BranchKeeper({ manager, environment: new TestEnvironment(), inquire, onProblem: (message) => problems.push(message) });
  return { manager, keeper, problems };
}

describe('the branch keeper', () => {
  test('asks the manager once, however often a message is repeated', async () => {
    const { manager, keeper } = setUp();
    const one = branch(1);
    const votes = await Promise.all([1, 2, 3].map(() => keeper.prepare(one, [], context)));
    expect(votes).toEqual([{ vote: 'yes' }, { vote: 'yes' }, { vote: 'yes' }]);
    await Promise.all([keeper.commit(one), keeper.commit(one)]);
    await keeper.abort(one);
    expect(await keeper.prepare(one, [], context)).toEqual({ vote: 'yes' });
    expect(manager.calls).toEqual(['prepare 1', 'commit 1']);
    await keeper.close(10_000);
  });

  test('once it is closed, the manager belongs to somebody else: an outcome that comes late is refused', async () => {
    const { manager, keeper } = setUp();
    const [one, two] = [branch(1), branch(2)];
    await keeper.prepare(one, [], context);
    await keeper.prepare(two, [], context);
    await keeper.close(10_000);
    expect(await keeper.prepare(branch(3, one.transactionId), [], context)).toMatchObject({ vote: 'no', cause: { reason: 'DRAINING' } });
    await expect(keeper.commit(one)).rejects.toThrow('the participant is stopping');
    await expect(keeper.abort(two)).rejects.toThrow('the participant is stopping');
    expect(manager.calls).toEqual(['prepare 1', 'prepare 2']);
  });

  test('gives an older attempt up before it prepares a newer one (T5)', async () => {
    const { manager, keeper } = setUp();
    const older = branch(1);
    const newer = branch(2, older.transactionId);
    await keeper.prepare(older, [], context);
    await keeper.prepare(newer, [], context);
    expect(await keeper.prepare(older, [], context)).toMatchObject({ vote: 'no', cause: { reason: 'WRONG_ATTEMPT' } });
    await keeper.abort(older);
    expect(manager.calls).toEqual(['prepare 1', 'abort 1', 'prepare 2']);
    await keeper.close(10_000);
  });

  test('acknowledges a commit only when the manager has carried it out', async () => {
    const { manager, keeper } = setUp();
    const one = branch(1);
    await keeper.prepare(one, [], context);
    manager.failures = 1;
    await expect(keeper.commit(one)).rejects.toThrow('disk full');
    expect(keeper.listPrepared('', 10).prepared).toHaveLength(1);
    await keeper.commit(one);
    expect(keeper.listPrepared('', 10).prepared).toHaveLength(0);
    await keeper.close(10_000);
  });

  test('takes a prepare that throws for a refusal, and gives up what it may have stored', async () => {
    const { manager, keeper, problems } = setUp();
    manager.vote = () => Promise.reject(new Error('no such customer'));
    expect(await keeper.prepare(branch(1), [], context)).toEqual({ vote: 'no', cause: { reason: 'REFUSED_BY_PARTICIPANT', message: 'no such customer' } });
    expect(manager.calls).toEqual(['prepare 1', 'abort 1']);
    expect(problems).toHaveLength(1);
  });

  test('forgets committed branches below the mark, and refuses prepares below it (T7)', async () => {
    const { manager, keeper } = setUp();
    const one = branch(1);
    await keeper.prepare(one, [], context);
    await keeper.commit(one);
    keeper.takeMark({ coordinatorPartition: 0, lowWaterMark: { epoch: 1, counter: 5 } });
    keeper.takeMark({ coordinatorPartition: 0, lowWaterMark: { epoch: 1, counter: 3 } });
    await until(() => manager.calls.includes('forget below 5'));
    expect(await keeper.prepare(one, [], context)).toMatchObject({ vote: 'no' });
    expect(await keeper.prepare(branch(4), [], context)).toMatchObject({ vote: 'no', cause: { reason: 'WRONG_ATTEMPT' } });
    expect(await keeper.prepare(branch(5), [], context)).toMatchObject({ vote: 'yes' });
    await keeper.close(10_000);
  });

  test('inquires about recovered promises until the outcome is known (T12)', async () => {
    const answers = ['pending', 'unreachable', 'committed'];
    const { manager, keeper } = setUp(async () => {
      const answer = answers.shift() as 'pending';
      if ((answer as string) === 'unreachable') throw new Error('no leader');
      return answer;
    });
    const [promised, done, late] = [branch(7), branch(6), branch(2)];
    manager.stored = { prepared: [promised], committed: [done], marks: [{ coordinatorPartition: 0, lowWaterMark: { epoch: 1, counter: 3 } }] };
    await keeper.recover();
    await until(() => manager.calls.length > 0);
    expect(await keeper.prepare(done, [], context)).toEqual({ vote: 'yes' });
    expect(await keeper.prepare(late, [], context)).toMatchObject({ vote: 'no' });
    expect(manager.calls).toEqual(['commit 7']);
    expect(answers).toEqual([]);
    await keeper.close(10_000);
  });

  test('holds nothing after a read-only branch', async () => {
    const { manager, keeper } = setUp();
    manager.vote = 'readOnly';
    expect(await keeper.prepare(branch(1), [], context)).toEqual({ vote: 'readOnly' });
    manager.vote = 'yes';
    expect(await keeper.prepare(branch(2), [], { ...context, readOnly: true })).toEqual({ vote: 'readOnly' });
    expect(manager.calls).toEqual(['prepare 1', 'prepare 2', 'abort 2']);
    expect(keeper.listPrepared('', 10).prepared).toHaveLength(0);
  });

  test('ends a prepare that is under way when the branch is aborted', async () => {
    const manager = new Recorder();
    const keeper = new BranchKeeper({ manager, environment: new TestEnvironment(), inquire: () => new Promise(() => undefined), onProblem: () => undefined });
    manager.prepare = (_: Branch, __?: unknown, given?: { signal: AbortSignal }) =>
      new Promise((resolve) => given!.signal.addEventListener('abort', () => resolve({ refuse: 'gave up' })));
    const one = branch(1);
    const vote = keeper.prepare(one, [], context);
    await until(() => true);
    await new Promise((resolve) => setImmediate(resolve));
    await keeper.abort(one);
    expect(await vote).toMatchObject({ vote: 'no', cause: { message: 'gave up' } });
  });

  test('tells what fails and is asked for again', async () => {
    const { manager, keeper, problems } = setUp();
    const [one, two] = [branch(1), branch(2)];
    await keeper.prepare(one, [], context);
    await keeper.prepare(two, [], context);
    manager.failures = 1;
    await expect(keeper.commit(one)).rejects.toThrow('disk full');
    manager.abort = () => {
      throw new Error('disk full');
    };
    await expect(keeper.abort(two)).rejects.toThrow('disk full');
    expect(problems).toEqual([`commit of transaction ${one.transactionId} failed`, `abort of transaction ${two.transactionId} failed`]);
    await keeper.close(10_000);
  });

  test('tells that it may not ask for an outcome, and asks on', async () => {
    const denied = new PermissionDenied({ reason: 'PERMISSION_DENIED', message: 'no rule allows it' });
    const away = new DeadlineExceeded({ reason: 'DEADLINE_EXCEEDED', message: 'nobody there' });
    const errors = [denied, away];
    const { manager, keeper, problems } = setUp(async () => {
      const error = errors.shift();
      if (error !== undefined) throw error;
      return 'committed';
    });
    const promised = branch(7);
    manager.stored = { prepared: [promised], committed: [], marks: [] };
    await keeper.recover();
    await until(() => manager.calls.length > 0);
    expect(manager.calls).toEqual(['commit 7']);
    expect(problems).toEqual([`the outcome of transaction ${promised.transactionId} can't be asked for`]);
    await keeper.close(10_000);
  });

  test('refuses an attempt while it can’t give up the one before', async () => {
    const { manager, keeper, problems } = setUp();
    const older = branch(1);
    await keeper.prepare(older, [], context);
    manager.abort = () => {
      throw new Error('disk full');
    };
    const newer = branch(2, older.transactionId);
    expect(await keeper.prepare(newer, [], context)).toMatchObject({ vote: 'no', cause: { reason: 'REFUSED_BY_PARTICIPANT', message: expect.stringContaining('disk full') } });
    expect(keeper.listPrepared('', 10).prepared).toMatchObject([{ branch: older }]);
    expect(problems).toHaveLength(1);
    await keeper.close(10_000);
  });
});

describe('a branch keeper that is closed', () => {
  /** A manager that answers a prepare when the test says so, whatever its signal says. */
  function setUpSlow() {
    const asked: string[] = [];
    const environment = new TestEnvironment();
    const manager = new Recorder();
    const problems: string[] = [];
    const answer = Promise.withResolvers<Vote>();
    manager.vote = () => answer.promise;
    const inquire: Inquire = async ({ transactionId }) => {
      asked.push(transactionId);
      throw new Error('the connection is closed');
    };
    const keeper = new BranchKeeper({ manager, environment, inquire, onProblem: (message) => problems.push(message) });
    return { asked, environment, manager, keeper, problems, answer };
  }

  test('waits no longer than it is told for a manager that does not answer, and says so', async () => {
    const { environment, manager, keeper, problems } = setUpSlow();
    void keeper.prepare(branch(1), [], context);
    await until(() => manager.calls.length === 1);
    const closed = keeper.close(10_000);
    environment.advance(10_000);
    await closed;
    expect(problems).toEqual(['the resource manager is left while it works at 1 transactions']);
  });

  test('gives nothing up at a manager that it has left', async () => {
    const { environment, manager, keeper, answer } = setUpSlow();
    const vote = keeper.prepare(branch(1), [], context);
    await until(() => manager.calls.length === 1);
    const closed = keeper.close(10_000);
    environment.advance(10_000);
    await closed;
    answer.reject(new Error('too late'));
    expect(await vote).toMatchObject({ vote: 'no' });
    expect(manager.calls).toEqual(['prepare 1']);
  });

  test('asks nobody about a promise that comes late', async () => {
    const { asked, environment, manager, keeper, problems, answer } = setUpSlow();
    const vote = keeper.prepare(branch(1), [], context);
    await until(() => manager.calls.length === 1);
    const closed = keeper.close(10_000);
    answer.resolve('yes');
    expect(await vote).toEqual({ vote: 'yes' });
    await closed;
    // A timer of a retry would be among them.
    expect(environment.delays).toEqual([]);
    expect([...asked, ...problems]).toEqual([]);
  });

  test('waits for the manager to forget, and has it forget no more', async () => {
    const { manager, keeper } = setUp();
    const [one, two] = [branch(1), { ...branch(1), coordinatorPartition: 1 }];
    manager.stored = { prepared: [], committed: [one, two], marks: [] };
    await keeper.recover();
    const forgotten = Promise.withResolvers<void>();
    const marks: Mark[] = [];
    manager.forget = (mark) => {
      marks.push(mark);
      return forgotten.promise as never;
    };
    for (const coordinatorPartition of [0, 1]) keeper.takeMark({ coordinatorPartition, lowWaterMark: { epoch: 1, counter: 5 } });
    await until(() => marks.length === 1);
    let isClosed = false;
    const closed = keeper.close(10_000).then(() => (isClosed = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed).toBe(false);
    forgotten.resolve();
    await closed;
    expect(marks).toHaveLength(1);
  });
});
