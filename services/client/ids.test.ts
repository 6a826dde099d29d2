import { expect, test } from 'vitest';
import { idTimeMs, isTransactionId } from '../kernel/transaction-id.ts';
import { newTransactionId } from './ids.ts';

test('ids are UUIDv7 that carry their time, differ, and ascend', () => {
  const ids = Array.from({ length: 20_000 }, () => newTransactionId(1_800_000_000_000));
  expect(ids.every(isTransactionId)).toBe(true);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.toSorted()).toEqual(ids);
  expect(idTimeMs(ids[0]!)).toBe(1_800_000_000_000);
});

test('ids follow a wall clock that was set back, so that they are not refused as from the future', () => {
  newTransactionId(1_900_000_000_000);
  expect(idTimeMs(newTransactionId(1_800_000_500_000))).toBe(1_800_000_500_000);
});
