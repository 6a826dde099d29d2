/** The services of the simulated meshes: small, so that everything meets everything. */

import { partitionOf } from '../../../services/kernel/hash.ts';
import { COORDINATOR, type Service } from '../../../services/runtime/cluster/view.ts';

export const CLUSTER_ID = '00000000-0000-4000-8000-000000000001';
export const PARTITIONS = 2;

/** Which participants there are: two of one kind, or one of each. */
export const SHAPES = ['keys', 'all kinds'] as const;
export type Shape = (typeof SHAPES)[number];

const PARTICIPANTS: Readonly<Record<Shape, readonly Omit<Service, 'partitions'>[]>> = {
  keys: [
    { name: 'money', kind: 'key-value' },
    { name: 'stock', kind: 'key-value' },
  ],
  'all kinds': [
    { name: 'money', kind: 'key-value' },
    { name: 'queue', kind: 'queue' },
    { name: 'counter', kind: 'counter' },
  ],
};

export function participantsOf(shape: Shape): readonly Service[] {
  return PARTICIPANTS[shape].map((participant) => ({ ...participant, partitions: PARTITIONS }));
}

export function servicesOf(shape: Shape): readonly Service[] {
  return [{ name: COORDINATOR, kind: 'coordinator', partitions: PARTITIONS }, ...participantsOf(shape)];
}

export const coordinatorPartition = (transactionId: string): number => partitionOf(transactionId, PARTITIONS);
