/** Adds to one hot counter. */

import { Consistency, CounterServiceClient, Kind, type GetRequest, type GetResponse } from '../../../services/gen/txmesh/counter/v1/counter.ts';
import { load } from '../processes.ts';
import { hosting, withServers, type StoreName } from '../servers.ts';
import { call, openClient } from '../streams.ts';
import { rowOf, type Conditions, type Workload } from '../workload.ts';
import type { CounterLoad, CounterReport } from './client.ts';

const IN_FLIGHT = [1, 64, 1024];
const COUNTER = 'hot';

interface Shape {
  readonly kind: Kind;
  /** A sharded counter lies on several. */
  readonly partitions: number;
  /** What runs on etcd: the coordinator, and one or two replicas of the counter service. */
  readonly processes: readonly (readonly string[])[];
}

const COORDINATOR = hosting({ coordinator: true });
const REPLICA = hosting({ counters: 'counter' });

const SHAPES = {
  strong: { kind: Kind.STRONG, partitions: 1, processes: [REPLICA, COORDINATOR] },
  sharded: { kind: Kind.SHARDED, partitions: 4, processes: [REPLICA, REPLICA, COORDINATOR] },
} as const satisfies Record<string, Shape>;

function adds(name: keyof typeof SHAPES, store: StoreName, inFlight: number): Workload {
  const { kind, partitions, processes } = SHAPES[name];
  const self: Workload = {
    workload: `counter-${name}`,
    store,
    inFlight,
    measure: ({ warmUpSeconds, seconds, flags }: Conditions) =>
      withServers({ store, partitions, processes, flags }, async (servers) => {
        const client = openClient(CounterServiceClient, servers.address);
        try {
          const create = { participant: '', counter: COUNTER, kind, bounds: undefined, initialValue: 0n, shards: 0, requestId: '' };
          await call(client.createCounter.bind(client), create);
          const options: CounterLoad = { address: servers.address, counter: COUNTER, inFlight, warmUpSeconds, seconds };
          const { row, report } = await rowOf(self, servers, (onWarm) => load<CounterLoad, CounterReport>('counter/client.ts', options, onWarm));
          const read = { participant: '', counter: COUNTER, consistency: Consistency.LINEARIZABLE, maxAge: undefined, transaction: undefined };
          const { value } = await call<GetRequest, GetResponse>(client.get.bind(client), read);
          if (value?.value !== BigInt(report.adds)) throw new Error(`the counter is ${value?.value} after ${report.adds} adds of 1`);
          return row;
        } finally {
          client.close();
        }
      }),
  };
  return self;
}

export const COUNTERS: readonly Workload[] = (['strong', 'sharded'] as const).flatMap((name) =>
  (['embedded', 'etcd'] as const).flatMap((store) => IN_FLIGHT.map((inFlight) => adds(name, store, inFlight))),
);
