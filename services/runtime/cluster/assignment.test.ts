import { expect, it } from 'vitest';
import { assignPartitions } from './assignment.ts';

const replicas = (count: number): string[] => Array.from({ length: count }, (_, i) => `replica-${i}`);

it('shares out all partitions, and no two replicas differ by more than one', () => {
  for (let count = 1; count <= 9; count++)
    for (const partitions of [1, 3, 4, 16, 61]) {
      const owners = assignPartitions('bank', partitions, replicas(count));
      const shares = replicas(count).map((replica) => owners.filter((owner) => owner === replica).length);
      expect(owners).toHaveLength(partitions);
      expect(Math.max(...shares) - Math.min(...shares), `${partitions} over ${count}`).toBeLessThanOrEqual(1);
    }
});

it('does not depend on the order in which replicas are seen, and moves few partitions when one joins', () => {
  const before = assignPartitions('bank', 64, replicas(4));
  expect(assignPartitions('bank', 64, replicas(4).reverse())).toEqual(before);
  const after = assignPartitions('bank', 64, replicas(5));
  expect(after.filter((owner, partition) => owner !== before[partition]).length).toBeLessThan(40); // Sharing out by modulo would move 51.
});

it('without replicas there is nobody', () => {
  expect(assignPartitions('bank', 4, [])).toEqual([]);
});
