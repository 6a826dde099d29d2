/** The keys that clients work with. */

import { partitionOf } from '../../../services/kernel/hash.ts';
import { participantsOf, PARTITIONS, type Shape } from '../world/cluster.ts';

/** A key of a participant, and where it lives. */
export interface Place {
  readonly participant: string;
  readonly partition: number;
  readonly key: string;
}

export const nameOf = ({ participant, key }: Place): string => `${participant}/${key}`;

const KEYS_PER_PARTITION = 3;
/** What an account holds that was never written. */
export const OPENING = 100;

/** Two accounts and one register in each partition. */
export class Places {
  readonly all: readonly Place[];
  readonly accounts: readonly Place[];
  readonly registers: readonly Place[];

  constructor(shape: Shape) {
    this.all = participantsOf(shape)
      .filter(({ kind }) => kind === 'key-value')
      .flatMap(({ name }) => placesOf(name));
    this.accounts = this.all.filter((_, index) => index % 3 !== 2);
    this.registers = this.all.filter((_, index) => index % 3 === 2);
  }
}

function placesOf(participant: string): Place[] {
  const places: Place[] = [];
  for (let number = 0; places.length < KEYS_PER_PARTITION * PARTITIONS; number++) {
    const key = `k${number}`;
    const partition = partitionOf(key, PARTITIONS);
    if (places.filter((place) => place.partition === partition).length < KEYS_PER_PARTITION) {
      places.push({ participant, partition, key });
    }
  }
  return places;
}
