import { expect, test } from 'vitest';
import { backoffDelayMs } from './backoff.ts';

const backoff = { firstMs: 10, capMs: 1_000 };

test('delays are anywhere below a bound that doubles with every try up to the cap', () => {
  const bounds = [1, 2, 3, 7, 8, 100].map((tries) => backoffDelayMs(backoff, tries, 0.9999));
  expect(bounds).toEqual([9, 19, 39, 639, 999, 999]);
  expect(backoffDelayMs(backoff, 5, 0)).toBe(0);
});

test('a delay that the server asks for is the least', () => {
  expect(backoffDelayMs(backoff, 1, 0, 300)).toBe(300);
  expect(backoffDelayMs(backoff, 1, 0.5, 300)).toBe(305);
});
