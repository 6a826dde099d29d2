import { pod, series, type AlertCases, type Series } from './alert-case.ts';

const COMPONENTS = ['coordinator', 'participant', 'queue', 'counter'];
const PODS = COMPONENTS.flatMap((component) => [`${component}-0`, `${component}-1`]);

/** Whether each server answers; all others do all the time. */
const up = (values: Readonly<Record<string, string>>): Series[] => PODS.map((name) => series('up', pod(name), values[name] ?? '1x30'));

export const servers: AlertCases = {
  ServerDown: [
    {
      what: 'fires for a server that has not answered for two minutes',
      series: up({ 'queue-1': '1x2 0x20' }),
      at: '5m',
      fires: [{ labels: pod('queue-1') }],
    },
    { what: 'is quiet while a server restarts', series: up({ 'queue-1': '1x2 0 0 1x20' }), at: '4m', fires: [] },
    { what: 'is quiet when a server was scaled away', series: up({ 'queue-1': '1x2 0 stale' }), at: '10m', fires: [] },
  ],
  ComponentDown: [
    {
      what: 'fires when no replica of a component answers',
      series: up({ 'queue-0': '1x2 0x20', 'queue-1': '1x5 0x20' }),
      at: '7m',
      fires: [{ labels: { component: 'queue' } }],
    },
    {
      what: 'fires when a component has no pod any more',
      series: up({ 'counter-0': '1x2 stale', 'counter-1': '1x2 stale' }),
      at: '4m',
      fires: [{ labels: { job: 'txmesh', component: 'counter' } }],
    },
    {
      what: 'fires for each of the components when nothing was deployed',
      series: [series('up', { job: 'prometheus', instance: 'localhost:9090' }, '1x10')],
      at: '2m',
      fires: COMPONENTS.map((component) => ({ labels: { job: 'txmesh', component } })),
    },
    { what: 'is quiet while one replica answers', series: up({ 'queue-1': '1x2 0x20' }), at: '10m', fires: [] },
    { what: 'is quiet while replicas are replaced one after the other', series: up({ 'queue-0': '1x2 0 1x20', 'queue-1': '1x4 0 1x20' }), at: '5m', fires: [] },
  ],
  PartitionWithoutLeader: [
    {
      what: 'fires when a replica knows no leader for more than a minute',
      series: [
        series('txmesh_partition_leaderless', pod('participant-0', { txmesh_service: 'payments' }), '0x2 2x10'),
        series('txmesh_partition_leaderless', pod('participant-1', { txmesh_service: 'payments' }), '0x20'),
        series('txmesh_partition_leaderless', pod('participant-0', { txmesh_service: 'inventory' }), '0x20'),
      ],
      at: '5m',
      fires: [{ labels: { txmesh_service: 'payments' }, value: '2' }],
    },
    {
      what: 'is quiet during a failover',
      series: [series('txmesh_partition_leaderless', pod('participant-0', { txmesh_service: 'payments' }), '0x2 2 0x10')],
      at: '3m',
      fires: [],
    },
  ],
  LeadershipFlaps: [
    {
      what: 'fires when partitions are lost again and again',
      series: [
        series('txmesh_partition_leadership_changes_total', pod('queue-0', { txmesh_service: 'queue', txmesh_change: 'lost' }), '0+1x30'),
        series('txmesh_partition_leadership_changes_total', pod('queue-0', { txmesh_service: 'queue', txmesh_change: 'gained' }), '4+1x30'),
        series('txmesh_partition_led', pod('queue-0', { txmesh_service: 'queue' }), '2x30'),
        series('txmesh_partition_led', pod('queue-1', { txmesh_service: 'queue' }), '2x30'),
      ],
      at: '25m',
      fires: [{ labels: { txmesh_service: 'queue' }, value: '15' }],
    },
    {
      what: 'is quiet when a rollout moves each partition twice',
      series: [
        series('txmesh_partition_leadership_changes_total', pod('queue-0', { txmesh_service: 'queue', txmesh_change: 'lost' }), '0x9 4x30'),
        series('txmesh_partition_leadership_changes_total', pod('queue-1', { txmesh_service: 'queue', txmesh_change: 'lost' }), '0x11 4x30'),
        series('txmesh_partition_led', pod('queue-0', { txmesh_service: 'queue' }), '2x30'),
        series('txmesh_partition_led', pod('queue-1', { txmesh_service: 'queue' }), '2x30'),
      ],
      at: '20m',
      fires: [],
    },
  ],
  EventLoopDelayed: [
    {
      what: 'fires when timers are late for five minutes',
      series: [series('nodejs_eventloop_delay_p99', pod('queue-0'), '0.01x2 0.3x10'), series('nodejs_eventloop_delay_p99', pod('queue-1'), '0.02x20')],
      at: '10m',
      fires: [{ labels: pod('queue-0'), value: '300ms' }],
    },
    { what: 'is quiet after one long pause', series: [series('nodejs_eventloop_delay_p99', pod('queue-0'), '0.01x2 2 0.01x10')], at: '8m', fires: [] },
  ],
  HeapNearLimit: [
    {
      what: 'fires for the server whose heap is nearly full for ten minutes',
      series: [
        ...[pod('queue-0'), pod('queue-1')].map((labels) => series('v8js_memory_heap_limit', labels, '1000x20')),
        series('v8js_memory_heap_used', pod('queue-0'), '950x20'),
        series('v8js_memory_heap_used', pod('queue-1'), '500x20'),
      ],
      at: '12m',
      fires: [{ labels: { instance: 'queue-0' }, value: '95%' }],
    },
    {
      what: 'is quiet where the heap is collected again',
      series: [series('v8js_memory_heap_limit', pod('queue-0'), '1000x20'), series('v8js_memory_heap_used', pod('queue-0'), '950x8 300 950x9')],
      at: '16m',
      fires: [],
    },
  ],
  WorkRefused: [
    {
      what: 'fires when more than one call a second is refused for ten minutes',
      series: [
        series('txmesh_admission_refused_total', pod('queue-0', { txmesh_reason: 'in_flight' }), '0+90x30'),
        series('txmesh_admission_refused_total', pod('queue-1', { txmesh_reason: 'in_flight' }), '0+30x30'),
      ],
      at: '15m',
      fires: [{ labels: { component: 'queue', txmesh_reason: 'in_flight' }, value: '2' }],
    },
    {
      what: 'is quiet after one burst',
      series: [series('txmesh_admission_refused_total', pod('queue-0', { txmesh_reason: 'in_flight' }), '0x3 6000x20')],
      at: '12m',
      fires: [],
    },
  ],
};
