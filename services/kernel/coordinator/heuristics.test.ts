import { describe, expect, it } from 'vitest';
import type { BranchId, Heuristic } from '../messages.ts';
import { branch, Harness, idAt, START_MS, votes } from './testing/harness.ts';

const ID = idAt(START_MS, 1);
const TWO = [branch('inventory'), branch('payments')];

function forced(mesh: Harness, id: BranchId, heuristic: Heuristic): void {
  mesh.receive({ type: 'acknowledge', branch: id, heuristic });
}

describe('a forced outcome (T14)', () => {
  it('is recorded before it may be forgotten, and shows the transaction as mixed where it conflicts', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    mesh.answer(mesh.take(), votes.yes);
    const [first, second] = mesh.take();
    forced(mesh, first!.branch, 'abort');
    expect(mesh.writes).toEqual([`put transaction/${ID}`]);
    expect(mesh.take()).toMatchObject([{ type: 'forget', branch: first!.branch }]);
    forced(mesh, first!.branch, 'abort');
    expect(mesh.writes).toEqual([]);
    expect(mesh.take()).toMatchObject([{ type: 'forget' }]);
    forced(mesh, second!.branch, 'commit');
    mesh.take();
    mesh.restart();
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({
      transaction: { state: 'COMMITTED', mixed: true, branches: [{ heuristic: 'abort' }, { heuristic: 'commit' }] },
    });
    mesh.pass(1000);
    expect(mesh.take()).toEqual([]);
  });

  it('that agrees with the decision does not show it as mixed', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    mesh.answer(mesh.take(), votes.yes);
    for (const { branch: told } of mesh.take()) forced(mesh, told, 'commit');
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({ transaction: { state: 'COMMITTED', mixed: false } });
  });

  it('to abort before the decision aborts the transaction', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO, { origin: 'client' });
    const [first, second] = mesh.take();
    mesh.receive(votes.yes(first!.branch));
    mesh.receive(votes.yes({ ...second!.branch, attempt: { epoch: 1, counter: 1 } }));
    forced(mesh, first!.branch, 'abort');
    expect(mesh.replyTo('client')).toMatchObject({ transaction: { state: 'ABORTED', mixed: false } });
    expect(mesh.take().map(({ type }) => type)).toEqual(['forget', 'abort']);
  });

  it('to commit before the decision conflicts if the others refuse', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO, { origin: 'client' });
    const [first, second] = mesh.take();
    forced(mesh, first!.branch, 'commit');
    expect(mesh.take()).toEqual([]);
    mesh.receive(votes.no(second!.branch));
    expect(mesh.replyTo('client')).toMatchObject({ transaction: { state: 'ABORTED', mixed: true } });
    expect(mesh.take()).toMatchObject([{ type: 'forget', branch: first!.branch }]);
  });

  it('of a transaction that is unknown is recorded as a conflict with the abort; of an expired one nothing is said', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    const id = { transactionId: ID, attempt: { epoch: 4, counter: 1 }, coordinatorPartition: 3, participant: 'payments', partition: 0 };
    forced(mesh, id, 'commit');
    const shown = { transaction: { state: 'ABORTED', mixed: true, branches: [{ participant: 'payments', heuristic: 'commit' }] } };
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject(shown);
    mesh.pass(600_000);
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({ failure: { reason: 'TRANSACTION_EXPIRED' } });
    mesh.take();
    forced(mesh, id, 'commit');
    expect(mesh.writes).toEqual([]);
    expect(mesh.take()).toMatchObject([{ type: 'forget' }]);
  });

  it('of an id from the future, which nobody can have been asked about, is not recorded', () => {
    const mesh = new Harness();
    const id = { attempt: { epoch: 4, counter: 1 }, coordinatorPartition: 3, participant: 'payments', partition: 0 };
    forced(mesh, { ...id, transactionId: idAt(mesh.nowMs + 61_000, 1) }, 'commit');
    expect([mesh.writes, mesh.take()]).toEqual([[], []]);
    const soon = idAt(mesh.nowMs + 59_000, 1);
    forced(mesh, { ...id, transactionId: soon }, 'commit');
    expect(mesh.writes).toContain(`put transaction/${soon}`);
  });

  it('under an older attempt never stops the commit of the decided one', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    const [old] = mesh.take();
    mesh.restart();
    mesh.execute(ID, TWO);
    mesh.answer(mesh.take(), votes.yes);
    mesh.take();
    forced(mesh, old!.branch, 'commit');
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({ transaction: { state: 'COMMITTING', mixed: true } });
    mesh.restart();
    mesh.take();
    mesh.pass(10);
    expect(mesh.take().map(({ type }) => type)).toEqual(['commit', 'commit']);
  });
});
