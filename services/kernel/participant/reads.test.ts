import { expect, test } from 'vitest';
import { branch, Harness, put, text } from './testing/harness.ts';

test('K5 a linearizable read of a key under a prepared lock waits for the outcome', () => {
  const h = new Harness();
  h.local(1, [put('c/a', 'old')]);
  h.prepare(branch(2), [put('c/a', 'new')]);
  expect(h.read(['c/a', 'c/b'])).toBeUndefined();
  h.run(h.message({ type: 'commit', branch: branch(2) }));
  expect(h.replies.at(-1)?.reply).toMatchObject({ type: 'read', revision: 2 });
  const { reply } = h.replies.at(-1)!;
  expect(reply.type === 'read' && reply.answer.entries.map(({ value }) => text(value))).toEqual(['new', undefined]);
});

test('with the bug read-ignores-lock it does not', () => {
  const h = new Harness({ bugs: ['read-ignores-lock'] });
  h.prepare(branch(2), [put('c/a', 'new')]);
  expect(h.read(['c/a'])).toHaveLength(1);
});

test('an eventual read answers at once with the last committed version', () => {
  const h = new Harness();
  h.local(1, [put('c/a', 'old')]);
  h.prepare(branch(2), [put('c/a', 'new')]);
  expect(h.value('c/a')).toBe('old');
});

test('a read does not wait for locks taken after it arrived, nor for shared ones', () => {
  const h = new Harness();
  h.prepare(branch(2), [put('c/a'), { type: 'check', name: 'c/b', precondition: 'absent' }]);
  expect(h.read(['c/b'])).toHaveLength(1);
  expect(h.read(['c/a'])).toBeUndefined();
  h.prepare(branch(1), [put('c/a')], { firstTryMs: 0 });
  h.run(h.message({ type: 'commit', branch: branch(2) }));
  expect(h.replies.at(-1)?.reply.type).toBe('read');
});

test('a read by prefix waits for whoever holds a key of it', () => {
  const h = new Harness();
  h.prepare(branch(2), [put('c/ab')]);
  const scan = (prefix: string): unknown[] =>
    h.run({ type: 'read', origin: h.origin(), query: { type: 'prefix', prefix }, consistency: 'linearizable', deadlineMs: h.nowMs + 9 });
  expect(scan('c/b')).toHaveLength(1);
  expect(scan('c/a')).toEqual([]);
  h.pass(10);
  expect(h.replies.at(-1)?.reply).toMatchObject({ failure: { reason: 'DEADLINE_EXCEEDED' } });
});

test('waiting reads are bounded, and can be cancelled', () => {
  const h = new Harness({ settings: { maxWaitingReads: 1 } });
  h.prepare(branch(2), [put('c/a')]);
  const read = { type: 'read', query: { type: 'keys', names: ['c/a'] }, consistency: 'linearizable', deadlineMs: h.nowMs + 9 } as const;
  expect(h.run({ ...read, origin: 'first' })).toEqual([]);
  expect(h.run({ ...read, origin: 'second' })).toMatchObject([{ failure: { reason: 'OVERLOADED' } }]);
  h.run({ type: 'cancel', target: 'first' });
  expect(h.run({ ...read, origin: 'third' })).toEqual([]);
  expect(h.run(h.message({ type: 'abort', branch: branch(2) }))).toHaveLength(1);
});
