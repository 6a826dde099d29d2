/** Takes and acknowledges a number of different messages and ends: what becomes of a backlog. */

import { QueueServiceClient } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import { measured, runAsProcess, type LoadReport } from '../measured.ts';
import { openClient } from '../streams.ts';
import { Seen } from './seen.ts';
import { Subscriber } from './subscriber.ts';

export interface DrainLoad {
  readonly address: string;
  readonly subscription: string;
  readonly messages: number;
  readonly maxOutstandingMessages: number;
}

const BOUND_SECONDS = 900;

async function drain({ address, subscription, messages, maxOutstandingMessages }: DrainLoad, onWarm: () => void): Promise<LoadReport> {
  const client = openClient(QueueServiceClient, address);
  const over = Promise.withResolvers<void>();
  const seen = new Seen();
  let confirmed = 0;
  const subscriber = new Subscriber({
    client,
    subscription,
    maxOutstandingMessages,
    onMessage: ({ sequence }) => seen.add(sequence),
    onConfirmed(producers) {
      confirmed += producers.length;
      if (confirmed >= messages) over.resolve();
    },
    fail: over.reject,
  });
  const used = await measured({ warmUpSeconds: 0, seconds: BOUND_SECONDS }, onWarm, over.promise);
  subscriber.close();
  client.close();
  if (confirmed !== messages) throw new Error(`${confirmed} of ${messages} messages were delivered and acknowledged in ${used.seconds} s`);
  return { completed: confirmed, ...used, p50Ms: NaN, p99Ms: NaN, p999Ms: NaN };
}

await runAsProcess(drain);
