import { describe, expect, test } from 'vitest';
import { branch, check, Harness, id, put } from './testing/harness.ts';

const failed = (reason: string): object => ({ type: 'failure', failure: { reason } });

describe('K6 local transactions', () => {
  test('all operations are one write, under one revision', () => {
    const h = new Harness();
    expect(h.local(1, [put('c/a'), put('c/b')])).toEqual({ type: 'done', revision: 1 });
    expect(h.read(['c/a', 'c/b'])!.map(({ version }) => version)).toEqual([1, 1]);
  });

  test('T10 the same id with the same content gets the same outcome, after a restart too', () => {
    const h = new Harness();
    h.local(1, [put('c/a', 'one')]);
    h.local(2, [put('c/a', 'two')]);
    expect(h.local(1, [put('c/a', 'one')])).toEqual({ type: 'done', revision: 1 });
    h.restart();
    expect(h.local(1, [put('c/a', 'one')])).toEqual({ type: 'done', revision: 1 });
    expect(h.value('c/a')).toBe('two');
    expect(h.local(1, [put('c/a', 'other')], { fingerprint: 'g' })).toMatchObject(failed('TRANSACTION_ID_REUSED'));
  });

  test('a refusal is remembered, so a late copy cannot commit after it', () => {
    const h = new Harness();
    h.prepare(branch(9), [put('c/a')]);
    expect(h.local(1, [put('c/a')])).toMatchObject(failed('LOCK_CONFLICT'));
    expect(h.local(2, [check('c/b', 5), put('c/b')])).toMatchObject(failed('PRECONDITION_FAILED'));
    h.tell('abort', branch(9));
    h.restart();
    expect(h.local(1, [put('c/a')])).toMatchObject(failed('LOCK_CONFLICT'));
    expect(h.local(2, [check('c/b', 5), put('c/b')])).toMatchObject(failed('PRECONDITION_FAILED'));
  });

  test('with the bug local-refusal-forgotten it commits', () => {
    const h = new Harness({ bugs: ['local-refusal-forgotten'] });
    h.prepare(branch(9), [put('c/a')]);
    h.local(1, [put('c/a')]);
    h.tell('abort', branch(9));
    expect(h.local(1, [put('c/a')])).toMatchObject({ type: 'done' });
  });

  test('what a bound refused was not executed and is not remembered', () => {
    const h = new Harness({ settings: { maxLocks: 1 } });
    expect(h.local(1, [put('c/a'), put('c/b')])).toMatchObject(failed('OVERLOADED'));
    expect(h.stored('local/')).toEqual([]);
  });

  test('copies that arrive while it waits for a lock get its one outcome', () => {
    const h = new Harness();
    h.prepare(branch(9), [put('c/a')]);
    const waiting = { firstTryMs: 0, deadlineMs: h.nowMs + 900 };
    expect(h.local(1, [put('c/a', 'mine')], waiting)).toBeUndefined();
    expect(h.local(1, [put('c/a', 'mine')], waiting)).toBeUndefined();
    expect(h.local(1, [put('c/a', 'mine')], { ...waiting, fingerprint: 'g' })).toMatchObject(failed('TRANSACTION_ID_REUSED'));
    expect(h.run(h.message({ type: 'commit', branch: branch(9) }))).toEqual([
      { type: 'done', revision: 2 },
      { type: 'done', revision: 2 },
    ]);
  });

  test('one that waited as long as it may is refused for good', () => {
    const h = new Harness();
    h.prepare(branch(9), [put('c/a')]);
    h.local(1, [put('c/a')], { firstTryMs: 0, deadlineMs: h.nowMs + 200 });
    h.pass(200);
    expect(h.replies.at(-1)?.reply).toMatchObject(failed('LOCK_TIMEOUT'));
    h.tell('abort', branch(9));
    expect(h.local(1, [put('c/a')])).toMatchObject(failed('LOCK_TIMEOUT'));
  });

  test('T9 an id at or below the floor without a record is expired', () => {
    const h = new Harness({ settings: { retentionMs: 10_000 } });
    h.local(1, [put('c/a')]);
    h.pass(10_000);
    h.local(2, [put('c/a')], { transactionId: id(2, h.nowMs) });
    h.pass(60_000);
    h.local(3, [put('c/a')], { transactionId: id(3, h.nowMs) });
    h.pass(60_000);
    expect(h.stored('local/')).toHaveLength(0);
    expect(h.local(1, [put('c/a')])).toMatchObject(failed('TRANSACTION_EXPIRED'));
    expect(h.local(4, [put('c/a')])).toMatchObject(failed('TRANSACTION_EXPIRED'));
    h.restart();
    expect(h.local(1, [put('c/a')])).toMatchObject(failed('TRANSACTION_EXPIRED'));
  });

  test('an id too far in the future is refused', () => {
    const h = new Harness();
    expect(h.local(1, [put('c/a')], { transactionId: id(1, h.nowMs + 61_000) })).toMatchObject(failed('TRANSACTION_ID_IN_FUTURE'));
  });
});
