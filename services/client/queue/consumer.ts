/** Takes messages of a subscription as they arrive, keeps their deadlines from passing, and hands them out. */

import type { ReceivedMessage as WireMessage } from '../../gen/txmesh/queue/v1/queue.ts';
import { sleep } from '../deadline.ts';
import type { TxmeshError } from '../errors.ts';
import type { Rpc } from '../rpc.ts';
import { UnaryAcks, type AckRequest } from './acks.ts';
import { Leases } from './leases.ts';
import { PullStream, type PullStreamOptions } from './pull-stream.ts';
import { ReceivedMessage, type MessageHolder } from './received-message.ts';

/** How long the end waits for confirmations, milliseconds; what is not confirmed by then is asked for again. */
const FINISH_MS = 10_000;

export interface ConsumerOptions extends PullStreamOptions {
  /** For how long a message's deadline is extended, from its delivery on, milliseconds. */
  readonly maxExtensionMs: number;
}

export class Consumer implements MessageHolder {
  readonly participant: string;
  readonly subscription: string;
  private readonly rpc: Rpc;
  private readonly stream: PullStream;
  private readonly leases: Leases;
  /** Delivered and not handed out; bounded by what the stream lets through. */
  private buffer: ReceivedMessage[] = [];
  private readonly waiting: PromiseWithResolvers<ReceivedMessage | undefined>[] = [];
  /** Those whose extension has not been confirmed yet: one at a time. */
  private readonly extending = new Set<ReceivedMessage>();
  private failure: TxmeshError | undefined;
  private stopped: Promise<void> | undefined;

  constructor(rpc: Rpc, options: ConsumerOptions) {
    const { participant, subscription } = options;
    this.rpc = rpc;
    this.participant = participant;
    this.subscription = subscription;
    const owner = {
      onMessages: (messages: readonly WireMessage[]) => this.take(messages),
      onFailed: (error: TxmeshError) => this.fail(error),
    };
    this.stream = new PullStream(rpc, options, owner, new UnaryAcks(rpc, participant, subscription));
    this.leases = new Leases(rpc.environment.clock, options, {
      extend: (message, deadlineMs) => this.extend(message, deadlineMs),
      expired: (message) => this.forget(message),
    });
    // Whoever has messages then may never say that it is done with them.
    rpc.closed.addEventListener('abort', this.close, { once: true });
  }

  /**
   * The next message, or undefined when it was stopped.
   * @throws the server's error when going on is no use
   */
  next(): Promise<ReceivedMessage | undefined> {
    const message = this.buffer.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.stopped !== undefined) return Promise.resolve(undefined);
    const waiting = Promise.withResolvers<ReceivedMessage | undefined>();
    this.waiting.push(waiting);
    return waiting.promise;
  }

  /**
   * Takes no more messages and gives back those that were not handed out. The others are still kept
   * from expiring until {@link close}.
   */
  stop(): Promise<void> {
    this.stopped ??= this.finish();
    return this.stopped;
  }

  /** No deadline is extended any more. */
  readonly close = (): void => {
    this.rpc.closed.removeEventListener('abort', this.close);
    this.leases.close();
  };

  send(request: AckRequest): void {
    this.stream.send(request);
  }

  release(message: ReceivedMessage): void {
    this.leases.remove(message);
  }

  /**
   * Tells the stream at once, which looks only now and then for what transactions have done, that there is
   * room again. This comes after the transaction, so it is no matter what becomes of it.
   */
  committed(message: ReceivedMessage): void {
    this.leases.remove(message);
    if (this.stopped === undefined) this.send({ ackId: message.ackId, deadlineMs: undefined, open: false, done: () => undefined });
  }

  private async finish(): Promise<void> {
    for (const waiting of this.waiting.splice(0)) waiting.resolve(undefined);
    for (const message of this.buffer.splice(0)) {
      this.leases.remove(message);
      this.send({ ackId: message.ackId, deadlineMs: 0, open: false, done: () => undefined });
    }
    const late = new AbortController();
    const bound = sleep(this.rpc.environment.clock, FINISH_MS, AbortSignal.any([late.signal, this.rpc.closed]));
    await Promise.race([this.stream.finish(), bound]);
    late.abort();
    this.stream.close();
  }

  private take(messages: readonly WireMessage[]): void {
    for (const wire of messages) {
      // After a failover what is out comes again. Whoever has it goes on; if that fails, it comes once more.
      if (this.leases.has(wire.messageId)) continue;
      const message = new ReceivedMessage(this, wire);
      this.leases.add(message);
      const waiting = this.waiting.shift();
      if (waiting === undefined) this.buffer.push(message);
      else waiting.resolve(message);
    }
  }

  /** A message whose deadline is over is not handed out any more. */
  private forget(message: ReceivedMessage): void {
    message.expire();
    const place = this.buffer.indexOf(message);
    if (place >= 0) this.buffer.splice(place, 1);
  }

  /** Where it can't be extended, it is delivered again, and its acknowledgement tells. */
  private extend(message: ReceivedMessage, deadlineMs: number): void {
    if (this.extending.has(message)) return;
    this.extending.add(message);
    this.send({ ackId: message.ackId, deadlineMs, open: false, done: () => void this.extending.delete(message) });
  }

  private fail(error: TxmeshError): void {
    this.failure = error;
    for (const waiting of this.waiting.splice(0)) waiting.reject(error);
  }
}
