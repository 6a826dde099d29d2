import { expect, test } from 'vitest';
import { Service_Kind, type Cluster } from '../gen/txmesh/cluster/v1/cluster.ts';
import { partitionOf } from '../kernel/hash.ts';
import { ClusterMap } from './cluster-map.ts';
import { FailedPrecondition } from './errors.ts';
import { TestEnvironment } from './testing/test-environment.ts';

const cluster = (leaders: string[], hash = 'fnv1a-32'): Cluster => ({
  clusterId: 'c',
  hash,
  services: [
    { name: 'coordinator', kind: Service_Kind.COORDINATOR, partitions: leaders.map((address, number) => ({ number, address, epoch: 1 })) },
    { name: 'own', kind: Service_Kind.EXTERNAL, partitions: [{ number: 0, address: 'own:1', epoch: 1 }] },
  ],
});

test('a call goes to the leader of its partition, and to any server where none is known', () => {
  const map = new ClusterMap(['seed:1'], new TestEnvironment().clock);
  expect(map.route('coordinator', 'id')).toBe('seed:1');
  map.update(cluster(['a:1', 'b:1', '']));
  for (const id of ['x', 'y', 'z', 'w', 'v', 'u']) {
    const leader = ['a:1', 'b:1', ''][partitionOf(id, 3)]!;
    if (leader === '') expect(['a:1', 'b:1', 'seed:1']).toContain(map.route('coordinator', id));
    else expect(map.route('coordinator', id)).toBe(leader);
  }
});

test('an address that could not be reached is passed over for a while', () => {
  const environment = new TestEnvironment();
  const map = new ClusterMap(['seed:1'], environment.clock);
  map.update(cluster(['a:1']));
  map.avoid('a:1');
  expect([1, 2, 3].map(() => map.route('coordinator', 'id'))).toEqual(['seed:1', 'seed:1', 'seed:1']);
  map.avoid('seed:1');
  expect(['a:1', 'seed:1']).toContain(map.route('coordinator', 'id'));
  environment.advance(1_000);
  expect(map.route('coordinator', 'id')).toBe('a:1');
});

test('only servers of the mesh are asked, no participants outside of it', () => {
  const map = new ClusterMap(['seed:1'], new TestEnvironment().clock);
  map.update(cluster(['a:1', 'a:1']));
  expect(map.known).toEqual(['a:1', 'seed:1']);
});

test('a cluster that routes by another hash is refused (P6)', () => {
  const map = new ClusterMap(['seed:1'], new TestEnvironment().clock);
  expect(() => map.update(cluster(['a:1'], 'murmur'))).toThrow(FailedPrecondition);
});
