/** What transactions do with counters. */

import type { CounterOperation } from '../../../services/kernel/counter/types.ts';
import type { Step } from '../work/step.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { opaqueOf } from '../world/opaque.ts';
import { COUNTER, homeOfCounter } from './plan.ts';

export function addTo(counter: string, amount: bigint): Step {
  const operation: CounterOperation = { type: 'add', name: counter, amount };
  return { participant: COUNTER, partition: homeOfCounter({ name: counter }), readOnly: false, operation: opaqueOf(operation) };
}

/** Changes the number of shards, at every partition in one transaction. */
export function reshard(counter: string, shards: number): Step[] {
  const operation: CounterOperation = { type: 'update', name: counter, bounds: undefined, shards };
  return Array.from({ length: PARTITIONS }, (_, partition) => ({
    participant: COUNTER,
    partition,
    readOnly: false,
    operation: opaqueOf(operation),
  }));
}
