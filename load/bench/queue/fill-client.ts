/** Publishes a number of messages and ends: what makes a backlog. */

import { QueueServiceClient } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import { Latencies } from '../latencies.ts';
import { measured, runAsProcess, type LoadReport } from '../measured.ts';
import { openClient } from '../streams.ts';
import { Publisher } from './publisher.ts';

export interface FillLoad {
  readonly address: string;
  readonly topic: string;
  readonly messages: number;
  /** Unanswered ones at a time. */
  readonly window: number;
  readonly messageBytes: number;
}

const BOUND_SECONDS = 900;

async function fill({ address, topic, messages, window, messageBytes }: FillLoad, onWarm: () => void): Promise<LoadReport> {
  const client = openClient(QueueServiceClient, address);
  const latencies = new Latencies();
  const over = Promise.withResolvers<void>();
  let answered = 0;
  let allowed = Math.min(window, messages);
  const publisher = new Publisher(0, {
    client,
    topic,
    messageBytes,
    batch: 1,
    latencies,
    isMeasuring: () => true,
    onAnswered(count) {
      answered += count;
      const more = Math.min(count, messages - allowed);
      allowed += more;
      publisher.allow(more);
      if (answered === messages) over.resolve();
    },
    fail: over.reject,
  });
  const begin = (): void => {
    onWarm();
    publisher.allow(allowed);
  };
  const used = await measured({ warmUpSeconds: 0, seconds: BOUND_SECONDS }, begin, over.promise);
  publisher.close();
  client.close();
  if (answered < messages) throw new Error(`${answered} of ${messages} messages were published in ${BOUND_SECONDS} s`);
  return { completed: answered, ...used, ...latencies.quantiles() };
}

await runAsProcess(fill);
