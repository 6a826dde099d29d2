import fc from 'fast-check';
import { expect, it } from 'vitest';
import { backoffMs, type Timed, Timers } from './timers.ts';

it('timers come off in the order in which they are due, whatever was set, moved and cancelled', () => {
  const change = fc.record({ timer: fc.nat(19), dueMs: fc.option(fc.nat(100), { nil: undefined }) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), fc.nat(100), (changes, nowMs) => {
      const timers = new Timers<Timed & { readonly name: number }>();
      const all = Array.from({ length: 20 }, (_, name) => ({ name, dueMs: 0, timerIndex: -1 }));
      const expected = new Map<number, number>();
      for (const { timer, dueMs } of changes) {
        if (dueMs === undefined) timers.cancel(all[timer]!);
        else timers.set(all[timer]!, dueMs);
        if (dueMs === undefined) expected.delete(timer);
        else expected.set(timer, dueMs);
        expect(timers.nextMs()).toBe(expected.size === 0 ? undefined : Math.min(...expected.values()));
      }
      expect(timers.size).toBe(expected.size);
      const due: number[] = [];
      for (let next = timers.takeDue(nowMs); next !== undefined; next = timers.takeDue(nowMs)) {
        expect(next.timerIndex).toBe(-1);
        due.push(expected.get(next.name)!);
      }
      expect(due).toEqual([...expected.values()].filter((dueMs) => dueMs <= nowMs).sort((a, b) => a - b));
    }),
  );
});

it('a backoff doubles up to its cap, and takes any part of it (T12)', () => {
  const backoff = { baseMs: 50, capMs: 30_000 };
  expect(backoffMs(backoff, 1, 1)).toBe(50);
  expect(backoffMs(backoff, 2, 1)).toBe(100);
  expect(backoffMs(backoff, 5, 0.5)).toBe(400);
  expect(backoffMs(backoff, 5, 0)).toBe(0);
  expect(backoffMs(backoff, 1_000_000, 1)).toBe(30_000);
});
