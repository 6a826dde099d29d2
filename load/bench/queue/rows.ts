/** Messages of 1 KiB through publish, deliver and acknowledge. */

import { load } from '../processes.ts';
import { hosting, withServers, type StoreName } from '../servers.ts';
import { rowOf, type Conditions, type Workload } from '../workload.ts';
import type { QueueLoad, QueueReport } from './client.ts';
import { createQueue, SUBSCRIPTION, TOPIC } from './setup.ts';

export const MESSAGE_BYTES = 1024;
/** Messages under way at a time, of all producers together. */
export const WINDOW = 2048;
const PRODUCERS = [1, 10, 100];

/** On etcd the coordinator and the queue are processes of their own. */
export const PROCESSES = [hosting({ queues: 'queue' }), hosting({ coordinator: true })];

function messages(storage: 'disk' | 'memory', store: StoreName, producers: number): Workload {
  const self: Workload = {
    workload: `queue-${storage}`,
    store,
    inFlight: producers,
    measure: ({ warmUpSeconds, seconds, flags }: Conditions) =>
      withServers({ store, partitions: 1, processes: PROCESSES, flags }, async (servers) => {
        await createQueue(servers.address, storage);
        const options: QueueLoad = {
          address: servers.address,
          topic: TOPIC,
          subscription: SUBSCRIPTION,
          producers,
          window: WINDOW,
          messageBytes: MESSAGE_BYTES,
          warmUpSeconds,
          seconds,
        };
        const { row, report } = await rowOf(self, servers, (onWarm) => load<QueueLoad, QueueReport>('queue/client.ts', options, onWarm));
        if (report.redelivered > 0) throw new Error(`${report.redelivered} messages came more than once`);
        return { ...row, publishP50Ms: report.publishP50Ms };
      }),
  };
  return self;
}

export const QUEUES: readonly Workload[] = (['disk', 'memory'] as const).flatMap((storage) =>
  (['embedded', 'etcd'] as const).flatMap((store) => PRODUCERS.map((producers) => messages(storage, store, producers))),
);
