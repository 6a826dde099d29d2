import { describe, expect, test } from 'vitest';
import type { BranchId } from '../messages.ts';
import type { PreparedRecord } from './types.ts';
import { branch, Harness, id, put } from './testing/harness.ts';

function prepareTogether(h: Harness, branches: readonly BranchId[], value = 'x'): void {
  const { nowMs } = h;
  const more = { firstTryMs: nowMs, deadlineMs: nowMs + 1000, readOnly: false };
  h.run(...branches.map((each) => h.message({ type: 'prepare', branch: each, operations: [put(`c/${each.transactionId}`, value)], ...more })));
}

const counters = (record: unknown): number[] => (record as PreparedRecord<unknown>).branches.map(({ attempt }) => attempt.counter);

describe('packs of promises', () => {
  test('what is prepared in one batch is one record', () => {
    const h = new Harness();
    prepareTogether(h, [branch(1), branch(2), branch(3)]);
    expect(h.stored('prepared/').map((key) => counters(h.store.get(key)))).toEqual([[1, 2, 3]]);
    expect(h.stored('branch/')).toEqual([]);
    h.restart();
    expect(h.tell('commit', branch(2))).toMatchObject([{ type: 'acknowledge' }]);
    expect(h.value(`c/${id(2)}`)).toBe('x');
  });

  test('a batch of many makes several, each far below what the store takes', () => {
    const h = new Harness();
    const branches = Array.from({ length: 200 }, (_, n) => branch(n + 1));
    prepareTogether(h, branches, 'x'.repeat(3000));
    const packs = h.stored('prepared/').map((key) => counters(h.store.get(key)));
    expect(packs.length).toBeGreaterThan(1);
    expect(packs.flat()).toHaveLength(200);
    for (const pack of packs) expect(pack.length * 3000).toBeLessThan(400_000);
  });

  test('a pack goes when the marks of all its coordinator partitions have passed it', () => {
    const h = new Harness();
    const other = { ...branch(2), coordinatorPartition: 2 };
    prepareTogether(h, [branch(1), other]);
    h.run(h.message({ type: 'commit', branch: branch(1) }), h.message({ type: 'commit', branch: other }));
    h.mark(9);
    h.pass(5000);
    expect(h.stored('prepared/')).toHaveLength(1);
    h.run({ type: 'mark', coordinatorPartition: 2, lowWaterMark: { epoch: 1, counter: 9 } });
    h.pass(5000);
    expect(h.stored('prepared/')).toEqual([]);
    expect(h.stored('done/')).toEqual([]);
  });

  test('what still waits when its pack goes keeps its promise in a record of its own', () => {
    const h = new Harness();
    prepareTogether(h, [branch(1), branch(2), branch(3)]);
    h.run(h.message({ type: 'commit', branch: branch(1) }), h.message({ type: 'abort', branch: branch(3) }));
    h.mark(9);
    h.pass(5000);
    expect(h.stored('prepared/')).toEqual([]);
    expect(h.stored('branch/')).toHaveLength(1);
    h.restart();
    expect(h.tell('commit', branch(2))).toMatchObject([{ type: 'acknowledge' }]);
    expect([1, 2, 3].map((n) => h.value(`c/${id(n)}`))).toEqual(['x', 'x', undefined]);
    expect(h.stored('branch/')).toEqual([]);
  });

  test('T14 a forced outcome counts, not what the pack says', () => {
    const h = new Harness();
    prepareTogether(h, [branch(1), branch(2)]);
    h.run({ type: 'resolve', origin: 'operator', transactionId: id(1), outcome: 'abort' });
    h.restart();
    expect(h.tell('commit', branch(1))).toMatchObject([{ type: 'acknowledge', heuristic: 'abort' }]);
    expect(h.value(`c/${id(1)}`)).toBeUndefined();
    expect(h.tell('commit', branch(2))).toMatchObject([{ type: 'acknowledge' }]);
  });

  test('packs of a later term do not overwrite those of an earlier one', () => {
    const h = new Harness();
    prepareTogether(h, [branch(1)]);
    h.restart();
    prepareTogether(h, [branch(2)]);
    h.restart();
    expect(h.promises(branch(1)) && h.promises(branch(2))).toBe(true);
  });

  test('the first pack of a term stores the progress, whose format an earlier version refuses', () => {
    const h = new Harness();
    prepareTogether(h, [branch(1)]);
    expect(h.stored('progress')).toHaveLength(1);
  });
});
