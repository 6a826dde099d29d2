import type { Dashboard } from './dashboard.ts';
import { highest, perSecond, total, worst } from './queries.ts';
import { requestsRow, partitionsRow } from './shared-rows.ts';

export const queue: Dashboard = {
  uid: 'txmesh-queue',
  title: 'txmesh / queue',
  description: 'Messages in and out, and what waits. A replica names a bounded number of topics and subscriptions; the rest is summed under "other".',
  rows: [
    {
      title: 'What waits',
      panels: [
        {
          title: 'Backlog',
          description: 'Messages that are not acknowledged, those that are out included, of the ten subscriptions that have most.',
          unit: 'short',
          queries: [highest(10, total('txmesh_queue_backlog', ['txmesh_participant', 'txmesh_subscription']))],
        },
        {
          title: 'Longest wait of a message',
          description: 'Since it was due, and not acknowledged, of the ten subscriptions where it is highest. It says more than the backlog: a queue that keeps up has a low age, however much flows through it.',
          unit: 's',
          redFrom: 600,
          queries: [highest(10, worst('txmesh_queue_oldest_unacknowledged_age', ['txmesh_participant', 'txmesh_subscription']))],
        },
        {
          title: 'In flight',
          description: 'Delivered and not acknowledged yet. A backlog with nothing in flight has no consumer; one with much in flight has slow ones.',
          unit: 'short',
          queries: [highest(10, total('txmesh_queue_in_flight', ['txmesh_participant', 'txmesh_subscription']))],
        },
      ],
    },
    {
      title: 'Messages',
      panels: [
        {
          title: 'Published',
          description: 'By topic, of the ten busiest.',
          unit: 'mps',
          queries: [highest(10, perSecond('txmesh_queue_published_total', ['txmesh_participant', 'txmesh_topic']))],
        },
        {
          title: 'Delivered',
          description: 'By subscription, of the ten busiest. More than acknowledged means that messages are delivered again.',
          unit: 'mps',
          queries: [highest(10, perSecond('txmesh_queue_delivered_total', ['txmesh_participant', 'txmesh_subscription']))],
        },
        {
          title: 'Acknowledged',
          description: 'By subscription, of the ten busiest.',
          unit: 'mps',
          queries: [highest(10, perSecond('txmesh_queue_acknowledged_total', ['txmesh_participant', 'txmesh_subscription']))],
        },
        {
          title: 'Dead-lettered',
          description: 'Given up after as many deliveries as the subscription allows, and published to its dead letter topic.',
          unit: 'mps',
          queries: [highest(10, perSecond('txmesh_queue_dead_lettered_total', ['txmesh_participant', 'txmesh_subscription']))],
        },
      ],
    },
    requestsRow('queue'),
    partitionsRow('queue'),
  ],
};
