import { describe, expect, test } from 'vitest';
import { branch, Harness, id, put } from './testing/harness.ts';

const inquiries = (h: Harness): number => h.sent().filter(({ type }) => type === 'inquire').length;

describe('T12 inquiries', () => {
  test('a branch that hears nothing asks after a second, then with growing delays', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    h.pass(999);
    expect(inquiries(h)).toBe(0);
    h.pass(1);
    expect(inquiries(h)).toBe(1);
    h.pass(600_000);
    const asked = inquiries(h);
    expect(asked).toBeGreaterThan(20);
    expect(asked).toBeLessThan(60);
    const [reply] = h.run({ type: 'listPrepared', origin: h.origin(), limit: 10 });
    expect(reply).toMatchObject({ type: 'prepared', branches: [{ branch: branch(1), inquiries: asked + 1 }] });
  });

  test('it goes on after a restart, at once', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    h.restart();
    h.sent();
    h.pass(100);
    expect(inquiries(h)).toBe(1);
  });

  test('it asks soon when somebody waits for its lock, but not at every new one', () => {
    const h = new Harness();
    h.prepare(branch(9), [put('c/a')]);
    for (let n = 8; n > 3; n--) h.prepare(branch(n), [put('c/a')], { firstTryMs: h.nowMs - 10 + n - 9 });
    h.read(['c/a']);
    h.pass(100);
    expect(inquiries(h)).toBe(1);
    h.pass(99);
    h.read(['c/a']);
    expect(inquiries(h)).toBe(0);
    h.pass(2);
    expect(inquiries(h)).toBe(1);
  });

  test('it asks when the mark of a newer epoch arrives', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    h.pass(500);
    h.mark(1, 2);
    h.pass(0);
    expect(inquiries(h)).toBe(1);
  });

  test('it asks no more once it knows', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    h.tell('commit', branch(1));
    h.pass(100_000);
    expect(inquiries(h)).toBe(0);
  });
});

describe('T14 forced outcomes', () => {
  const resolve = (h: Harness, outcome: 'commit' | 'abort', n = 1): unknown =>
    h.run({ type: 'resolve', origin: h.origin(), transactionId: id(n), outcome })[0];

  test('a forced commit writes, frees the locks and is kept until the coordinator has recorded it', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    expect(resolve(h, 'commit')).toEqual({ type: 'resolved', outcome: 'commit' });
    expect(h.value('c/a')).toBe('x');
    expect(h.prepare(branch(2), [put('c/a')])).toMatchObject([{ vote: 'yes' }]);
    h.restart();
    expect(h.tell('abort', branch(1))).toMatchObject([{ type: 'acknowledge', heuristic: 'commit' }]);
    expect(h.value('c/a')).toBe('x');
    expect(h.stored('branch/')).toHaveLength(1);
    h.tell('forget', branch(1));
    expect(h.prepare(branch(1), [put('c/a', 'again')])).toMatchObject([{ type: 'acknowledge', heuristic: 'commit' }]);
    h.mark(9);
    h.pass(1000);
    // What was forced is gone; the other, still prepared, has left its pack.
    expect(h.stored('branch/')).toHaveLength(1);
    expect(h.stored('prepared/')).toEqual([]);
    h.restart();
    expect(h.tell('commit', branch(2))).toMatchObject([{ type: 'acknowledge' }]);
  });

  test('a forced abort writes nothing, also when the outcome is commit', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    resolve(h, 'abort');
    expect(h.tell('commit', branch(1))).toMatchObject([{ type: 'acknowledge', heuristic: 'abort' }]);
    expect(h.value('c/a')).toBeUndefined();
  });

  test('a second force does not change the first, and a newer attempt does not replace it', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    resolve(h, 'commit');
    expect(resolve(h, 'abort')).toEqual({ type: 'resolved', outcome: 'commit' });
    expect(h.prepare(branch(1, 7), [put('c/a', 'again')])).toMatchObject([{ vote: 'no' }]);
    expect(h.value('c/a')).toBe('x');
  });

  test('it keeps asking and is listed until it is forgotten', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    resolve(h, 'commit');
    h.sent();
    h.pass(100_000);
    expect(inquiries(h)).toBeGreaterThan(2);
    const [reply] = h.run({ type: 'listPrepared', origin: h.origin(), limit: 10 });
    expect(reply).toMatchObject({ branches: [{ heuristic: 'commit' }] });
    h.tell('forget', branch(1));
    h.pass(100_000);
    expect(inquiries(h)).toBe(0);
  });

  test('what is not prepared, or under another attempt, is not found', () => {
    const h = new Harness();
    h.prepare(branch(1), [put('c/a')]);
    expect(resolve(h, 'commit', 2)).toMatchObject({ failure: { reason: 'BRANCH_NOT_FOUND' } });
    const attempt = { epoch: 1, counter: 8 };
    const [reply] = h.run({ type: 'resolve', origin: h.origin(), transactionId: id(1), attempt, outcome: 'commit' });
    expect(reply).toMatchObject({ failure: { reason: 'BRANCH_NOT_FOUND' } });
  });
});

test('prepared branches are listed in pages, in the order of their ids', () => {
  const h = new Harness();
  for (const n of [3, 1, 5, 2, 4]) h.prepare(branch(n), [put(`c/${n}`)]);
  const [first] = h.run({ type: 'listPrepared', origin: h.origin(), limit: 3 });
  expect(first).toMatchObject({ branches: [1, 2, 3].map((n) => ({ branch: branch(n) })), next: id(3) });
  const [second] = h.run({ type: 'listPrepared', origin: h.origin(), limit: 3, after: id(3) });
  expect(second).toMatchObject({ branches: [4, 5].map((n) => ({ branch: branch(n) })), next: undefined });
});
