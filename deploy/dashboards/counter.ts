import type { Dashboard } from './dashboard.ts';
import { perSecond, quantile, total, worst } from './queries.ts';
import { requestsRow, partitionsRow } from './shared-rows.ts';

const HERE = ['component="counter"'];

export const counter: Dashboard = {
  uid: 'txmesh-counter',
  title: 'txmesh / counter',
  description: 'Adds to counters, how far behind reads may be, and what waits for what.',
  rows: [
    {
      title: 'Adds and reads',
      panels: [
        {
          title: 'Adds',
          description: 'A second, by kind of counter, those in transactions included.',
          unit: 'ops',
          queries: [perSecond('txmesh_counter_added_total', ['txmesh_participant', 'txmesh_kind'])],
        },
        {
          title: 'How far behind reads may be',
          description: 'Of the counter where it is worst. queued: adds that are durable and not rolled up. replicated: since the last exchange with another partition or cluster. Strong counters are never behind.',
          unit: 's',
          redFrom: 60,
          queries: [worst('txmesh_counter_freshness', ['txmesh_participant', 'txmesh_kind'])],
        },
      ],
    },
    {
      title: 'Transactions',
      panels: [
        {
          title: 'Refused',
          description: 'Adds and branches that were refused, by reason. BOUND_EXCEEDED is what bounds are for.',
          unit: 'ops',
          queries: [perSecond('txmesh_conflict_total', ['txmesh_reason'], HERE)],
        },
        {
          title: 'Prepared',
          description: 'Branches that hold a counter until their outcome is known. A linearizable read waits for them.',
          unit: 'none',
          queries: [total('txmesh_branch_prepared', ['txmesh_participant'], HERE)],
        },
        {
          title: 'Waits for locks, 99th percentile',
          description: 'Adds in transactions share a counter; only a check of its value, a reset or a change of it excludes others.',
          unit: 's',
          queries: [quantile(0.99, 'txmesh_lock_wait_duration', ['txmesh_participant'], HERE)],
        },
      ],
    },
    requestsRow('counter'),
    partitionsRow('counter'),
  ],
};
