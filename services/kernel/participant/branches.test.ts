import { describe, expect, test } from 'vitest';
import { branch, check, Harness, id, put, remove } from './testing/harness.ts';

const yes = { type: 'vote', vote: 'yes' };
const no = (reason: string): object => ({ type: 'vote', vote: 'no', cause: { reason } });

describe('prepare and vote', () => {
  test('a yes is a promise: the write that commit will make is stored, and nothing is visible', () => {
    const h = new Harness();
    expect(h.prepare(branch(1), [put('c/a', 'one')])).toMatchObject([yes]);
    expect(h.promises(branch(1))).toBe(true);
    expect(h.value('c/a')).toBeUndefined();
    expect(h.tell('commit', branch(1))).toMatchObject([{ type: 'acknowledge' }]);
    expect(h.value('c/a')).toBe('one');
  });

  test('T12 a prepared branch keeps its promise through crashes', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a', 'one')]);
    h.restart();
    h.tell('commit', branch(1));
    h.restart();
    expect(h.value('c/a')).toBe('one');
  });

  test('K2 locks are restored at recovery', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    h.restart();
    expect(h.prepare(branch(2), [put('c/a')])).toMatchObject([no('LOCK_CONFLICT')]);
  });

  test('with the bug locks-dropped-at-restart they are not, which replay equality (P3) sees', () => {
    const h = new Harness({ bugs: ['locks-dropped-at-restart'] });
    expect(() => h.prepare(branch(1), [check('c/a', 'absent')])).toThrow('replay equality');
  });

  test('an aborted branch leaves no trace in the data', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    expect(h.tell('abort', branch(1))).toEqual([]);
    expect(h.value('c/a')).toBeUndefined();
    expect(h.prepare(branch(2), [put('c/a')])).toMatchObject([yes]);
  });

  test('a refused branch holds nothing', () => {
    const h = new Harness();
    expect(h.prepare(branch(1), [check('c/a', 7)])).toMatchObject([no('PRECONDITION_FAILED')]);
    expect(h.stored('')).toEqual([]);
    expect(h.prepare(branch(2), [put('c/a')])).toMatchObject([yes]);
  });

  test('T11 a read-only branch is validated and holds nothing', () => {
    const h = new Harness();
    const read = h.prepare(branch(1), [check('c/a', 'absent')], { readOnly: true });
    expect(read).toMatchObject([{ vote: 'readOnly' }]);
    expect(h.stored('')).toEqual([]);
    expect(h.prepare(branch(2), [put('c/a')])).toMatchObject([yes]);
  });

  test('checks of a branch that writes hold shared locks until the outcome', () => {
    const h = new Harness();
    h.prepare(branch(1), [check('c/a', 'absent'), put('c/b')]);
    expect(h.prepare(branch(2), [check('c/a', 'absent'), put('c/c')])).toMatchObject([yes]);
    expect(h.prepare(branch(3), [put('c/a')])).toMatchObject([no('LOCK_CONFLICT')]);
  });

  test('K4 validating a read waits for a lock held by another transaction, or fails', () => {
    const h = new Harness();
    h.prepare(branch(2), [put('c/a')]);
    expect(h.prepare(branch(3), [check('c/a', 'absent')], { readOnly: true })).toMatchObject([no('LOCK_CONFLICT')]);
    const older = { readOnly: true, firstTryMs: h.nowMs - 1 };
    expect(h.prepare(branch(1), [check('c/a', 'absent')], older)).not.toContainEqual(expect.objectContaining({ type: 'vote' }));
    expect(h.tell('commit', branch(2))).toMatchObject([{ type: 'acknowledge' }, no('PRECONDITION_FAILED')]);
  });

  test('with the bug validation-ignores-lock it passes', () => {
    const h = new Harness({ bugs: ['validation-ignores-lock'] });
    h.prepare(branch(2), [put('c/a')]);
    expect(h.prepare(branch(3), [check('c/a', 'absent')], { readOnly: true })).toMatchObject([{ vote: 'readOnly' }]);
  });

  test('a unary caller gets the vote as a reply, and no message is sent', () => {
    const h = new Harness();
    const prepare = { type: 'prepare', branch: branch(1), operations: [put('c/a')], firstTryMs: 0, deadlineMs: 0, readOnly: false } as const;
    expect(h.run(h.message(prepare, h.origin()))).toMatchObject([yes]);
    expect(h.run(h.message({ type: 'commit', branch: branch(1) }, h.origin()))).toEqual([{ type: 'acknowledged' }]);
    expect(h.run(h.message(prepare, h.origin()))).toMatchObject([yes]);
    expect(h.run(h.message({ type: 'abort', branch: branch(9) }, h.origin()))).toEqual([{ type: 'acknowledged' }]);
    expect(h.sent()).toEqual([]);
  });
});

describe('T5 attempts', () => {
  test('the same attempt again gets the same vote, and is prepared once', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    expect(h.prepare(branch(1), [put('c/a')])).toMatchObject([yes]);
    expect(h.stored('prepared/')).toHaveLength(1);
  });

  test('an older attempt than the one held is ignored', () => {
    const h = new Harness();
    h.prepare(branch(1, 5), [put('c/a', 'new')]);
    expect(h.prepare(branch(1, 4), [put('c/a', 'old')])).toEqual([]);
    h.tell('abort', branch(1, 4));
    h.tell('commit', branch(1, 5));
    expect(h.value('c/a')).toBe('new');
  });

  test('a newer attempt replaces an older one and its locks', () => {
    const h = new Harness();
    h.prepare(branch(1, 4), [put('c/a', 'old')]);
    expect(h.prepare(branch(1, 5), [put('c/b', 'new')])).toMatchObject([{ ...yes, branch: { attempt: { counter: 5 } } }]);
    expect(h.prepare(branch(2, 6), [put('c/a')])).toMatchObject([yes]);
    h.tell('commit', branch(1, 5));
    expect([h.value('c/a'), h.value('c/b')]).toEqual([undefined, 'new']);
  });

  test('an outcome of another attempt changes nothing', () => {
    const h = new Harness();
    h.prepare(branch(1, 5), [put('c/a')]);
    h.tell('abort', branch(1, 4));
    h.tell('abort', branch(1, 6));
    h.tell('commit', branch(1, 5));
    expect(h.value('c/a')).toBe('x');
  });

  test('with the bug attempt-ignored-in-prepare it does', () => {
    const h = new Harness({ bugs: ['attempt-ignored-in-prepare'] });
    h.prepare(branch(1, 4), [put('c/a')]);
    expect(h.prepare(branch(1, 5), [put('c/a')])).toMatchObject([{ ...yes, branch: { attempt: { counter: 5 } } }]);
    h.tell('abort', branch(1, 4));
    h.tell('commit', branch(1, 5));
    expect(h.value('c/a')).toBeUndefined();
  });

  test('the same id from another coordinator partition is refused', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    expect(h.prepare({ ...branch(1), coordinatorPartition: 2 }, [put('c/a')])).toMatchObject([no('PARTITION_MISMATCH')]);
  });
});

test('two transactions under one attempt, against T5, do not harm the one that was first', () => {
  const h = new Harness();
  h.prepare(branch(1, 5), [put('c/a', 'first')]);
  expect(h.prepare(branch(2, 5), [put('c/b')])).toMatchObject([no('WRONG_ATTEMPT')]);
  h.tell('abort', branch(2, 5));
  h.restart();
  h.tell('commit', branch(1, 5));
  expect(h.value('c/a')).toBe('first');
});

describe('lock waits', () => {
  const older = (h: Harness): object => ({ firstTryMs: h.nowMs - 1000 });

  test('an older transaction waits and is granted after the outcome', () => {
    const h = new Harness();
    h.prepare(branch(2), [put('c/a', 'young')]);
    expect(h.prepare(branch(1), [put('c/a', 'old', { precondition: 'absent' })], older(h))).toEqual([]);
    expect(h.tell('abort', branch(2))).toMatchObject([yes]);
  });

  test('K2 waits are bounded in time', () => {
    const h = new Harness();
    h.prepare(branch(2), [put('c/a')]);
    h.prepare(branch(1), [put('c/a')], { ...older(h), deadlineMs: h.nowMs + 400 });
    h.pass(399);
    expect(h.sent().filter(({ type }) => type === 'vote')).toEqual([]);
    h.pass(1);
    expect(h.sent()).toContainEqual(expect.objectContaining({ vote: 'no', cause: expect.objectContaining({ reason: 'LOCK_TIMEOUT' }) }));
  });

  test('K2 waiters and locks are bounded in number', () => {
    const h = new Harness({ settings: { maxLockWaiters: 1, maxLocks: 2 } });
    h.prepare(branch(9), [put('c/a')]);
    h.prepare(branch(5), [put('c/a')], { firstTryMs: h.nowMs - 5 });
    expect(h.prepare(branch(4), [put('c/a')], { firstTryMs: h.nowMs - 6 })).toMatchObject([no('LOCK_CONFLICT')]);
    expect(h.prepare(branch(3), [put('c/x'), put('c/y')])).toMatchObject([no('OVERLOADED')]);
  });

  test('a waiting branch that is aborted gives up its place', () => {
    const h = new Harness();
    h.prepare(branch(2), [put('c/a')]);
    h.prepare(branch(1), [put('c/a')], older(h));
    h.tell('abort', branch(1));
    expect(h.tell('commit', branch(2))).toMatchObject([{ type: 'acknowledge' }]);
    expect(h.prepare(branch(3), [put('c/a')])).toMatchObject([yes]);
  });

  test('T7 a branch that the mark has passed while it waited is refused', () => {
    const h = new Harness();
    h.prepare(branch(2), [put('c/a')]);
    h.prepare(branch(1), [put('c/a')], older(h));
    h.mark(3);
    expect(h.tell('abort', branch(2))).toMatchObject([no('WRONG_ATTEMPT')]);
    expect(h.stored('prepared/')).toHaveLength(1);
    h.pass(2000);
    expect(h.stored('prepared/')).toEqual([]);
  });

  test('a branch that is aborted between grant and evaluation is not prepared', () => {
    const h = new Harness();
    h.prepare(branch(2), [put('c/a')]);
    h.prepare(branch(1), [put('c/a')], older(h));
    h.sent();
    h.run(h.message({ type: 'abort', branch: branch(2) }), h.message({ type: 'abort', branch: branch(1) }));
    expect(h.sent()).toEqual([]);
    expect(h.prepare(branch(3), [put('c/a')])).toMatchObject([yes]);
  });
});

describe('T7 low-water mark', () => {
  test('a late prepare of a committed attempt is acknowledged, not prepared', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    h.tell('commit', branch(1));
    h.restart();
    expect(h.prepare(branch(1), [put('c/a')])).toMatchObject([{ type: 'acknowledge' }]);
    expect(h.value('c/a')).toBe('x');
  });

  test('prepares below the mark are refused', () => {
    const h = new Harness();
    h.mark(5);
    expect(h.prepare(branch(4), [put('c/a')])).toMatchObject([no('WRONG_ATTEMPT')]);
    expect(h.prepare(branch(5), [put('c/a')])).toMatchObject([yes]);
  });

  test('what ended is forgotten only when the mark has passed it, around what is still prepared', () => {
    const h = new Harness();
    for (let n = 1; n <= 9; n++) h.prepare(branch(n), [put(`c/${n}`)]);
    for (let n = 1; n <= 9; n++) if (n !== 4) h.tell('commit', branch(n));
    h.pass(1000);
    expect(h.stored('prepared/')).toHaveLength(9);
    h.mark(8);
    h.pass(1000);
    expect(h.stored('prepared/')).toHaveLength(2);
    expect(h.stored('branch/')).toHaveLength(1);
    h.restart();
    expect(h.prepare(branch(9), [put('c/9')])).toMatchObject([{ type: 'acknowledge' }]);
    expect(h.prepare(branch(2), [put('c/2')])).toMatchObject([no('WRONG_ATTEMPT')]);
    expect(h.tell('commit', branch(4))).toMatchObject([{ type: 'acknowledge' }]);
    expect(h.value('c/4')).toBe('x');
    h.mark(10);
    h.pass(5000);
    expect(h.stored('branch/')).toEqual([]);
    expect(h.stored('prepared/')).toEqual([]);
    expect(h.stored('done/')).toEqual([]);
  });

  test('the mark is stored in the write that forgets', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    h.tell('commit', branch(1));
    h.mark(2);
    h.pass(1000);
    expect(h.stored('done/')).toEqual([]);
    h.restart();
    expect(h.prepare(branch(1), [put('c/a')])).toMatchObject([no('WRONG_ATTEMPT')]);
  });

  test('with the bug forget-below-no-mark a late prepare is prepared again', () => {
    const h = new Harness({ bugs: ['forget-below-no-mark'] });
    h.prepare(branch(1), [put('c/a')]);
    h.tell('commit', branch(1));
    expect(h.prepare(branch(1), [put('c/a')])).toMatchObject([yes]);
  });

  test('one coordinator partition that stands still does not keep the others from forgetting', () => {
    const h = new Harness();
    const other = { ...branch(50), coordinatorPartition: 2 };
    h.prepare(other, [put('c/other')]);
    h.prepare(branch(1), [put('c/1')]);
    h.run(h.message({ type: 'commit', branch: other }), h.message({ type: 'commit', branch: branch(1) }));
    for (let n = 2; n <= 20; n++) {
      h.prepare(branch(n), [put(`c/${n}`)]);
      h.tell('commit', branch(n));
      h.mark(n);
      h.pass(1000);
    }
    h.mark(21);
    h.pass(2000);
    expect(h.stored('prepared/')).toHaveLength(1);
    expect(h.stored('done/')).toHaveLength(1);
  });

  test('a large branch record goes when the branch ends', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a', 'x'.repeat(5000))]);
    expect(h.stored('branch/')).toHaveLength(1);
    h.tell('commit', branch(1));
    expect(h.stored('branch/')).toEqual([]);
    expect(h.prepare(branch(1), [put('c/a')])).toMatchObject([{ type: 'acknowledge' }]);
  });

  test('hundreds that are in doubt below the mark are stepped around a few at a time', () => {
    const h = new Harness();
    for (let n = 1; n <= 100; n++) h.prepare(branch(n), [put(`c/${n}`)]);
    for (let n = 2; n <= 100; n += 2) h.tell('commit', branch(n));
    h.mark(101);
    h.pass(20_000);
    expect(h.stored('branch/')).toHaveLength(50);
    expect(h.stored('prepared/')).toEqual([]);
    expect(h.stored('done/')).toEqual([]);
    for (let n = 1; n <= 100; n += 2) h.tell('abort', branch(n));
    expect(h.stored('branch/')).toEqual([]);
    expect(h.value('c/1')).toBeUndefined();
    expect(h.value('c/2')).toBe('x');
  });
});

test('deletes are carried out at commit and are idempotent', () => {
  const h = new Harness();
  h.local(1, [put('c/a'), put('c/b')]);
  h.prepare(branch(2), [remove('c/a'), remove('c/never')]);
  h.tell('commit', branch(2));
  h.tell('commit', branch(2));
  expect([h.value('c/a'), h.value('c/b')]).toEqual([undefined, 'x']);
  expect(id(1) < id(2)).toBe(true);
});
