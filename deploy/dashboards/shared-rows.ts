/** Rows that are on the dashboard of every service. */

import type { Row } from './dashboard.ts';
import { mean, perSecond, quantile, worst } from './queries.ts';

/** Rate, errors and duration of the requests that a component serves, by what Prometheus records of them. */
export const requestsRow = (component: string): Row => {
  const where = `{component="${component}"}`;
  return {
    title: 'Requests',
    panels: [
      {
        title: 'Requests',
        description: 'Answered a second, by method: unary calls, and what travels on streams, each transaction, message, acknowledgement and add by itself.',
        unit: 'reqps',
        queries: [{ expr: `component_method:txmesh_requests:rate5m${where}`, legend: '{{grpc_method}}' }],
      },
      {
        title: 'Requests that fail',
        description: 'Answered with a status that is the service\'s fault: UNAVAILABLE, INTERNAL, UNKNOWN, DATA_LOSS, DEADLINE_EXCEEDED. docs/errors.md says what each means.',
        unit: 'reqps',
        queries: [{ expr: `component_method_status:txmesh_request_failures:rate5m${where}`, legend: '{{grpc_method}} {{grpc_status}}' }],
      },
      {
        title: 'Duration, 99th percentile',
        description: 'What 99 of 100 requests stay below. Without watches and pulls, which last as long as their callers want; of StreamingPull it is the acknowledgements.',
        unit: 's',
        queries: [{ expr: `component_method:txmesh_request_duration:p99_5m${where}`, legend: '{{grpc_method}}' }],
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
