import { describe, expect, it } from 'vitest';
import { acknowledge, branch, Harness, idAt, START_MS, votes } from './testing/harness.ts';

const ID = idAt(START_MS, 1);

function enlisting(mesh: Harness, attempt = mesh.begin(ID)) {
  return { transactionId: ID, attempt, coordinatorPartition: 3, participant: 'inventory', partition: 2 };
}

describe('an interactive transaction', () => {
  it('logs nothing when it begins, and begins once (T3)', () => {
    const mesh = new Harness();
    const attempt = mesh.begin(ID);
    expect(mesh.writes).toEqual([]);
    expect(mesh.begin(ID)).toEqual(attempt);
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({ transaction: { state: 'ACTIVE', attempt } });
  });

  it('is prepared under a new attempt, with the epoch that the participant enlisted with (T5, T13)', () => {
    const mesh = new Harness();
    const enlisted = enlisting(mesh);
    expect(mesh.step({ type: 'enlist', branch: enlisted, epoch: 77 })).toEqual({ type: 'enlisted' });
    mesh.step({ type: 'commit', transactionId: ID, attempt: enlisted.attempt, origin: 'client' });
    const prepares = mesh.take();
    expect(prepares).toMatchObject([
      {
        type: 'prepare',
        branch: { participant: 'inventory', partition: 2, attempt: { epoch: 10, counter: 2 } },
        operations: [],
        readOnly: false,
        workspace: { attempt: enlisted.attempt, epoch: 77 },
      },
    ]);
    mesh.answer(prepares, votes.yes);
    expect(mesh.replyTo('client')).toMatchObject({ transaction: { state: 'COMMITTING', attempt: { counter: 2 } } });
    mesh.answer(mesh.take(), acknowledge);
    expect(mesh.step({ type: 'commit', transactionId: ID, attempt: enlisted.attempt })).toMatchObject({
      transaction: { state: 'COMMITTED' },
    });
  });

  it('refuses to enlist in an unknown attempt, after prepare began, and with another epoch (T13)', () => {
    const mesh = new Harness();
    const enlisted = enlisting(mesh);
    const wrong = { ...enlisted, attempt: { epoch: 10, counter: 9 } };
    expect(mesh.step({ type: 'enlist', branch: wrong, epoch: 1 })).toMatchObject({ failure: { reason: 'WRONG_ATTEMPT' } });
    mesh.receive({ type: 'enlist', branch: enlisted, epoch: 1 });
    mesh.receive({ type: 'enlist', branch: enlisted, epoch: 1 });
    mesh.receive({ type: 'enlist', branch: enlisted, epoch: 2 });
    const [first, again, lost] = mesh.take();
    expect(first).toEqual({ type: 'enlistAnswer', branch: enlisted, refusal: undefined });
    expect(again).toEqual(first);
    expect(lost).toMatchObject({ refusal: { reason: 'WORKSPACE_LOST' } });
    mesh.step({ type: 'commit', transactionId: ID, attempt: enlisted.attempt });
    expect(mesh.step({ type: 'enlist', branch: enlisted, epoch: 1 })).toMatchObject({ failure: { reason: 'WRONG_ATTEMPT' } });
  });

  it('that was lost in a failover is settled as aborted, durably (T3, T4)', () => {
    const mesh = new Harness();
    const attempt = mesh.begin(ID);
    mesh.restart();
    expect(mesh.step({ type: 'commit', transactionId: ID, attempt })).toMatchObject({
      transaction: { state: 'ABORTED', cause: { reason: 'WORKSPACE_LOST' } },
    });
    expect(mesh.store.has(`transaction/${ID}`)).toBe(true);
    expect(mesh.execute(ID, [branch('inventory')])).toMatchObject({ failure: { reason: 'TRANSACTION_ID_REUSED' } });
  });

  it('is aborted durably when its timeout passes, and its branches are told (T2)', () => {
    const mesh = new Harness();
    const enlisted = enlisting(mesh, mesh.begin(ID, 500));
    mesh.step({ type: 'enlist', branch: enlisted, epoch: 77 });
    mesh.pass(500);
    expect(mesh.take()).toMatchObject([{ type: 'abort', branch: enlisted }]);
    expect(mesh.store.has(`transaction/${ID}`)).toBe(true);
  });

  it('answers a commit that comes after its timeout, and late work, with the abort and its cause (T10)', () => {
    const mesh = new Harness();
    const enlisted = enlisting(mesh, mesh.begin(ID, 500));
    mesh.pass(500);
    for (const when of ['cached', 'read after a failover']) {
      const commit = mesh.step({ type: 'commit', transactionId: ID, attempt: enlisted.attempt });
      expect(commit, when).toMatchObject({ transaction: { state: 'ABORTED', cause: { reason: 'TRANSACTION_TIMEOUT' } } });
      expect(mesh.step({ type: 'enlist', branch: enlisted, epoch: 77 }), when).toMatchObject({ failure: { reason: 'TRANSACTION_TIMEOUT' } });
      mesh.take();
      mesh.receive({ type: 'enlist', branch: enlisted, epoch: 77 });
      expect(mesh.take(), when).toMatchObject([{ type: 'enlistAnswer', refusal: { reason: 'TRANSACTION_TIMEOUT' } }]);
      mesh.restart();
    }
  });

  it('tells a branch whose vote is missing to drop the work under either attempt', () => {
    const mesh = new Harness();
    const enlisted = enlisting(mesh);
    mesh.step({ type: 'enlist', branch: enlisted, epoch: 77 });
    mesh.step({ type: 'commit', transactionId: ID, attempt: enlisted.attempt });
    mesh.take();
    mesh.step({ type: 'abort', transactionId: ID });
    expect(mesh.take().map(({ type, branch: { attempt } }) => [type, attempt.counter])).toEqual([
      ['abort', 2],
      ['abort', 1],
    ]);
  });

  it('with no branch commits at once', () => {
    const mesh = new Harness();
    const attempt = mesh.begin(ID);
    expect(mesh.step({ type: 'commit', transactionId: ID, attempt })).toMatchObject({ transaction: { state: 'COMMITTED' } });
  });

  it('does not hold the low-water mark while it is active (T7)', () => {
    const mesh = new Harness();
    mesh.begin(ID);
    expect(mesh.mark).toEqual({ epoch: 10, counter: 2 });
  });

  it('is not committed under another attempt than the one that it began with', () => {
    const mesh = new Harness();
    mesh.begin(ID);
    const attempt = { epoch: 5, counter: 1 };
    expect(mesh.step({ type: 'commit', transactionId: ID, attempt })).toMatchObject({ failure: { reason: 'WRONG_ATTEMPT' } });
  });
});
