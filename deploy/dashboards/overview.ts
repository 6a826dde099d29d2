import type { Dashboard } from './dashboard.ts';
import { divided, highest, perSecond, quantile, total, worst } from './queries.ts';

export const overview: Dashboard = {
  uid: 'txmesh-overview',
  title: 'txmesh / overview',
  description: 'Is the mesh well, and what does it do? The first thing to look at; docs/observe.md says which question the others answer.',
  rows: [
    {
      title: 'Is it well?',
      panels: [
        {
          title: 'Servers',
          description: 'Servers that Prometheus reaches.',
          unit: 'none',
          stat: true,
          queries: [total('up', [], [], 'servers')],
        },
        {
          title: 'Alerts that fire',
          description: 'Prometheus lists them under /alerts, each with its page in docs/runbooks.',
          unit: 'none',
          stat: true,
          redFrom: 1,
          queries: [{ expr: 'count(ALERTS{alertstate="firing"}) or vector(0)', legend: 'alerts' }],
        },
        {
          title: 'Partitions without a leader',
          description: 'As the replica sees it that knows fewest leaders. Some seconds are normal when a leader is lost (the lease, TXMESH_LEASE); calls to such a partition are refused with UNAVAILABLE meanwhile.',
          unit: 'none',
          stat: true,
          redFrom: 1,
          queries: [{ expr: 'max(sum by (instance) (txmesh_partition_leaderless{job="txmesh"}))', legend: 'partitions' }],
        },
        {
          title: 'Longest in doubt',
          description: 'Age of the oldest branch that is prepared and has heard no outcome. It holds its locks. Above some seconds something keeps the coordinator\'s answer away.',
          unit: 's',
          stat: true,
          redFrom: 120,
          queries: [worst('txmesh_branch_in_doubt_age', [], [], 'oldest')],
        },
        {
          title: 'Requests that fail',
          description: 'Share of the requests of the last five minutes that were answered with a status that is the mesh\'s fault. The objective is at most 0.1 %.',
          unit: 'percentunit',
          stat: true,
          redFrom: 0.001,
          queries: [{ expr: 'sum(component:txmesh_request_failures:rate5m) / sum(component:txmesh_requests:rate5m)', legend: 'failed' }],
        },
        {
          title: 'Store used',
          description: 'Of what the store may hold. New work is refused before it is full.',
          unit: 'percentunit',
          stat: true,
          redFrom: 0.8,
          queries: [{ expr: 'max(txmesh_store_size{job="txmesh"} / txmesh_store_limit{job="txmesh"})', legend: 'used' }],
        },
      ],
    },
    {
      title: 'Requests',
      panels: [
        {
          title: 'Requests',
          description: 'Answered a second, by component: unary calls, and what travels on streams, each transaction, message, acknowledgement and add by itself.',
          unit: 'reqps',
          queries: [{ expr: 'component:txmesh_requests:rate5m', legend: '{{component}}' }],
        },
        {
          title: 'Share that fails',
          description: 'UNAVAILABLE, INTERNAL, UNKNOWN, DATA_LOSS or DEADLINE_EXCEEDED; the line is the objective.',
          unit: 'percentunit',
          redFrom: 0.001,
          queries: [{ expr: 'component:txmesh_request_failures:rate5m / component:txmesh_requests:rate5m', legend: '{{component}}' }],
        },
        {
          title: 'Duration, 99th percentile',
          description: 'Of the slowest method of each component, without watches and pulls, which last as long as their callers want.',
          unit: 's',
          queries: [{ expr: 'max by (component) (component_method:txmesh_request_duration:p99_5m)', legend: '{{component}}' }],
        },
        {
          title: 'Calls refused',
          description: 'Refused before any work was done for them, with RESOURCE_EXHAUSTED and a retry delay: by reason.',
          unit: 'reqps',
          queries: [perSecond('txmesh_admission_refused_total', ['txmesh_reason'])],
        },
      ],
    },
    {
      title: 'Transactions',
      panels: [
        {
          title: 'Transactions',
          description: 'Decided a second, by outcome.',
          unit: 'ops',
          stacked: true,
          queries: [perSecond('txmesh_transaction_finished_total', ['txmesh_outcome'])],
        },
        {
          title: 'Aborts',
          description: 'By reason (docs/errors.md). Conflicts, preconditions, left and short_timeout are the callers\'; another timeout, NO_LEADER or OVERLOADED is the mesh\'s.',
          unit: 'ops',
          queries: [perSecond('txmesh_transaction_finished_total', ['txmesh_reason'], ['txmesh_outcome="aborted"'])],
        },
        {
          title: 'Phases, 99th percentile',
          description: 'prepare: until all have voted. decide: until the outcome is durable. complete: until every branch has acknowledged it; the client does not wait for that.',
          unit: 's',
          queries: [quantile(0.99, 'txmesh_transaction_phase_duration', ['txmesh_phase'])],
        },
        {
          title: 'In doubt',
          description: 'Age of the oldest branch without an outcome, by participant.',
          unit: 's',
          redFrom: 120,
          queries: [worst('txmesh_branch_in_doubt_age', ['txmesh_participant'])],
        },
      ],
    },
    {
      title: 'Queues and counters',
      panels: [
        {
          title: 'Messages',
          description: 'Published, delivered and acknowledged a second. Each subscription gets its own copy; what is delivered twice counts twice.',
          unit: 'mps',
          queries: [
            perSecond('txmesh_queue_published_total', [], [], 'published'),
            perSecond('txmesh_queue_delivered_total', [], [], 'delivered'),
            perSecond('txmesh_queue_acknowledged_total', [], [], 'acknowledged'),
          ],
        },
        {
          title: 'Longest backlogs',
          description: 'Messages that wait to be acknowledged, of the ten subscriptions that have most.',
          unit: 'short',
          queries: [highest(10, total('txmesh_queue_backlog', ['txmesh_participant', 'txmesh_subscription']))],
        },
        {
          title: 'Adds',
          description: 'To counters, a second, by kind.',
          unit: 'ops',
          queries: [perSecond('txmesh_counter_added_total', ['txmesh_kind'])],
        },
        {
          title: 'Counters behind',
          description: 'How far behind a read may be, by kind.',
          unit: 's',
          redFrom: 60,
          queries: [worst('txmesh_counter_freshness', ['txmesh_kind'])],
        },
      ],
    },
    {
      title: 'Partitions and their store',
      panels: [
        {
          title: 'Partitions led',
          description: 'By replica. Replicas of one service should lead about as many each.',
          unit: 'none',
          stacked: true,
          queries: [total('txmesh_partition_led', ['instance'])],
        },
        {
          title: 'Leadership changes',
          description: 'A second, by service. Some at a rollout or a lost replica; else none.',
          unit: 'cps',
          queries: [perSecond('txmesh_partition_leadership_changes_total', ['txmesh_service', 'txmesh_change'])],
        },
        {
          title: 'Writes to the store for a transaction',
          description: 'Of all services together. Well below the number of branches when batches are shared, which is what makes it fast under load.',
          unit: 'short',
          queries: [divided(perSecond('txmesh_store_writes_total', []), perSecond('txmesh_transaction_finished_total', []), 'writes')],
        },
        {
          title: 'Failures of the store',
          description: 'A second, by reason. A leader whose write fails, or whose fate is unknown, steps down.',
          unit: 'cps',
          queries: [perSecond('txmesh_store_failures_total', ['txmesh_reason'])],
        },
      ],
    },
  ],
};
