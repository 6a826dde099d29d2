/**
 * The load of a queue: a process of its own with as many consumers as producers, each a stream. Every
 * producer has a part of the messages that are under way at a time, from being published until the
 * acknowledgement is confirmed; what is confirmed makes room for the next.
 */

import { QueueServiceClient } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import { Latencies } from '../latencies.ts';
import { measured, runAsProcess, type LoadReport, type Phases } from '../measured.ts';
import { openClient } from '../streams.ts';
import { Publisher } from './publisher.ts';
import { Seen } from './seen.ts';
import { Subscriber } from './subscriber.ts';

export interface QueueLoad extends Phases {
  readonly address: string;
  readonly topic: string;
  readonly subscription: string;
  /** Producers, and as many consumers. */
  readonly producers: number;
  /** Messages under way at a time, of all producers together. */
  readonly window: number;
  readonly messageBytes: number;
}

export interface QueueReport extends LoadReport {
  readonly publishP50Ms: number;
  /** Messages that came more than once, in the whole run. */
  readonly redelivered: number;
}

/** A producer sends when a part of its messages are through. */
const BATCHES_UNDER_WAY = 4;
const FINISH_BOUND_MS = 60_000;

async function runLoad(options: QueueLoad, onWarm: () => void): Promise<QueueReport> {
  const client = openClient(QueueServiceClient, options.address);
  const failed = Promise.withResolvers<never>();
  const endToEnd = new Latencies();
  const publishing = new Latencies();
  const { producers, window } = options;
  const seen = Array.from({ length: producers }, () => new Seen());
  const finished = Promise.withResolvers<void>();
  let measuring = false;
  let stopped = false;
  let confirmed = 0;
  let completed = 0;
  let redelivered = 0;

  const onConfirmed = (of: Uint32Array): void => {
    confirmed += of.length;
    if (measuring) completed += of.length;
    for (const producer of of) publishers[producer]!.allow(1);
    if (stopped) finishIfDone();
  };
  const finishIfDone = (): void => {
    if (confirmed === sent()) finished.resolve();
  };
  const subscribers = Array.from(
    { length: producers },
    () =>
      new Subscriber({
        client,
        subscription: options.subscription,
        maxOutstandingMessages: Math.ceil((2 * window) / producers),
        onMessage: ({ sentMs, producer, sequence }, nowMs) => {
          if (measuring) endToEnd.add(nowMs - sentMs);
          const isNew = seen[producer]!.add(sequence);
          if (!isNew) redelivered++;
          return isNew;
        },
        onConfirmed,
        fail: failed.reject,
      }),
  );
  const publishers = Array.from(
    { length: producers },
    (_, index) =>
      new Publisher(index, {
        client,
        topic: options.topic,
        messageBytes: options.messageBytes,
        batch: Math.ceil(window / producers / BATCHES_UNDER_WAY),
        latencies: publishing,
        isMeasuring: () => measuring,
        fail: failed.reject,
      }),
  );
  const sent = (): number => publishers.reduce((sum, publisher) => sum + publisher.sent, 0);
  for (const publisher of publishers) publisher.allow(Math.ceil(window / producers));

  const begin = (): void => {
    onWarm();
    measuring = true;
  };
  const used = await measured(options, begin, failed.promise);
  measuring = false;
  stopped = true;
  for (const publisher of publishers) publisher.stop();
  finishIfDone();
  const bound = setTimeout(() => failed.reject(new Error(`${sent() - confirmed} of ${sent()} messages are not acknowledged`)), FINISH_BOUND_MS);
  await Promise.race([finished.promise, failed.promise]);
  clearTimeout(bound);
  for (const each of [...publishers, ...subscribers]) each.close();
  client.close();
  return { completed, ...used, ...endToEnd.quantiles(), publishP50Ms: publishing.quantiles().p50Ms, redelivered };
}

await runAsProcess(runLoad);
