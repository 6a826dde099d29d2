/** A million messages that wait: what they cost in memory, and how long a restart with them takes. */

import { QueueServiceClient, type PullResponse } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import { load } from '../processes.ts';
import { withServers } from '../servers.ts';
import { call, openClient } from '../streams.ts';
import { rowOf, type Conditions, type Workload } from '../workload.ts';
import type { DrainLoad } from './drain-client.ts';
import type { FillLoad } from './fill-client.ts';
import { MESSAGE_BYTES, PROCESSES, WINDOW } from './rows.ts';
import { createQueue, SUBSCRIPTION, TOPIC } from './setup.ts';

const MESSAGES = 1_000_000;
const MIB = 2 ** 20;
const PULL_WAIT_SECONDS = 60n;

function backlog(messages: number): Workload {
  const self: Workload = {
    workload: 'queue-backlog',
    store: 'embedded',
    inFlight: messages,
    measure: ({ flags }: Conditions) =>
      withServers({ store: 'embedded', partitions: 1, processes: PROCESSES, flags: [...flags, '--expose-gc'] }, async (servers) => {
        await createQueue(servers.address, 'disk');
        const empty = await servers.usage();
        const fill: FillLoad = { address: servers.address, topic: TOPIC, messages, window: WINDOW, messageBytes: MESSAGE_BYTES };
        const { row } = await rowOf(self, servers, (onWarm) => load('queue/fill-client.ts', fill, onWarm));
        const full = await servers.usage();
        await servers.stop('SIGKILL');
        const startMs = performance.now();
        await servers.start();
        await firstDelivery(servers.address);
        const restartSeconds = (performance.now() - startMs) / 1000;
        const again = await servers.usage();
        const drain: DrainLoad = { address: servers.address, subscription: SUBSCRIPTION, messages, maxOutstandingMessages: WINDOW };
        const drained = await load('queue/drain-client.ts', drain);
        const grown = (pick: (usage: typeof empty) => number): number => ((Math.max(pick(full), pick(again)) - pick(empty)) * MIB) / messages;
        return {
          ...row,
          bytesPerMessage: grown((usage) => usage.anonymousMiB),
          heapBytesPerMessage: grown((usage) => usage.heapMiB),
          restartSeconds,
          drainedPerSecond: drained.completed / drained.seconds,
        };
      }),
  };
  return self;
}

/** Takes one message and gives it back. */
async function firstDelivery(address: string): Promise<void> {
  const client = openClient(QueueServiceClient, address);
  const common = { participant: '', subscription: SUBSCRIPTION };
  try {
    const wait = { seconds: PULL_WAIT_SECONDS, nanos: 0 };
    const { messages } = await call<Parameters<QueueServiceClient['pull']>[0], PullResponse>(client.pull.bind(client), {
      ...common,
      maxMessages: 1,
      maxBytes: 0,
      wait,
      ackDeadline: undefined,
      partition: undefined,
    });
    if (messages.length === 0) throw new Error('nothing was delivered after the restart');
    await call(client.modifyAckDeadline.bind(client), { ...common, ackIds: messages.map(({ ackId }) => ackId), ackDeadline: undefined });
  } finally {
    client.close();
  }
}

export const BACKLOGS: readonly Workload[] = [backlog(MESSAGES)];
