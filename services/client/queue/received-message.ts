/** A message as a consumer has it: what it says, and what may be done about it. */

import type { ReceivedMessage as WireMessage } from '../../gen/txmesh/queue/v1/queue.ts';
import { timestampMs } from '../../runtime/transport/time.ts';
import { invalidRequest } from '../errors.ts';
import type { AckRequest } from './acks.ts';

/** Whoever delivered a message, and looks after it until it is settled. */
export interface MessageHolder {
  readonly participant: string;
  readonly subscription: string;
  send(request: AckRequest): void;
  /** The message is settled, or left to its deadline, which is not extended any more. */
  release(message: ReceivedMessage): void;
  /** A transaction has acknowledged the message. */
  committed(message: ReceivedMessage): void;
}

const decoder = new TextDecoder();

/** A message that was delivered. It has to be acknowledged before its deadline, or it comes again. */
export class ReceivedMessage {
  readonly participant: string;
  readonly subscription: string;
  /** Names it within its topic. */
  readonly id: string;
  readonly data: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  /** Empty: none. */
  readonly orderingKey: string;
  readonly priority: number;
  /** By the server's clock. */
  readonly publishTime: Date;
  /** 1 for the first delivery. */
  readonly deliveryAttempt: number;
  /** W3C traceparent of the span that sent it; empty: not traced. */
  readonly traceparent: string;
  /** Names this delivery, for `acknowledge` operations. */
  readonly ackId: string;
  private readonly holder: MessageHolder;
  private isSettled = false;
  private isExpired = false;

  constructor(holder: MessageHolder, wire: WireMessage) {
    const { data, attributes, orderingKey, priority, traceparent } = wire.message!;
    this.holder = holder;
    this.participant = holder.participant;
    this.subscription = holder.subscription;
    this.id = wire.messageId;
    this.data = data;
    this.attributes = attributes;
    this.orderingKey = orderingKey;
    this.priority = priority;
    this.publishTime = new Date(wire.publishTime === undefined ? 0 : timestampMs(wire.publishTime));
    this.deliveryAttempt = wire.deliveryAttempt;
    this.traceparent = traceparent;
    this.ackId = wire.ackId;
  }

  /** What it says, as text (UTF-8). */
  text(): string {
    return decoder.decode(this.data);
  }

  /**
   * What it says, as a JSON document; its type is the caller's claim.
   * @throws SyntaxError if it is none
   */
  json<T = unknown>(): T {
    return JSON.parse(decoder.decode(this.data)) as T;
  }

  /** Whether it was acknowledged, given back, or acknowledged in a transaction. */
  get settled(): boolean {
    return this.isSettled;
  }

  /** Whether it was held for so long that its deadline is not extended any more: it comes again. */
  get expired(): boolean {
    return this.isExpired;
  }

  /**
   * Acknowledges it; resolves when that is durable. Once is enough: a lost acknowledgement is sent again.
   * @throws FailedPrecondition with reason ACK_EXPIRED: too late, at a subscription with exactly-once delivery
   * @throws OutcomeUnknown with such a subscription, if an earlier try may have gone through
   */
  async ack(): Promise<void> {
    this.settle();
    return this.request(undefined);
  }

  /** Gives it back: it is delivered again, after the backoff of the subscription's retry policy. */
  async nack(): Promise<void> {
    this.settle();
    return this.request(0);
  }

  /**
   * Moves its deadline.
   * @param deadlineMs from now on, milliseconds, at most 12 h
   */
  async extend(deadlineMs: number): Promise<void> {
    if (this.isSettled) throw invalidRequest(`message ${this.id} is settled already`);
    if (!(deadlineMs > 0)) throw invalidRequest(`the deadline is ${deadlineMs}; it must be more than 0 milliseconds`, 'deadlineMs');
    return this.request(deadlineMs);
  }

  /** @internal A transaction has acknowledged it. */
  committed(): void {
    this.isSettled = true;
    this.holder.committed(this);
  }

  /** @internal It is left to its deadline, or to others. */
  release(): void {
    this.isSettled = true;
    this.holder.release(this);
  }

  /** @internal */
  expire(): void {
    this.isExpired = true;
  }

  private settle(): void {
    if (this.isSettled) throw invalidRequest(`message ${this.id} is settled already`);
    this.release();
  }

  private request(deadlineMs: number | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.holder.send({ ackId: this.ackId, deadlineMs, open: false, done: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }
}
