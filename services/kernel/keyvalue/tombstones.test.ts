import { expect, test } from 'vitest';
import { branch, Harness, put, remove, text } from '../participant/testing/harness.ts';
import type { KeyEntry } from './types.ts';

const RETENTION_MS = 5000;

function versioned(historyLimit = 2): Harness {
  return new Harness({ keyValue: { historyLimit, changeRetentionMs: RETENTION_MS } });
}

let transactions = 1000;

/** Time passes, and somebody writes: then the log is trimmed. */
function outlast(h: Harness, ms = RETENTION_MS + 2000): void {
  for (let passed = 0; passed < ms; passed += 1000) {
    h.pass(1000);
    h.local(transactions++, [put('c/clock')]);
  }
  h.pass(1000);
}

function versions(h: Harness, name: string): (string | undefined)[] {
  const [reply] = h.run({ type: 'read', origin: h.origin(), query: { type: 'versions', name }, consistency: 'linearizable', deadlineMs: h.nowMs });
  return reply?.type === 'read' ? reply.answer.entries.map(({ value }: KeyEntry) => text(value)) : [];
}

test('what is left of a deleted key is collected, with its versions, once its deletion is out of retention', () => {
  const h = versioned();
  h.local(1, [put('c/a', '1')]);
  h.local(2, [put('c/a', '2')]);
  h.local(3, [remove('c/a')]);
  outlast(h, 2000);
  expect(versions(h, 'c/a')).toEqual([undefined, '2', '1']);
  outlast(h);
  expect(h.stored('key/c/a')).toEqual([]);
  expect(h.stored('version/c/a')).toEqual([]);
  expect(versions(h, 'c/a')).toEqual([undefined]);
  h.local(4, [put('c/a', '4')]);
  h.restart();
  expect(versions(h, 'c/a')).toEqual(['4']);
});

test('a key that lives again, or was deleted again since, is left alone', () => {
  const h = versioned();
  h.local(1, [put('c/a', '1'), put('c/b', '1')]);
  h.local(2, [remove('c/a'), remove('c/b')]);
  h.pass(4000);
  h.local(3, [put('c/a', '3'), put('c/b', '3')]);
  h.local(4, [remove('c/b')]);
  h.pass(3000);
  h.local(5, [put('c/clock')]);
  h.pass(1000);
  expect(versions(h, 'c/a')).toEqual(['3', undefined, '1']);
  expect(versions(h, 'c/b')).toEqual([undefined, '3', undefined]);
  outlast(h);
  expect(versions(h, 'c/a')).toEqual(['3', undefined, '1']);
  expect(h.stored('key/c/b')).toEqual([]);
});

test('K1 the version of an absent key does not fall when what is left of it is collected', () => {
  const h = versioned();
  h.local(1, [put('c/a')]);
  h.local(2, [remove('c/a')]);
  const before = h.read(['c/a'])![0]!.version;
  outlast(h);
  expect(h.stored('key/c/a')).toEqual([]);
  expect(h.read(['c/a'])![0]!.version).toBe(before);
  h.restart();
  expect(h.read(['c/a'])![0]!.version).toBeGreaterThanOrEqual(before);
});

test('P8 thousands of deletions are collected in steps that each fit one write, and through a failover', () => {
  const h = versioned(100);
  for (let n = 1; n <= 105; n++) h.local(n, [put('c/long', `${n}`)]);
  h.local(200, [remove('c/long')]);
  for (let n = 0; n < 50; n++) {
    const names = Array.from({ length: 20 }, (_, i) => `c/${n}-${i}`);
    h.local(300 + n, names.map((name) => put(name)));
    h.local(400 + n, names.map((name) => remove(name)));
  }
  h.pass(RETENTION_MS + 1000);
  h.local(500, [put('c/clock')]);
  // Some ticks, and the rest under another leader, which counts the retention anew.
  for (let n = 0; n < 4; n++) h.run({ type: 'tick' });
  expect(h.stored('key/').length).toBeGreaterThan(100);
  h.restart();
  outlast(h);
  expect(h.stored('key/')).toEqual(['key/c/clock']);
  expect(h.stored('version/').every((key) => key.startsWith('version/c/clock'))).toBe(true);
});

test('K7 a branch that was prepared on what is collected still commits', () => {
  const h = versioned();
  h.local(1, [put('c/a', '1')]);
  h.local(2, [remove('c/a')]);
  h.prepare(branch(3), [put('c/a', '3')]);
  outlast(h);
  expect(h.stored('key/c/a')).toEqual([]);
  h.tell('commit', branch(3));
  expect(versions(h, 'c/a')).toEqual(['3']);
  h.restart();
  expect(versions(h, 'c/a')).toEqual(['3']);
  h.local(4, [put('c/a', '4')]);
  h.local(5, [put('c/a', '5')]);
  h.local(6, [put('c/a', '6')]);
  expect(versions(h, 'c/a')).toEqual(['6', '5', '4']);
});
