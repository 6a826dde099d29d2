import type { Dashboard } from './dashboard.ts';
import { highest, perSecond, quantile, total, worst } from './queries.ts';
import { requestsRow, partitionsRow } from './shared-rows.ts';

export const participants: Dashboard = {
  uid: 'txmesh-participants',
  title: 'txmesh / participants',
  description: 'Branches, locks and conflicts at every participant (keys, queues and counters), and the calls to the key-value participants.',
  rows: [
    {
      title: 'Branches',
      panels: [
        {
          title: 'Prepared',
          description: 'Branches that have promised and wait for the outcome, by participant.',
          unit: 'none',
          stacked: true,
          queries: [total('txmesh_branch_prepared', ['txmesh_participant'])],
        },
        {
          title: 'In doubt',
          description: 'Age of the oldest prepared branch. Milliseconds under load; it grows while the coordinator\'s partition has no leader or is not reached.',
          unit: 's',
          redFrom: 120,
          queries: [worst('txmesh_branch_in_doubt_age', ['txmesh_participant'])],
        },
        {
          title: 'Forced outcomes',
          description: 'Branches that an operator resolved by force in the last hour. A transaction may have become mixed by it.',
          unit: 'none',
          redFrom: 1,
          queries: [{ expr: 'sum by (txmesh_participant, txmesh_outcome) (increase(txmesh_branch_heuristic_total{job="txmesh"}[1h]))', legend: '{{txmesh_participant}} {{txmesh_outcome}}' }],
        },
      ],
    },
    {
      title: 'Locks and conflicts',
      panels: [
        {
          title: 'Conflicts',
          description: 'Branches and local changes that were refused, by reason, of the ten most frequent. LOCK_CONFLICT: somebody older holds the lock. PRECONDITION_FAILED: what was read has changed.',
          unit: 'ops',
          queries: [highest(10, perSecond('txmesh_conflict_total', ['txmesh_participant', 'txmesh_reason']))],
        },
        {
          title: 'Requests that wait for a lock',
          description: 'By participant. They wait behind transactions that are prepared.',
          unit: 'none',
          queries: [total('txmesh_lock_waiting', ['txmesh_participant'])],
        },
        {
          title: 'Waits for locks',
          description: 'How long requests waited, of those that did.',
          unit: 's',
          queries: [0.5, 0.99].map((share) => quantile(share, 'txmesh_lock_wait_duration', ['txmesh_participant'])),
        },
      ],
    },
    requestsRow('participant'),
    partitionsRow('participant'),
  ],
};
