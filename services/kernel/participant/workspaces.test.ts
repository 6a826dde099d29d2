import { describe, expect, test } from 'vitest';
import type { BranchId } from '../messages.ts';
import type { KeyValueOperation } from '../keyvalue/types.ts';
import type { ParticipantReply } from './types.ts';
import { branch, Harness, put, remove, text } from './testing/harness.ts';

const begun = branch(1, 10);
const preparing = branch(1, 20);
const failed = (reason: string): object => ({ type: 'failure', failure: { reason } });

function work(h: Harness, operations: KeyValueOperation[], id: BranchId = begun): ParticipantReply[] {
  return h.run({ type: 'work', origin: h.origin(), branch: id, operations, deadlineMs: h.nowMs + 1000 });
}

function enlist(h: Harness, id: BranchId = begun): ParticipantReply[] {
  return h.run(h.message({ type: 'enlistAnswer', branch: id }));
}

describe('T13 interactive work', () => {
  test('the first work is answered only after the enlistment, which carries the epoch', () => {
    const h = new Harness();
    expect(work(h, [put('c/a')])).toEqual([]);
    expect(h.sent()).toEqual([{ type: 'enlist', branch: begun, epoch: 1 }]);
    expect(enlist(h)).toEqual([{ type: 'done', revision: 0 }]);
    expect(work(h, [put('c/b')])).toEqual([{ type: 'done', revision: 0 }]);
    expect(h.sent()).toEqual([]);
  });

  test('the enlistment is sent again until it is answered', () => {
    const h = new Harness();
    work(h, [put('c/a')]);
    h.pass(5000);
    expect(h.sent().filter(({ type }) => type === 'enlist').length).toBeGreaterThan(3);
  });

  test('a refused enlistment refuses the work', () => {
    const h = new Harness();
    work(h, [put('c/a')]);
    const refusal = { reason: 'WRONG_ATTEMPT', message: 'over' } as const;
    expect(h.run(h.message({ type: 'enlistAnswer', branch: begun, refusal }))).toEqual([{ type: 'failure', failure: refusal }]);
  });

  test('what is staged is prepared and committed as a whole', () => {
    const h = new Harness();
    work(h, [put('c/a', '1')]);
    enlist(h);
    work(h, [put('c/b', '2')]);
    const workspace = { attempt: begun.attempt, epoch: 1 };
    expect(h.prepare(preparing, [], { workspace })).toMatchObject([{ vote: 'yes' }]);
    expect(h.prepare(preparing, [], { workspace })).toMatchObject([{ vote: 'yes' }]);
    h.tell('commit', preparing);
    expect([h.value('c/a'), h.value('c/b')]).toEqual(['1', '2']);
  });

  test('a participant that has restarted since votes no', () => {
    const h = new Harness();
    work(h, [put('c/a')]);
    enlist(h);
    h.restart();
    const vote = h.prepare(preparing, [], { workspace: { attempt: begun.attempt, epoch: 1 } });
    expect(vote).toMatchObject([{ vote: 'no', cause: { reason: 'WORKSPACE_LOST' } }]);
  });

  test('also if later work was staged in the new epoch', () => {
    const h = new Harness();
    work(h, [put('c/a')]);
    enlist(h);
    h.restart();
    work(h, [put('c/b')]);
    enlist(h);
    const vote = h.prepare(preparing, [], { workspace: { attempt: begun.attempt, epoch: 1 } });
    expect(vote).toMatchObject([{ vote: 'no', cause: { reason: 'WORKSPACE_LOST' } }]);
  });

  test('with the bug prepare-without-workspace it votes yes', () => {
    const h = new Harness({ bugs: ['prepare-without-workspace'] });
    const vote = h.prepare(preparing, [], { workspace: { attempt: begun.attempt, epoch: 1 } });
    expect(vote).toMatchObject([{ vote: 'yes' }]);
  });

  test('a workspace that was left alone is lost, and later work is not taken for the whole', () => {
    const h = new Harness({ settings: { workspaceLifetimeMs: 5000 } });
    work(h, [put('c/a')]);
    enlist(h);
    h.pass(5000);
    expect(work(h, [put('c/b')])).toMatchObject([failed('WORKSPACE_LOST')]);
    const vote = h.prepare(preparing, [], { workspace: { attempt: begun.attempt, epoch: 1 } });
    expect(vote).toMatchObject([{ vote: 'no', cause: { reason: 'WORKSPACE_LOST' } }]);
  });

  test('that holds when more are lost than are remembered one by one', () => {
    const h = new Harness({ settings: { workspaceLifetimeMs: 5000, maxWorkspaces: 2 } });
    for (let n = 1; n <= 6; n++) {
      work(h, [put('c/a')], branch(n));
      enlist(h, branch(n));
      h.pass(5000);
    }
    for (let n = 1; n <= 6; n++) expect(work(h, [put('c/b')], branch(n))).toMatchObject([failed('WORKSPACE_LOST')]);
    expect(work(h, [put('c/b')], branch(7))).toEqual([]);
  });

  test('an abort drops the workspace', () => {
    const h = new Harness();
    work(h, [put('c/a')]);
    enlist(h);
    h.tell('abort', begun);
    const vote = h.prepare(preparing, [], { workspace: { attempt: begun.attempt, epoch: 1 } });
    expect(vote).toMatchObject([{ vote: 'no' }]);
  });

  test('an epoch above its own makes the leader step down (P5)', () => {
    const h = new Harness();
    h.prepare(preparing, [], { workspace: { attempt: begun.attempt, epoch: 9 } });
    expect(h.stepDowns).toHaveLength(1);
  });

  test('number, bytes and operations are bounded', () => {
    const h = new Harness({ settings: { maxWorkspaces: 1, maxWorkspaceBytes: 10_000 } });
    work(h, [put('c/a')]);
    enlist(h);
    expect(work(h, [put('c/a')], branch(2))).toMatchObject([failed('OVERLOADED')]);
    expect(work(h, [put('c/a', 'x'.repeat(10_000))])).toMatchObject([failed('OVERLOADED')]);
    expect(work(h, Array.from({ length: 120 }, () => remove('c/a')))).toMatchObject([failed('LIMIT_EXCEEDED')]);
  });
});

describe('reads in a workspace', () => {
  test('see their own writes and what is committed', () => {
    const h = new Harness();
    h.local(7, [put('c/a', 'old'), put('c/b', 'kept')]);
    work(h, [put('c/a', 'mine')]);
    enlist(h);
    expect(h.read(['c/a', 'c/b'], 'linearizable', begun)!.map(({ value }) => text(value))).toEqual(['mine', 'kept']);
    expect(h.value('c/a')).toBe('old');
  });

  test('are validated at prepare', () => {
    const h = new Harness();
    h.local(7, [put('c/a', 'old')]);
    work(h, []);
    enlist(h);
    h.read(['c/a'], 'linearizable', begun);
    work(h, [put('c/b')]);
    h.local(8, [put('c/a', 'changed')]);
    const vote = h.prepare(preparing, [], { workspace: { attempt: begun.attempt, epoch: 1 } });
    expect(vote).toMatchObject([{ vote: 'no', cause: { reason: 'PRECONDITION_FAILED' } }]);
  });

  test('enlist first, when a read is the first work', () => {
    const h = new Harness();
    expect(h.read(['c/a'], 'linearizable', begun)).toBeUndefined();
    expect(h.sent()).toMatchObject([{ type: 'enlist' }]);
    expect(enlist(h)).toMatchObject([{ type: 'read' }]);
  });
});
