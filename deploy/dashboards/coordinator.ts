import type { Dashboard } from './dashboard.ts';
import { divided, perSecond, quantile, total, worst } from './queries.ts';
import { requestsRow, partitionsRow } from './shared-rows.ts';

const BETWEEN_REPLICAS = ['component="coordinator"'];

export const coordinator: Dashboard = {
  uid: 'txmesh-coordinator',
  title: 'txmesh / coordinator',
  description: 'Transactions: how many, how they end, how long their phases take, and which are not done.',
  rows: [
    {
      title: 'Transactions',
      panels: [
        {
          title: 'Outcomes',
          description: 'Transactions decided a second.',
          unit: 'ops',
          stacked: true,
          queries: [perSecond('txmesh_transaction_finished_total', ['txmesh_outcome'])],
        },
        {
          title: 'Aborts',
          description: 'By reason (docs/errors.md). left: begun, and never asked to commit; short_timeout: it had less than a second to be decided.',
          unit: 'ops',
          queries: [perSecond('txmesh_transaction_finished_total', ['txmesh_reason'], ['txmesh_outcome="aborted"'])],
        },
        {
          title: 'Share that commits',
          description: 'Of the transactions that were decided. Retries of conflicts count each time.',
          unit: 'percentunit',
          queries: [
            divided(perSecond('txmesh_transaction_finished_total', [], ['txmesh_outcome="committed"']), perSecond('txmesh_transaction_finished_total', []), 'committed'),
          ],
        },
      ],
    },
    {
      title: 'Under way',
      panels: [
        {
          title: 'Open transactions',
          description: 'By state. active: a client works in it; preparing: votes are awaited; committing: decided, and a branch has not acknowledged; aborting: decided, and not durable yet.',
          unit: 'none',
          stacked: true,
          queries: [total('txmesh_transaction_open', ['txmesh_state'])],
        },
        {
          title: 'Oldest that is not acknowledged',
          description: 'Age of the oldest decided transaction that a branch has not acknowledged. Its client has its outcome; the branch is retried until it answers.',
          unit: 's',
          redFrom: 300,
          queries: [worst('txmesh_transaction_completing_age', ['instance'])],
        },
        {
          title: 'Writes to the store for a transaction',
          description: 'The coordinator\'s own. 1 when transactions come one at a time, less when they share batches.',
          unit: 'short',
          queries: [
            divided(perSecond('txmesh_store_writes_total', [], ['txmesh_service="coordinator"']), perSecond('txmesh_transaction_finished_total', []), 'writes'),
          ],
        },
      ],
    },
    {
      title: 'Phases',
      panels: [
        {
          title: 'Median',
          description: 'prepare: until all have voted. decide: until the outcome is durable. complete: until every branch has acknowledged it, which the client does not wait for.',
          unit: 's',
          queries: [quantile(0.5, 'txmesh_transaction_phase_duration', ['txmesh_phase'])],
        },
        {
          title: '99th percentile',
          description: 'A long prepare waits for locks or for a slow participant; a long decide for the store; a long complete for a participant that is gone.',
          unit: 's',
          queries: [quantile(0.99, 'txmesh_transaction_phase_duration', ['txmesh_phase'])],
        },
      ],
    },
    requestsRow('coordinator'),
    {
      title: 'What the coordinator calls',
      panels: [
        {
          title: 'Attempts',
          description: 'Calls to other replicas that ended, by method and status. Prepares and outcomes go over streams, which count when they end.',
          unit: 'reqps',
          queries: [perSecond('grpc_client_attempt_duration_count', ['grpc_method', 'grpc_status'], BETWEEN_REPLICAS)],
        },
        {
          title: 'Attempts by target',
          description: 'Attempts that were started. A target that is tried again and again, with few that last, is not reached.',
          unit: 'reqps',
          queries: [perSecond('grpc_client_attempt_started_total', ['grpc_target'], BETWEEN_REPLICAS)],
        },
      ],
    },
    partitionsRow('coordinator'),
  ],
};
