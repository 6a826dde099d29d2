/** Ways to take the messages of a subscription: a pull, an iteration, or a handler in transactions. */

import { QueueServiceService as methods, type Subscription as WireSubscription } from '../../gen/txmesh/queue/v1/queue.ts';
import { durationMs } from '../../runtime/transport/time.ts';
import { cancelled, closedError, invalidRequest } from '../errors.ts';
import type { CallOptions } from '../options.ts';
import type { Rpc } from '../rpc.ts';
import { duration } from '../times.ts';
import { UnaryAcks } from './acks.ts';
import { Consumer, type ConsumerOptions } from './consumer.ts';
import { ReceivedMessage, type MessageHolder } from './received-message.ts';

export interface PullOptions extends CallOptions {
  /** 1 to 1000. Default 1. */
  readonly maxMessages?: number;
  /** About so many bytes, at least one message; at most 4 MiB, the default. */
  readonly maxBytes?: number;
  /** How long to wait for a first message, milliseconds, at most 60,000. Default 0. */
  readonly waitMs?: number;
  /** The time to acknowledge, milliseconds, which nothing extends by itself. Default: the subscription's. */
  readonly ackDeadlineMs?: number;
}

export interface ConsumeOptions {
  readonly signal?: AbortSignal;
  /**
   * Most messages that are here and not settled, 1 to 100,000. Default 1,000; of `subscribe` twice its
   * `concurrency`.
   */
  readonly maxMessages?: number;
  /** Most bytes of such messages; one message is always allowed. Default 64 MiB. */
  readonly maxBytes?: number;
  /**
   * For how long a message's deadline is extended while somebody has it, from its delivery on,
   * milliseconds. Default 10 minutes.
   */
  readonly maxExtensionMs?: number;
  /**
   * The acknowledgement deadline to ask for and to renew, milliseconds, 10 to 43,200,000 (12 h). If this
   * consumer dies, its messages are delivered again after it. Default: the subscription's.
   */
  readonly ackDeadlineMs?: number;
}

const DEFAULT_MESSAGES = 1_000;
const DEFAULT_BYTES = 64 * 1024 * 1024;
const DEFAULT_EXTENSION_MS = 10 * 60_000;
const DEFAULT_ACK_DEADLINE_MS = 10_000;

export async function pull(rpc: Rpc, participant: string, subscription: string, options: PullOptions): Promise<ReceivedMessage[]> {
  const { maxMessages = 1, maxBytes = 0, waitMs = 0, ackDeadlineMs, signal, timeoutMs = rpc.settings.timeoutMs + waitMs } = options;
  demandCount(maxMessages, 'maxMessages');
  const acks = new UnaryAcks(rpc, participant, subscription);
  const nothing = (): void => undefined;
  const holder: MessageHolder = { participant, subscription, send: (request) => acks.send(request), release: nothing, committed: nothing };
  const request = {
    participant,
    subscription,
    maxMessages,
    maxBytes,
    wait: duration(waitMs, 'waitMs'),
    ackDeadline: duration(ackDeadlineMs, 'ackDeadlineMs'),
    partition: undefined,
  };
  const { messages } = await rpc.call(methods.pull, request, { signal, timeoutMs, route: { service: participant, routingKey: subscription } });
  return messages.map((wire) => new ReceivedMessage(holder, wire));
}

/** What a consumer of a subscription works with. */
export interface Opened {
  readonly consumer: Consumer;
  readonly subscription: WireSubscription;
}

export async function openConsumer(rpc: Rpc, participant: string, name: string, options: ConsumeOptions): Promise<Opened> {
  const { maxMessages = DEFAULT_MESSAGES, maxBytes = DEFAULT_BYTES, maxExtensionMs = DEFAULT_EXTENSION_MS, signal } = options;
  demandCount(maxMessages, 'maxMessages');
  demandCount(maxBytes, 'maxBytes');
  if (!(maxExtensionMs >= 0)) throw invalidRequest(`maxExtensionMs is ${maxExtensionMs}; it must be a time in milliseconds, not negative`, 'maxExtensionMs');
  const route = { service: participant, routingKey: name };
  const { subscription } = await rpc.call(methods.getSubscription, { participant, name }, { signal, route });
  if (rpc.closed.aborted) throw closedError(); // While it was answered.
  const own = subscription!.ackDeadline === undefined ? DEFAULT_ACK_DEADLINE_MS : durationMs(subscription!.ackDeadline);
  const settings: ConsumerOptions = {
    participant,
    subscription: name,
    ackDeadlineMs: options.ackDeadlineMs ?? own,
    maxMessages,
    maxBytes,
    maxExtensionMs,
  };
  return { consumer: new Consumer(rpc, settings), subscription: subscription! };
}

export async function* messages(rpc: Rpc, participant: string, name: string, options: ConsumeOptions): AsyncGenerator<ReceivedMessage, never, undefined> {
  const what = `the messages of ${name}`;
  const signal = options.signal === undefined ? rpc.closed : AbortSignal.any([options.signal, rpc.closed]);
  if (signal.aborted) throw cancelled(signal, what);
  const { consumer } = await openConsumer(rpc, participant, name, options);
  const stop = (): void => void consumer.stop();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    for (;;) {
      const message = await consumer.next();
      if (message === undefined) throw cancelled(signal, what);
      yield message;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    await consumer.stop();
    consumer.close();
  }
}

function demandCount(count: number, field: string): void {
  if (!Number.isSafeInteger(count) || count < 1) throw invalidRequest(`${field} is ${count}; it must be a whole number from 1 on`, field);
}
