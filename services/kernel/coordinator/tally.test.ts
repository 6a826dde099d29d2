import { describe, expect, it } from 'vitest';
import type { CoordinatorTally } from './tally.ts';
import { acknowledge, branch, Harness, idAt, START_MS, votes } from './testing/harness.ts';

const ID = idAt(START_MS, 1);
const TWO = [branch('inventory'), branch('payments', 7)];

class Told implements CoordinatorTally {
  readonly lines: string[] = [];
  committed(): void {
    this.lines.push('committed');
  }
  aborted(reason: string): void {
    this.lines.push(`aborted ${reason}`);
  }
  prepared(durationMs: number): void {
    this.lines.push(`prepared in ${durationMs}`);
  }
  completed(durationMs: number): void {
    this.lines.push(`completed in ${durationMs}`);
  }
}

const counting = () => {
  const tally = new Told();
  return { told: tally.lines, mesh: new Harness({ tally }) };
};

describe('a tally', () => {
  it('is told of a commit when it is decided, and when all have acknowledged', () => {
    const { told, mesh } = counting();
    mesh.execute(ID, TWO);
    mesh.pass(20);
    mesh.answer(mesh.take(), votes.yes);
    expect(told).toEqual(['committed', 'prepared in 20']);
    mesh.pass(30);
    mesh.answer(mesh.take(), acknowledge);
    expect(told.slice(2)).toEqual(['completed in 30']);
    mesh.execute(ID, TWO);
    expect(told).toHaveLength(3);
  });

  it('is told whose doing a timeout was', () => {
    const { told, mesh } = counting();
    const aborts = (): string[] => told.splice(0).filter((line) => line.startsWith('aborted'));
    // Begun, and never asked to commit.
    mesh.begin(idAt(START_MS, 2), 500);
    mesh.pass(500);
    expect(aborts()).toEqual(['aborted left']);
    // Too little time for votes that are on their way.
    mesh.execute(idAt(START_MS, 3), TWO, { timeoutMs: 999 });
    mesh.pass(999);
    expect(aborts()).toEqual(['aborted short_timeout']);
    const attempt = mesh.begin(idAt(START_MS, 4), 30_000);
    mesh.step({ type: 'enlist', branch: { transactionId: idAt(START_MS, 4), attempt, coordinatorPartition: 3, participant: 'inventory', partition: 2 }, epoch: 77 });
    mesh.pass(29_500);
    mesh.step({ type: 'commit', transactionId: idAt(START_MS, 4), attempt });
    mesh.pass(500);
    expect(aborts()).toEqual(['aborted short_timeout']);
    // Time enough; or little, but a participant could not be reached.
    mesh.execute(idAt(START_MS, 5), TWO, { timeoutMs: 1000 });
    mesh.pass(1000);
    expect(aborts()).toEqual(['aborted TRANSACTION_TIMEOUT']);
    mesh.take();
    mesh.execute(idAt(START_MS, 6), TWO, { timeoutMs: 500 });
    mesh.receive({ type: 'undelivered', branch: mesh.take()[0]!.branch, failure: { reason: 'NO_LEADER', message: 'nobody' } });
    mesh.pass(500);
    expect(aborts()).toEqual(['aborted TRANSACTION_TIMEOUT']);
  });

  it('is told of an abort once, with its reason, and of none that was decided before', () => {
    const { told, mesh } = counting();
    mesh.execute(ID, TWO);
    mesh.receive(votes.no(mesh.take()[0]!.branch, { reason: 'LOCK_CONFLICT', message: 'held' }));
    expect(told).toEqual(['aborted LOCK_CONFLICT', 'prepared in 0']);
    mesh.step({ type: 'abort', transactionId: ID });
    expect(told).toHaveLength(2);
    mesh.step({ type: 'abort', transactionId: idAt(START_MS, 2) });
    expect(told.slice(2)).toEqual(['aborted ABORTED_BY_REQUEST']);
  });
});

describe('a survey', () => {
  it('counts what is under way by its state, and goes on after a failover', () => {
    const { mesh } = counting();
    const survey = () => mesh.kernel.survey();
    expect(survey()).toEqual({ active: 0, preparing: 0, committing: 0, oldestDecideMs: undefined });
    mesh.begin(idAt(START_MS, 9));
    mesh.execute(ID, TWO);
    expect(survey()).toEqual({ active: 1, preparing: 1, committing: 0, oldestDecideMs: undefined });
    mesh.answer(mesh.take(), votes.yes);
    expect(survey()).toEqual({ active: 1, preparing: 0, committing: 1, oldestDecideMs: START_MS });
    mesh.pass(10);
    mesh.take();
    mesh.restart();
    expect(survey()).toEqual({ active: 0, preparing: 0, committing: 1, oldestDecideMs: START_MS });
    mesh.pass(60_000);
    mesh.answer(mesh.take(), acknowledge);
    expect(survey()).toEqual({ active: 0, preparing: 0, committing: 0, oldestDecideMs: undefined });
  });
});
