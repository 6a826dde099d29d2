/** What transactions do with counters. */

import { AddOperation } from '../../../services/gen/txmesh/counter/v1/counter.ts';
import { ConfigureOperation } from '../../../services/gen/txmesh/counter/v1/counter_operation.ts';
import type { Step } from '../work/step.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { COUNTER, homeOfCounter } from './plan.ts';

const PACKAGE = 'type.googleapis.com/txmesh.counter.v1.';

export function addTo(counter: string, amount: bigint): Step {
  const value = AddOperation.encode({ counter, amount }).finish();
  return { participant: COUNTER, partition: homeOfCounter({ name: counter }), readOnly: false, operation: { typeUrl: `${PACKAGE}AddOperation`, value } };
}

/** Changes the number of shards, at every partition in one transaction. */
export function reshard(counter: string, shards: number): Step[] {
  const change = { $case: 'update', value: { bounds: undefined, shards } } as const;
  const value = ConfigureOperation.encode({ counter, change }).finish();
  return Array.from({ length: PARTITIONS }, (_, partition) => ({
    participant: COUNTER,
    partition,
    readOnly: false,
    operation: { typeUrl: `${PACKAGE}ConfigureOperation`, value },
  }));
}
