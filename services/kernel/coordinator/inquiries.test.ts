import { describe, expect, it } from 'vitest';
import { acknowledge, branch, Harness, idAt, START_MS, votes } from './testing/harness.ts';

const ID = idAt(START_MS, 1);
const ONE = [branch('inventory')];

describe('an inquiry', () => {
  it('is answered pending while preparing, with the outcome once decided, by message and by call (T4, T6)', () => {
    const mesh = new Harness();
    mesh.execute(ID, ONE);
    const [prepare] = mesh.take();
    const asked = { type: 'inquire', branch: prepare!.branch } as const;
    expect(mesh.step(asked)).toEqual({ type: 'inquiry', outcome: 'pending' });
    mesh.receive(asked);
    expect(mesh.take()).toMatchObject([{ type: 'pending' }]);
    mesh.receive(votes.yes(prepare!.branch));
    expect(mesh.step(asked)).toEqual({ type: 'inquiry', outcome: 'committed' });
    mesh.receive(acknowledge(prepare!.branch));
    mesh.restart();
    expect(mesh.step(asked)).toEqual({ type: 'inquiry', outcome: 'committed' });
  });

  it('about an unknown transaction is answered aborted (T3)', () => {
    const mesh = new Harness();
    mesh.execute(ID, ONE);
    const [prepare] = mesh.take();
    mesh.restart();
    mesh.receive({ type: 'inquire', branch: prepare!.branch });
    expect(mesh.take()).toMatchObject([{ type: 'abort', branch: prepare!.branch }]);
  });

  it('about another attempt is answered aborted, also where the transaction has committed (T6)', () => {
    for (const bug of [undefined, 'attempt-ignored-in-inquiry'] as const) {
      const mesh = new Harness({}, bug === undefined ? [] : [bug]);
      mesh.execute(ID, ONE);
      const [old] = mesh.take();
      mesh.restart();
      mesh.execute(ID, ONE);
      const [prepare] = mesh.take();
      expect(prepare!.branch.attempt).toEqual({ epoch: 20, counter: 1 });
      const asked = { type: 'inquire', branch: old!.branch } as const;
      expect(mesh.step(asked)).toEqual({ type: 'inquiry', outcome: bug ? 'pending' : 'aborted' });
      mesh.receive(votes.yes(prepare!.branch));
      const expected = { type: 'inquiry', outcome: bug ? 'committed' : 'aborted' };
      expect(mesh.step(asked)).toEqual(expected);
      mesh.answer(mesh.take(), acknowledge);
      expect(mesh.step(asked)).toEqual(expected);
    }
  });

  it('about an epoch above its own ends the term instead of being answered (P5)', () => {
    const mesh = new Harness();
    const asked = { transactionId: ID, attempt: { epoch: 99, counter: 1 }, coordinatorPartition: 3, participant: 'inventory', partition: 0 };
    expect(mesh.step({ type: 'inquire', branch: asked })).toMatchObject({ failure: { reason: 'WRONG_ATTEMPT' } });
    expect(mesh.stepDowns).toEqual([]);
    mesh.receive({ type: 'inquire', branch: asked });
    expect(mesh.take()).toEqual([]);
    expect(mesh.stepDowns).toHaveLength(1);
  });
});
