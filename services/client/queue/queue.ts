/** A queue service: topics, subscriptions and messages. */

import type { Executor } from '../executor.ts';
import { checkedTimeoutMs, type CallOptions } from '../options.ts';
import type { Rpc } from '../rpc.ts';
import { messages, pull, type ConsumeOptions, type PullOptions } from './consume.ts';
import { wireMessage, type MessageLike } from './message.ts';
import { startSendSpan } from './messaging-spans.ts';
import type { Publisher } from './publisher.ts';
import type { Publishers } from './publishers.ts';
import type { ReceivedMessage } from './received-message.ts';
import { subscribe, type MessageHandler, type SubscribeOptions } from './subscribe.ts';
import { Snapshots, Subscriptions } from './subscriptions.ts';
import { Topics } from './topics.ts';

/** A queue service, as `mesh.queue()` makes it. */
export class Queue {
  /** Create, read, change and delete topics. */
  readonly topics: Topics;
  /** Create, read, change, move and delete subscriptions. */
  readonly subscriptions: Subscriptions;
  /** Create, list and delete snapshots of subscriptions. */
  readonly snapshots: Snapshots;
  private readonly rpc: Rpc;
  private readonly executor: Executor;
  private readonly publishers: Publishers;
  private readonly participant: string;

  constructor(rpc: Rpc, executor: Executor, publishers: Publishers, participant: string) {
    this.rpc = rpc;
    this.executor = executor;
    this.publishers = publishers;
    this.participant = participant;
    this.topics = new Topics(rpc, participant);
    this.subscriptions = new Subscriptions(rpc, participant);
    this.snapshots = new Snapshots(rpc, participant);
  }

  /**
   * Publishes a message and returns its id, when it is durable (of a memory topic: in memory). What is
   * published in one turn of the event loop travels together. Where an answer is lost, the message is
   * sent again and never published twice. When much is under way it waits for room, so await it now
   * and then.
   * @throws Overloaded, Unavailable: it was not published
   * @throws OutcomeUnknown if no answer arrived in time: `error.settle()` publishes it, if it was not
   * @throws TransactionAborted with reason ORDERING_KEY_PAUSED, if one before it with the same ordering
   * key could not be published; it was not, and what is published from now on is
   */
  publish(topic: string, message: MessageLike, options?: CallOptions): Promise<string>;
  /**
   * Publishes many messages and returns their ids in the same order. Not all or nothing (a transaction
   * does that): if it throws, it is because of the first that failed, and others may be published.
   */
  publish(topic: string, messages: readonly MessageLike[], options?: CallOptions): Promise<string[]>;
  async publish(topic: string, message: MessageLike | readonly MessageLike[], options: CallOptions = {}): Promise<string | string[]> {
    if (!isMany(message)) return (await this.publishAll(topic, [message], options))[0]!;
    return this.publishAll(topic, message, options);
  }

  /** Takes messages, each for the time of its acknowledgement deadline. Empty if none came in time. */
  pull(subscription: string, options: PullOptions = {}): Promise<ReceivedMessage[]> {
    return pull(this.rpc, this.participant, subscription, options);
  }

  /**
   * The messages of a subscription as they arrive. Each has to be acknowledged; until then its deadline
   * is extended, for as long as the iteration goes on and within a bound. Goes on by itself after a lost
   * connection.
   * @throws Cancelled when the signal fires
   */
  messages(subscription: string, options: ConsumeOptions = {}): AsyncGenerator<ReceivedMessage, never, undefined> {
    return messages(this.rpc, this.participant, subscription, options);
  }

  /**
   * Handles each message exactly once: the handler runs inside a transaction, which also acknowledges
   * the message. What the handler reads and does by `tx` takes effect together with the acknowledgement
   * or not at all. On a conflict it runs again; if it throws, or the transaction can't be committed, the
   * message is given back and comes again after the backoff of the subscription's retry policy.
   *
   * Runs until the signal fires or the connection is closed; then finishes what is under way and returns.
   * @throws whatever makes going on useless, such as NotFound
   */
  subscribe(subscription: string, handler: MessageHandler, options: SubscribeOptions = {}): Promise<void> {
    return subscribe(this.rpc, this.executor, this.participant, subscription, handler, options);
  }

  private async publishAll(topic: string, all: readonly MessageLike[], options: CallOptions): Promise<string[]> {
    const { signal, timeoutMs = this.rpc.settings.timeoutMs } = options;
    const deadlineMs = this.rpc.environment.clock.monotonicMs() + checkedTimeoutMs(timeoutMs);
    const span = startSendSpan(topic, all.length);
    try {
      const wire = all.map((message) => wireMessage(message, span.traceparent));
      const publisher = this.publishers.to(this.participant, topic);
      const ids = await publishInTurn(publisher, wire, { deadlineMs, signal, span: undefined });
      span.end(ids);
      return ids;
    } catch (error) {
      span.fail(error);
      throw error;
    }
  }
}

/** Goes on with the next message when there is room for it. */
async function publishInTurn(
  publisher: Publisher,
  all: readonly Parameters<Publisher['publish']>[0][],
  options: Parameters<Publisher['publish']>[1],
): Promise<string[]> {
  const published: Promise<string>[] = [];
  let oldest = 0;
  for (const message of all) {
    while (publisher.isFull && oldest < published.length) await Promise.allSettled([published[oldest++]]);
    const id = publisher.publish(message, options);
    id.catch(() => undefined); // It is thrown below.
    published.push(id);
  }
  await Promise.allSettled(published);
  return Promise.all(published);
}

function isMany(message: MessageLike | readonly MessageLike[]): message is readonly MessageLike[] {
  return Array.isArray(message);
}
