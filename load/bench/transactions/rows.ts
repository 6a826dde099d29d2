/** Transactions that write one key at each of two participants. */

import { load } from '../processes.ts';
import { hosting, withServers, type StoreName } from '../servers.ts';
import { rowOf, type Conditions, type Workload } from '../workload.ts';
import type { TransactionLoad } from './client.ts';

const IN_FLIGHT = [1, 16, 64, 256, 1024];

/** On etcd coordinator and participants are processes of their own. */
const PROCESSES = [hosting({ coordinator: true }), hosting({ participants: 'inventory' }), hosting({ participants: 'payments' })];

/** Sampling at 1 %, exported to nobody: the cost of the traces themselves. */
const TRACED = {
  OTEL_TRACES_EXPORTER: 'otlp',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
  OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
  OTEL_TRACES_SAMPLER_ARG: '0.01',
  OTEL_METRICS_EXPORTER: 'none',
  OTEL_LOGS_EXPORTER: 'none',
};

/** Collected every 5 s, exported to nobody: the cost of the metrics themselves. */
const MEASURED = {
  OTEL_METRICS_EXPORTER: 'otlp',
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://127.0.0.1:9/v1/metrics',
  OTEL_METRIC_EXPORT_INTERVAL: '5000',
};

function transactions(workload: string, store: StoreName, inFlight: number, environment: Readonly<Record<string, string>> = {}): Workload {
  const self: Workload = {
    workload,
    store,
    inFlight,
    measure: ({ warmUpSeconds, seconds, flags }: Conditions) =>
      withServers({ store, partitions: 1, processes: PROCESSES, environment, flags }, async (servers) => {
        const options: TransactionLoad = { address: servers.address, inFlight, warmUpSeconds, seconds };
        return (await rowOf(self, servers, (onWarm) => load('transactions/client.ts', options, onWarm, environment))).row;
      }),
  };
  return self;
}

export const PLAIN = transactions('transaction', 'embedded', 64);
export const WITH_TRACES = transactions('transaction-traced', 'embedded', 64, TRACED);
export const WITH_METRICS = transactions('transaction-measured', 'embedded', 64, MEASURED);

export const TRANSACTIONS: readonly Workload[] = [
  ...(['embedded', 'etcd'] as const).flatMap((store) => IN_FLIGHT.map((inFlight) => transactions('transaction', store, inFlight))),
  WITH_TRACES,
  WITH_METRICS,
];
