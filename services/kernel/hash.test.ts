import { describe, expect, test } from 'vitest';
import { partitionOf, routingKeyFor } from './hash.ts';

describe('a routing key that is found for a partition', () => {
  test.each([1, 2, 3, 4, 7, 16, 64, 100, 128, 256, 1024])('belongs to it, for each of %i', (partitions) => {
    for (let partition = 0; partition < partitions; partition++) {
      const key = routingKeyFor(partition, partitions);
      expect(partitionOf(key, partitions)).toBe(partition);
      expect(key.length).toBeLessThan(5);
    }
  });

  test('is the same one every time, so that a transaction tried again has the same content (T10)', () => {
    expect([0, 1, 2, 3].map((partition) => routingKeyFor(partition, 4))).toEqual([0, 1, 2, 3].map((partition) => routingKeyFor(partition, 4)));
    expect(routingKeyFor(0, 1)).toBe('0');
  });
});
