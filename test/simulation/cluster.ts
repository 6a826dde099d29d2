/** The services of the simulated mesh: small, so that everything meets everything. */

import { partitionOf } from '../../services/kernel/hash.ts';
import { COORDINATOR, type Service } from '../../services/runtime/cluster/view.ts';

export const CLUSTER_ID = '00000000-0000-4000-8000-000000000001';
export const PARTICIPANTS = ['money', 'stock'] as const;
export const PARTITIONS = 2;

export const SERVICES: readonly Service[] = [
  { name: COORDINATOR, kind: 'coordinator', partitions: PARTITIONS },
  ...PARTICIPANTS.map((name): Service => ({ name, kind: 'key-value', partitions: PARTITIONS })),
];

/** A key of a participant, and where it lives. */
export interface Place {
  readonly participant: string;
  readonly partition: number;
  readonly key: string;
}

const KEYS_PER_PARTITION = 3;

/** Every key of the workload. */
export const PLACES: readonly Place[] = PARTICIPANTS.flatMap((participant) => {
  const places: Place[] = [];
  for (let number = 0; places.length < KEYS_PER_PARTITION * PARTITIONS; number++) {
    const key = `k${number}`;
    const partition = partitionOf(key, PARTITIONS);
    if (places.filter((place) => place.partition === partition).length < KEYS_PER_PARTITION) {
      places.push({ participant, partition, key });
    }
  }
  return places;
});

export const nameOf = ({ participant, key }: Place): string => `${participant}/${key}`;

export const coordinatorPartition = (transactionId: string): number => partitionOf(transactionId, PARTITIONS);
