import type { Dashboard } from './dashboard.ts';
import { divided, perSecond, quantile, total, worst } from './queries.ts';

const CHOSEN = ['component=~"$component"'];
const EACH = ['instance'];

export const nodeRuntime: Dashboard = {
  uid: 'txmesh-node',
  title: 'txmesh / Node.js',
  description: 'The processes: their event loop, memory and CPU. One thread does the work of a replica, so what delays the event loop delays everything, the renewal of leases included.',
  choosesComponent: true,
  rows: [
    {
      title: 'Event loop',
      panels: [
        {
          title: 'Delay, 99th percentile',
          description: 'How late timers are. Above some tens of milliseconds callers notice; near the lease (TXMESH_LEASE) partitions are lost.',
          unit: 's',
          redFrom: 0.25,
          queries: [worst('nodejs_eventloop_delay_p99', EACH, CHOSEN)],
        },
        {
          title: 'Delay, mean and longest',
          description: 'A longest far above the mean is a pause: a garbage collection, a large message, or a process that got no CPU.',
          unit: 's',
          queries: [worst('nodejs_eventloop_delay_mean', EACH, CHOSEN, 'mean'), worst('nodejs_eventloop_delay_max', EACH, CHOSEN, 'longest')],
        },
        {
          title: 'Utilization',
          description: 'Share of the time that the event loop was busy. At 1 the replica is at its limit: add replicas, or partitions for them to lead.',
          unit: 'percentunit',
          redFrom: 0.9,
          queries: [worst('nodejs_eventloop_utilization', EACH, CHOSEN)],
        },
      ],
    },
    {
      title: 'Memory',
      panels: [
        {
          title: 'Resident memory',
          description: 'To be held against the container\'s limit (see the manifests): beyond it the kernel kills the process.',
          unit: 'bytes',
          queries: [worst('process_memory_usage', EACH, CHOSEN)],
        },
        {
          title: 'Heap',
          description: 'What JavaScript objects use, of all spaces.',
          unit: 'bytes',
          queries: [total('v8js_memory_heap_used', EACH, CHOSEN)],
        },
        {
          title: 'Share of the heap\'s limit',
          description: 'At 1 the process ends for want of memory; from 0.9 on most time goes into collecting garbage.',
          unit: 'percentunit',
          redFrom: 0.9,
          queries: [divided(total('v8js_memory_heap_used', EACH, CHOSEN), total('v8js_memory_heap_limit', EACH, CHOSEN), '{{instance}}')],
        },
      ],
    },
    {
      title: 'Garbage collection and CPU',
      panels: [
        {
          title: 'Time in garbage collection',
          description: 'Share of the time, by type. A major one pauses longest.',
          unit: 'percentunit',
          queries: [perSecond('v8js_gc_duration_sum', ['instance', 'v8js_gc_type'], CHOSEN)],
        },
        {
          title: 'Collections, 99th percentile',
          description: 'How long one takes, by type.',
          unit: 's',
          queries: [quantile(0.99, 'v8js_gc_duration', ['v8js_gc_type'], CHOSEN)],
        },
        {
          title: 'CPU',
          description: 'Cores in use. Above 1, other threads work too: the garbage collector, the embedded store, TLS.',
          unit: 'short',
          queries: [perSecond('process_cpu_time_total', EACH, CHOSEN)],
        },
        {
          title: 'Uptime',
          description: 'Since the process started. A saw-tooth is a server that crashes.',
          unit: 's',
          queries: [worst('process_uptime', EACH, CHOSEN)],
        },
      ],
    },
  ],
};
