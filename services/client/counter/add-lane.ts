/** One session of adds, with its streams: one to each server that leads a counter that is added to. */

import type * as grpc from '@grpc/grpc-js';
import {
  AddStreamRequest,
  CounterServiceService,
  type AddResult,
  type AddStreamResponse,
} from '../../gen/txmesh/counter/v1/counter.ts';
import { toDuration } from '../../runtime/transport/time.ts';
import { BatchedStream, streamEnded, type StreamKind, type StreamOwner } from '../batched-stream.ts';
import { toldRemainingMs } from '../deadline.ts';
import { meaningOf, type TxmeshError } from '../errors.ts';
import type { Lane } from '../lanes.ts';
import { isConnectionLoss, type Rpc } from '../rpc.ts';
import { Session } from '../session.ts';
import { errorFromGrpc, errorFromStatus } from '../status-codec.ts';
import type { TokenCalls } from '../token-calls.ts';
import { sentTo } from '../trace.ts';
import type { AddCall, AddWire } from './add-call.ts';

type AddStream = BatchedStream<AddWire, AddStreamRequest, AddStreamResponse>;

const { path, responseDeserialize } = CounterServiceService.addStream;

export class AddLane implements Lane<AddCall>, StreamOwner<AddStream, AddStreamResponse> {
  readonly session: Session;
  private readonly rpc: Rpc;
  private readonly participant: string;
  private readonly calls: TokenCalls<bigint | undefined, AddCall>;
  private readonly kind: StreamKind<AddWire, AddStreamRequest, AddStreamResponse>;
  /** Not over yet, by sequence. */
  private readonly pending = new Map<number, AddCall>();
  private readonly streams = new Map<string, AddStream>();
  /** The server does not know the session any more. */
  private expired = false;

  constructor(rpc: Rpc, participant: string, calls: TokenCalls<bigint | undefined, AddCall>) {
    const { clock } = rpc.environment;
    const session = new Session(clock.nowMs(), clock.monotonicMs());
    this.rpc = rpc;
    this.participant = participant;
    this.calls = calls;
    this.session = session;
    this.kind = {
      path,
      request: AddStreamRequest,
      responseDeserialize,
      frame: (adds) => frameOf(participant, session, adds, clock.monotonicMs()),
    };
  }

  /** Whether the next add should have another lane. */
  isWorn(nowMs: number): boolean {
    return this.expired || this.session.isWorn(nowMs);
  }

  get isEmpty(): boolean {
    return this.pending.size === 0;
  }

  /** A new call. */
  send(call: AddCall): void {
    call.session = this.session;
    call.sequence = this.session.take();
    this.pending.set(call.sequence, call);
    this.enqueue(call);
  }

  /** Puts it on the stream to the server that leads its counter. */
  enqueue(call: AddCall): void {
    const address = this.rpc.map.route(this.participant, call.counter);
    let stream = this.streams.get(address);
    if (stream === undefined) {
      stream = new BatchedStream(address, this.rpc.channels.to(address), this.kind, this);
      this.streams.set(address, stream);
    }
    call.tries++;
    call.carrier = stream;
    sentTo(call.span, address);
    stream.enqueue(call);
  }

  /** It is over. */
  ended(call: AddCall): void {
    this.pending.delete(call.sequence);
  }

  close(): void {
    for (const stream of this.streams.values()) stream.close();
    this.streams.clear();
  }

  onResponse({ results }: AddStreamResponse): void {
    for (const result of results) this.onResult(result);
    this.calls.advance();
  }

  onEnd(stream: AddStream, serviceError: grpc.ServiceError | undefined): void {
    if (this.streams.get(stream.address) === stream) this.streams.delete(stream.address);
    const error = serviceError === undefined ? streamEnded(stream.address) : errorFromGrpc(serviceError);
    if (isConnectionLoss(error)) this.rpc.map.avoid(stream.address);
    const wasRefused = !stream.answered && meaningOf(error) === 'refused';
    for (const call of [...this.pending.values()]) {
      if (call.carrier !== stream || (wasRefused && this.renew(call, error))) continue;
      if (this.calls.lost(call, error, wasRefused)) this.calls.retryLater(call);
    }
    this.calls.advance();
  }

  private onResult({ sequence, value, error }: AddResult): void {
    const call = this.pending.get(sequence);
    if (call === undefined) return;
    if (error === undefined) return this.calls.succeed(call, value);
    const failure = errorFromStatus(error);
    if (this.renew(call, failure)) return;
    if (this.calls.refused(call, failure)) this.calls.retryLater(call);
  }

  /** Whether it goes on under another session. */
  private renew(call: AddCall, error: TxmeshError): boolean {
    if (!this.calls.renewed(call, error)) return false;
    this.expired = true;
    this.ended(call);
    return true;
  }
}

/** @param nowMs by the monotonic clock */
function frameOf(participant: string, session: Session, adds: readonly AddWire[], nowMs: number): AddStreamRequest {
  let last = '';
  let deadlineMs = 0;
  let traceparent = '';
  const wire = adds.map((add) => {
    const counter = add.counter === last ? '' : add.counter;
    last = add.counter;
    deadlineMs = Math.max(deadlineMs, add.deadlineMs);
    traceparent ||= add.traceparent;
    return { sequence: add.sequence, counter, amount: add.amount };
  });
  const remaining = toDuration(toldRemainingMs(deadlineMs - nowMs));
  return { participant, session: session.id, settledBelow: session.settledBelow, adds: wire, remaining, traceparent };
}
