/**
 * One session of a publisher, and the stream that it goes over. When the stream is lost, everything
 * that is unanswered goes again over the next one, in its order.
 */

import type * as grpc from '@grpc/grpc-js';
import {
  PublishStreamRequest,
  QueueServiceService,
  type PublishCall as WireCall,
  type PublishedRun,
  type PublishStreamResponse,
  type RefusedRun,
} from '../../gen/txmesh/queue/v1/queue.ts';
import type { Timer } from '../../runtime/clock.ts';
import { backoffDelayMs, CONNECTION_BACKOFF } from '../backoff.ts';
import { BatchedStream, streamEnded, type StreamKind, type StreamOwner } from '../batched-stream.ts';
import { meaningOf, type TxmeshError } from '../errors.ts';
import type { Lane } from '../lanes.ts';
import { isConnectionLoss, type Rpc } from '../rpc.ts';
import { Session } from '../session.ts';
import { errorFromGrpc, errorFromStatus } from '../status-codec.ts';
import type { TokenCalls } from '../token-calls.ts';
import { KeyOrder } from './key-order.ts';
import type { PublishCall } from './publish-call.ts';

type PublishStream = BatchedStream<WireCall, PublishStreamRequest, PublishStreamResponse>;

const { path, responseDeserialize } = QueueServiceService.publishStream;

export class PublishLane implements Lane<PublishCall>, StreamOwner<PublishStream, PublishStreamResponse> {
  readonly session: Session;
  private readonly rpc: Rpc;
  private readonly address: () => string;
  private readonly calls: TokenCalls<string, PublishCall>;
  private readonly kind: StreamKind<WireCall, PublishStreamRequest, PublishStreamResponse>;
  /** Not over yet, by sequence in ascending order. */
  private readonly pending = new Map<number, PublishCall>();
  private readonly order = new KeyOrder((call) => this.enqueue(call));
  private stream: PublishStream | undefined;
  private failures = 0;
  private reconnect: Timer | undefined;
  /** An ordering key is stuck on the stream: nothing new goes here. */
  private broken = false;
  /** The server does not know the session any more. */
  private expired: TxmeshError | undefined;
  /** Ordering keys of messages that went on under another session. What follows them can't be published here. */
  private readonly movedKeys = new Set<string>();

  constructor(rpc: Rpc, participant: string, topic: string, calls: TokenCalls<string, PublishCall>) {
    const { clock } = rpc.environment;
    const session = new Session(clock.nowMs(), clock.monotonicMs());
    this.rpc = rpc;
    this.calls = calls;
    this.session = session;
    this.address = () => rpc.map.route(participant, topic);
    this.kind = {
      path,
      request: PublishStreamRequest,
      responseDeserialize,
      frame: (wireCalls, isFirst) => ({
        ...(isFirst ? { participant, topic, session: session.id } : { participant: '', topic: '', session: '' }),
        settledBelow: session.settledBelow,
        calls: wireCalls,
      }),
    };
  }

  /** Whether the next call should have another lane. */
  isWorn(nowMs: number): boolean {
    return this.broken || this.session.isWorn(nowMs);
  }

  get isEmpty(): boolean {
    return this.pending.size === 0;
  }

  /** Whether something with this ordering key is not over. */
  hasKey(key: string): boolean {
    return this.order.has(key);
  }

  /** A new call. */
  send(call: PublishCall): void {
    call.session = this.session;
    call.sequence = this.session.take();
    this.pending.set(call.sequence, call);
    if (call.key === '') this.enqueue(call);
    else this.order.add(call);
  }

  /** The time of its next try has come. */
  retry(call: PublishCall): void {
    if (call.key === '') this.enqueue(call);
    else this.order.release(call.key);
  }

  /** It is over. */
  ended(call: PublishCall): void {
    this.pending.delete(call.sequence);
    if (call.key !== '') this.order.end(call);
  }

  close(): void {
    this.reconnect?.cancel();
    this.stream?.close();
    this.stream = undefined;
  }

  onResponse({ published, refused }: PublishStreamResponse): void {
    this.failures = 0;
    for (const run of published) this.onPublished(run);
    for (const run of refused) this.onRefused(run);
  }

  onEnd(stream: PublishStream, serviceError: grpc.ServiceError | undefined): void {
    const error = serviceError === undefined ? streamEnded(stream.address) : errorFromGrpc(serviceError);
    if (isConnectionLoss(error)) this.rpc.map.avoid(stream.address);
    const { clock, entropy } = this.rpc.environment;
    this.stream = undefined;
    this.order.pause();
    const delayMs = backoffDelayMs(CONNECTION_BACKOFF, ++this.failures, entropy(), error.retryAfterMs);
    this.reconnect = clock.setTimer(delayMs, () => this.resume());
    const wasRefused = !stream.answered && meaningOf(error) === 'refused';
    for (const call of [...this.pending.values()]) {
      if (this.movedKeys.has(call.key) && this.renew(call, this.expired!)) continue;
      if (call.carrier !== stream) continue;
      if (wasRefused && this.renew(call, error)) continue;
      this.calls.lost(call, error, wasRefused);
    }
    this.calls.advance();
  }

  private onPublished({ sequence, count, messageId }: PublishedRun): void {
    const dash = messageId.indexOf('-');
    const partition = messageId.slice(0, dash + 1);
    const position = Number(messageId.slice(dash + 1));
    for (let i = 0; i < count; i++) {
      const call = this.pending.get(sequence + i);
      if (call !== undefined) this.calls.succeed(call, `${partition}${position + i}`);
    }
  }

  private onRefused({ sequence, count, status }: RefusedRun): void {
    const answer = errorFromStatus(status);
    for (let i = 0; i < count; i++) {
      const call = this.pending.get(sequence + i);
      if (call !== undefined) this.onRefusedCall(call, answer);
    }
    this.calls.advance();
  }

  private onRefusedCall(call: PublishCall, error: TxmeshError): void {
    if (this.renew(call, error)) return;
    if (error.reason === 'ORDERING_KEY_PAUSED' && call.key !== '' && this.order.hasEarlier(call)) {
      // It comes back because of one before it, and goes again with that one.
      call.carrier = undefined;
      call.sent = false;
      this.order.hold(call);
      return this.order.release(call.key);
    }
    if (error.reason === 'ORDERING_KEY_PAUSED' && this.expired !== undefined && this.renew(call, this.expired)) return;
    // The key stays paused on this stream, as what it waits for will not be sent again.
    if (call.key !== '' && meaningOf(error) === 'refused') this.broken = true;
    if (!this.calls.refused(call, error)) return;
    this.calls.retryLater(call);
    if (call.key !== '') this.order.hold(call);
  }

  /** Whether it goes on under another session. */
  private renew(call: PublishCall, error: TxmeshError): boolean {
    if (!this.calls.renewed(call, error)) return false;
    this.expired = error;
    this.broken = true;
    if (call.key !== '') this.movedKeys.add(call.key);
    this.ended(call);
    return true;
  }

  private enqueue(call: PublishCall): void {
    if (this.reconnect !== undefined) return; // It goes when there is a stream again.
    this.stream ??= this.open();
    call.nextTryMs = undefined;
    call.tries++;
    call.carrier = this.stream;
    this.stream.enqueue(call);
  }

  private open(): PublishStream {
    const address = this.address();
    return new BatchedStream(address, this.rpc.channels.to(address), this.kind, this);
  }

  private resume(): void {
    this.reconnect = undefined;
    for (const call of this.pending.values()) if (call.key === '' && call.carrier === undefined && call.nextTryMs === undefined) this.enqueue(call);
    this.order.resume();
  }
}
