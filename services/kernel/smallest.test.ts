import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { smallestAbove } from './smallest.ts';

test('what is found is the beginning of the sorted texts above, whatever order they come in', () => {
  const texts = fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 60 });
  fc.assert(
    fc.property(texts, fc.string({ maxLength: 3 }), fc.integer({ min: 1, max: 20 }), (all, after, limit) => {
      const above = all.filter((text) => text > after).sort();
      expect(smallestAbove(all, after, limit)).toEqual(above.slice(0, limit));
    }),
    { numRuns: 1000 },
  );
});

test('of very many only a few are sorted', () => {
  // Ascending, as ids by time are; each is looked at once, and those behind the page are not kept.
  let compared = 0;
  function* ids(): Generator<string> {
    for (let i = 0; i < 100_000; i++, compared++) yield i.toString().padStart(6, '0');
  }
  const sort = vi.spyOn(Array.prototype, 'sort');
  onTestFinished(() => sort.mockRestore());
  expect(smallestAbove(ids(), '', 10)).toEqual(Array.from({ length: 10 }, (_, i) => i.toString().padStart(6, '0')));
  expect(compared).toBe(100_000);
  expect(Math.max(...sort.mock.contexts.map((array) => (array as unknown[]).length))).toBeLessThanOrEqual(20);
});
