/**
 * A StreamingPull that goes on by itself after a lost connection. Acknowledgements and deadlines of one
 * turn of the event loop go out in one message; those that were not confirmed go again over the next
 * stream, and after the end by unary calls.
 */

import * as grpc from '@grpc/grpc-js';
import {
  QueueServiceService,
  type AckFailure,
  type ReceivedMessage as WireMessage,
  type StreamingPullRequest,
  type StreamingPullResponse,
} from '../../gen/txmesh/queue/v1/queue.ts';
import type { Timer } from '../../runtime/clock.ts';
import { strict } from '../../runtime/transport/decode.ts';
import { backoffDelayMs, CONNECTION_BACKOFF } from '../backoff.ts';
import { streamEnded } from '../batched-stream.ts';
import { meaningOf, type TxmeshError } from '../errors.ts';
import { isConnectionLoss, type Rpc } from '../rpc.ts';
import { errorFromGrpc } from '../status-codec.ts';
import { duration } from '../times.ts';
import { ackError, FRAME_ACKS, type AckRequest, type UnaryAcks } from './acks.ts';

export interface PullStreamOptions {
  readonly participant: string;
  readonly subscription: string;
  readonly ackDeadlineMs: number;
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export interface PullStreamOwner {
  onMessages(messages: readonly WireMessage[]): void;
  /** The server refuses the stream, for good. */
  onFailed(error: TxmeshError): void;
}

/** What one message to the server carried, until it is confirmed. */
interface Sent {
  readonly sequence: number;
  requests: AckRequest[];
}

type Stream = grpc.ClientDuplexStream<StreamingPullRequest, StreamingPullResponse>;

const { path, requestSerialize, responseDeserialize } = QueueServiceService.streamingPull;

export class PullStream {
  private readonly rpc: Rpc;
  private readonly options: PullStreamOptions;
  private readonly owner: PullStreamOwner;
  private readonly afterwards: UnaryAcks;
  private stream: Stream | undefined;
  private address = '';
  private failures = 0;
  private reconnect: Timer | undefined;
  private over = false;
  private readonly ended = Promise.withResolvers<void>();
  private queue: AckRequest[] = [];
  private sent: Sent[] = [];
  private sequence = 0;
  private flushScheduled = false;
  private blocked = false;

  constructor(rpc: Rpc, options: PullStreamOptions, owner: PullStreamOwner, afterwards: UnaryAcks) {
    this.rpc = rpc;
    this.options = options;
    this.owner = owner;
    this.afterwards = afterwards;
    this.open();
  }

  send(request: AckRequest): void {
    if (this.over) return this.afterwards.send(request);
    this.queue.push(request);
    if (this.flushScheduled || this.blocked || this.stream === undefined) return;
    this.flushScheduled = true;
    setImmediate(() => this.flush());
  }

  /** Takes no more messages. Resolves when what was sent is confirmed, or the server has gone. */
  async finish(): Promise<void> {
    if (!this.over && this.stream !== undefined) this.flush();
    const { stream } = this;
    this.end();
    if (stream === undefined) return;
    stream.end();
    await this.ended.promise;
  }

  /** Breaks it off. */
  close(): void {
    this.end();
    this.stream?.cancel();
  }

  /** From now on everything goes by unary calls, but what was sent. */
  private end(): void {
    this.over = true;
    this.reconnect?.cancel();
    for (const request of this.queue.splice(0)) this.afterwards.send(request);
  }

  private open(): void {
    this.reconnect = undefined;
    const { rpc, options } = this;
    const { participant, subscription, ackDeadlineMs, maxMessages, maxBytes } = options;
    this.address = rpc.map.route(participant, subscription);
    const stream: Stream = rpc.channels.to(this.address).makeBidiStreamRequest(path, requestSerialize, strict(responseDeserialize));
    this.stream = stream;
    this.blocked = false;
    stream.on('data', (response: StreamingPullResponse) => this.onResponse(response));
    stream.on('drain', () => {
      this.blocked = false;
      this.flush();
    });
    stream.on('error', (error: grpc.ServiceError) => this.onEnd(stream, error));
    stream.on('end', () => this.onEnd(stream, undefined));
    this.write({
      participant,
      subscription,
      ackDeadline: duration(ackDeadlineMs, 'ackDeadlineMs'),
      maxOutstandingMessages: maxMessages,
      maxOutstandingBytes: maxBytes,
    });
    this.flush();
  }

  private write(request: Partial<StreamingPullRequest>): void {
    this.blocked = !this.stream!.write({
      participant: '',
      subscription: '',
      ackDeadline: undefined,
      maxOutstandingMessages: 0,
      maxOutstandingBytes: 0,
      acknowledgeIds: [],
      modifyDeadlines: [],
      sequence: 0,
      ...request,
    });
  }

  private flush(): void {
    this.flushScheduled = false;
    while (this.queue.length > 0 && !this.blocked && this.stream !== undefined) {
      const requests = this.queue.splice(0, FRAME_ACKS);
      const sequence = ++this.sequence;
      this.sent.push({ sequence, requests });
      const acknowledgeIds: string[] = [];
      const modifyDeadlines = [];
      for (const { ackId, deadlineMs } of requests) {
        if (deadlineMs === undefined) acknowledgeIds.push(ackId);
        else modifyDeadlines.push({ ackId, ackDeadline: duration(deadlineMs, 'deadlineMs') });
      }
      this.write({ acknowledgeIds, modifyDeadlines, sequence });
    }
  }

  private onResponse({ messages, confirmedSequence, failures }: StreamingPullResponse): void {
    this.failures = 0;
    for (const failure of failures) this.onFailure(failure);
    while (this.sent.length > 0 && this.sent[0]!.sequence <= confirmedSequence) for (const { done } of this.sent.shift()!.requests) done();
    if (this.over) this.giveBack(messages);
    else if (messages.length > 0) this.owner.onMessages(messages);
  }

  private onFailure(failure: AckFailure): void {
    for (const sent of this.sent) {
      const failed = sent.requests.filter(({ ackId }) => ackId === failure.ackId);
      if (failed.length === 0) continue;
      sent.requests = sent.requests.filter(({ ackId }) => ackId !== failure.ackId);
      for (const request of failed) {
        const { error, again } = ackError(failure, request.open);
        if (!again) request.done(error);
        else {
          request.open ||= meaningOf(error) === 'unknown';
          // Unary calls try again with growing delays, and have a deadline.
          this.afterwards.send(request);
        }
      }
      return;
    }
  }

  /** What comes when nobody takes it any more. Where this fails, it comes again after its deadline. */
  private giveBack(messages: readonly WireMessage[]): void {
    for (const { ackId } of messages) this.afterwards.send({ ackId, deadlineMs: 0, open: false, done: () => undefined });
  }

  private onEnd(stream: Stream, serviceError: grpc.ServiceError | undefined): void {
    if (this.stream !== stream) return;
    stream.cancel();
    this.stream = undefined;
    const unconfirmed = this.sent.flatMap(({ requests }) => requests);
    this.sent = [];
    for (const request of unconfirmed) request.open = true;
    this.queue.unshift(...unconfirmed);
    if (this.over) {
      this.end();
      return this.ended.resolve();
    }
    const error = serviceError === undefined ? streamEnded(this.address) : errorFromGrpc(serviceError);
    const meaning = meaningOf(error);
    if (meaning === 'refused' || meaning === 'defect') {
      this.end();
      this.ended.resolve();
      return this.owner.onFailed(error);
    }
    if (isConnectionLoss(error)) this.rpc.map.avoid(this.address);
    const { clock, entropy } = this.rpc.environment;
    this.reconnect = clock.setTimer(backoffDelayMs(CONNECTION_BACKOFF, ++this.failures, entropy(), error.retryAfterMs), () => this.open());
  }
}
