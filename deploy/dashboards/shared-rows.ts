/** Rows that are on the dashboard of every service. */

import type { Row } from './dashboard.ts';
import { mean, perSecond, quantile, worst } from './queries.ts';

/** Rate, errors and duration of the calls that a component serves, by what Prometheus records of them. */
export const callsRow = (component: string): Row => {
  const where = `{component="${component}"}`;
  return {
    title: 'Calls',
    panels: [
      {
        title: 'Calls',
        description: 'Calls that ended, by method. A stream is one call, whatever it carries, and is counted when it ends.',
        unit: 'reqps',
        queries: [{ expr: `component_method:grpc_server_calls:rate5m${where}`, legend: '{{grpc_method}}' }],
      },
      {
        title: 'Calls that fail',
        description: 'Calls that ended with a status that is the service\'s fault: UNAVAILABLE, INTERNAL, UNKNOWN, DATA_LOSS, DEADLINE_EXCEEDED. docs/errors.md says what each means.',
        unit: 'reqps',
        queries: [{ expr: `component_method_status:grpc_server_failures:rate5m${where} > 0`, legend: '{{grpc_method}} {{grpc_status}}' }],
      },
      {
        title: 'Duration, 99th percentile',
        description: 'What 99 of 100 calls stay below, without streams, watches and pulls, which last as long as their callers want.',
        unit: 's',
        queries: [{ expr: `component_method:grpc_server_call_duration:p99_5m${where}`, legend: '{{grpc_method}}' }],
      },
    ],
  };
};

/** Who leads, and how the writes go. */
export const partitionsRow = (component: string): Row => {
  const here = [`component="${component}"`];
  return {
    title: 'Partitions and their store',
    panels: [
      {
        title: 'Partitions led',
        description: 'By replica. They are shared out evenly some seconds after a replica came or went.',
        unit: 'none',
        stacked: true,
        queries: [worst('txmesh_partition_led', ['instance', 'txmesh_service'], here)],
      },
      {
        title: 'Leadership changes',
        description: 'Partitions gained and lost, a second. Some at a rollout or a lost replica; all the time means that leases are lost: look at the event loop and at etcd.',
        unit: 'cps',
        queries: [perSecond('txmesh_partition_leadership_changes_total', ['txmesh_service', 'txmesh_change'], here)],
      },
      {
        title: 'Events in a batch',
        description: 'How much one write to the store carries, on average. It grows with the load; that is how the store keeps up.',
        unit: 'short',
        queries: [mean('txmesh_partition_batch_size', ['txmesh_service'], here)],
      },
      {
        title: 'Duration of a write',
        description: 'From handing a batch to the store until it is durable. Nothing is answered before.',
        unit: 's',
        queries: [0.5, 0.99].map((share) => quantile(share, 'txmesh_store_write_duration', ['txmesh_service'], here)),
      },
    ],
  };
};
