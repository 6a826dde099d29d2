/** Creates the counters: those that are spread at every partition, the others at home. */

import { isEverywhere } from '../../../services/kernel/counter/placement.ts';
import { PARTITIONS } from '../world/cluster.ts';
import type { Creation } from '../world/setup.ts';
import { COUNTER, COUNTERS, creationOf, homeOfCounter } from './plan.ts';

export function counterCreations(): Creation[] {
  return COUNTERS.flatMap((counter) => {
    const partitions = isEverywhere(counter.kind) ? Array.from({ length: PARTITIONS }, (_, partition) => partition) : [homeOfCounter(counter)];
    return partitions.map((partition) => ({ service: COUNTER, partition, operation: creationOf(counter) }));
  });
}
