/** What Node and V8 say of the process, by the names of the OpenTelemetry semantic conventions. */

import { constants, monitorEventLoopDelay, performance, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Metrics } from './metrics.ts';

const DELAY_RESOLUTION_MS = 10;
const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;

const GC_TYPES = new Map<number, { readonly 'v8js.gc.type': string }>([
  [constants.NODE_PERFORMANCE_GC_MINOR, { 'v8js.gc.type': 'minor' }],
  [constants.NODE_PERFORMANCE_GC_MAJOR, { 'v8js.gc.type': 'major' }],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, { 'v8js.gc.type': 'incremental' }],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, { 'v8js.gc.type': 'weakcb' }],
]);

/** @returns what ends it */
export function watchProcess(metrics: Metrics): () => void {
  const ends = [watchEventLoop(metrics), watchMemory(metrics), watchGarbageCollection(metrics)];
  return () => ends.forEach((end) => end());
}

function watchEventLoop(metrics: Metrics): () => void {
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  delay.enable();
  let measured = { mean: 0, p99: 0, max: 0 };
  let utilization = performance.eventLoopUtilization();
  const end = metrics.watch(
    ['nodejs.eventloop.delay.mean', 'nodejs.eventloop.delay.p99', 'nodejs.eventloop.delay.max', 'nodejs.eventloop.utilization'],
    (observe) => {
      const now = performance.eventLoopUtilization();
      observe('nodejs.eventloop.utilization', performance.eventLoopUtilization(now, utilization).utilization);
      utilization = now;
      // Collected twice in a moment: nothing was measured in between.
      if (delay.count > 0) measured = { mean: late(delay.mean), p99: late(delay.percentile(99)), max: late(delay.max) };
      delay.reset();
      observe('nodejs.eventloop.delay.mean', measured.mean);
      observe('nodejs.eventloop.delay.p99', measured.p99);
      observe('nodejs.eventloop.delay.max', measured.max);
    },
  );
  return () => {
    end();
    delay.disable();
  };
}

/** In seconds; what is measured is the time between two ticks of a timer, in nanoseconds. */
function late(betweenTicks: number): number {
  return Math.max(0, betweenTicks / NANOSECONDS - DELAY_RESOLUTION_MS / 1000);
}

function watchMemory(metrics: Metrics): () => void {
  return metrics.watch(
    ['v8js.memory.heap.used', 'v8js.memory.heap.limit', 'process.memory.usage', 'process.cpu.time', 'process.uptime'],
    (observe) => {
      const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
      observe('v8js.memory.heap.used', used);
      observe('v8js.memory.heap.limit', limit);
      observe('process.memory.usage', process.memoryUsage.rss());
      const { user, system } = process.cpuUsage();
      observe('process.cpu.time', user / MICROSECONDS, { 'cpu.mode': 'user' });
      observe('process.cpu.time', system / MICROSECONDS, { 'cpu.mode': 'system' });
      observe('process.uptime', process.uptime());
    },
  );
}

function watchGarbageCollection(metrics: Metrics): () => void {
  const duration = metrics.histogram('v8js.gc.duration');
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const kind = (entry as unknown as { readonly detail: { readonly kind: number } }).detail.kind;
      duration.record(entry.duration / 1000, GC_TYPES.get(kind));
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => observer.disconnect();
}
