/**
 * Execute, as fast as it goes and never guessing: each call goes to the leader that decides it; a call
 * whose answer was lost is sent again under the same id until its outcome is known or its time is over.
 * One timer serves all deadlines and retries.
 */

import * as grpc from '@grpc/grpc-js';
import { CoordinatorServiceService, type ExecuteResult, type ExecuteStreamResponse } from '../gen/txmesh/coordinator/v1/coordinator.ts';
import { TRACEPARENT_HEADER } from '../runtime/transport/service.ts';
import { backoffDelayMs, CONNECTION_BACKOFF } from './backoff.ts';
import { BatchedStream, streamEnded, type StreamOwner } from './batched-stream.ts';
import { COORDINATOR } from './cluster-map.ts';
import { cancelled, closedError, deadlineExceeded, makeError, meaningOf, neverBegan, outcomeUnknown, type TxmeshError } from './errors.ts';
import { EXECUTE_STREAM, type ExecuteStream } from './execute-codec.ts';
import { newTransactionId } from './ids.ts';
import { isCommitted } from './interactive.ts';
import type { Operation } from './operations.ts';
import { checkedTimeoutMs, type CallOptions } from './options.ts';
import { outcomeOf, type Outcome } from './outcome-codec.ts';
import { PendingCall } from './pending-call.ts';
import { isConnectionLoss, type Rpc } from './rpc.ts';
import { errorFromGrpc, errorFromStatus } from './status-codec.ts';
import { Sweep } from './sweep.ts';
import { checkedMs } from './times.ts';
import { sentTo, startCallSpan } from './trace.ts';

/** A larger call goes alone: a frame that is too large for the server would end the stream for all. */
const STREAM_CALL_BYTES = 1024 * 1024;
const OVERLOAD_RETRY_MS = 100;
const SERVICE = 'txmesh.coordinator.v1.CoordinatorService';

export interface ExecuteOptions extends CallOptions {
  /** 1 to 4096, of at most 128 branches. */
  readonly operations: readonly Operation[];
  /** UUIDv7, the idempotency key: the same id with the same operations has one outcome. Default: a new one. */
  readonly transactionId?: string;
  /** When the work was first tried: its age in lock conflicts. Default: the time in the id. */
  readonly firstTryTime?: Date;
}

export class Executor implements StreamOwner<ExecuteStream, ExecuteStreamResponse> {
  private readonly rpc: Rpc;
  private readonly calls = new Map<number, PendingCall>();
  private readonly streams = new Map<string, ExecuteStream>();
  private lastSequence = 0;
  private readonly sweep: Sweep;
  private closed = false;
  private readonly nowMs: () => number;

  constructor(rpc: Rpc) {
    this.rpc = rpc;
    const { clock } = rpc.environment;
    this.nowMs = () => clock.monotonicMs();
    this.sweep = new Sweep(clock, (nowMs) => this.runSweep(nowMs));
  }

  execute(options: ExecuteOptions): Promise<Outcome> {
    const { settings } = this.rpc;
    const { signal, transactionId = newTransactionId(), operations, timeoutMs = settings.timeoutMs, firstTryTime } = options;
    if (this.closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(cancelled(signal, 'Execute', transactionId));
    if (this.calls.size >= settings.maxPending) return Promise.reject(overloaded(settings.maxPending));
    return new Promise((resolve, reject) => {
      const deadlineMs = this.nowMs() + checkedTimeoutMs(timeoutMs);
      const firstTryMs = firstTryTime && checkedMs(firstTryTime.getTime(), 'firstTryTime');
      const span = startCallSpan(SERVICE, 'Execute');
      const pending = { transactionId, operations, firstTryMs, deadlineMs, signal, span };
      const call = new PendingCall(this.nextSequence(), pending, this.nowMs, resolve, reject);
      this.calls.set(call.sequence, call);
      if (signal !== undefined) {
        call.onAbort = () => this.giveUp(call, cancelled(signal, 'Execute', transactionId));
        signal.addEventListener('abort', call.onAbort, { once: true });
      }
      this.sweep.at(deadlineMs);
      this.dispatch(call);
    });
  }

  /** The addresses that there is a stream to. */
  get addresses(): Iterable<string> {
    return this.streams.keys();
  }

  /** How many calls are under way. */
  get pending(): number {
    return this.calls.size;
  }

  onResponse({ results }: ExecuteStreamResponse): void {
    for (const result of results) this.onResult(result);
  }

  private onResult({ sequence, result }: ExecuteResult): void {
    const call = this.calls.get(sequence);
    if (call === undefined || result === undefined) return;
    if (result.$case === 'error') return this.onError(call, errorFromStatus(result.value, call.transactionId));
    const outcome = outcomeOf(result.value.transaction);
    if (outcome === undefined) return this.onError(call, undecided(call.transactionId));
    this.calls.delete(sequence);
    call.resolve(outcome);
  }

  onEnd(stream: ExecuteStream, serviceError: grpc.ServiceError | undefined): void {
    if (this.streams.get(stream.address) === stream) this.streams.delete(stream.address);
    const error = serviceError === undefined ? streamEnded(stream.address) : errorFromGrpc(serviceError);
    if (isConnectionLoss(error)) this.rpc.map.avoid(stream.address);
    for (const call of this.calls.values()) if (call.carrier === stream) this.onLost(call, error);
  }

  /** Ends all streams; calls under way fail. */
  close(): void {
    this.closed = true;
    this.sweep.cancel();
    for (const call of this.calls.values()) this.giveUp(call, closedError());
    for (const stream of this.streams.values()) stream.close();
  }

  private dispatch(call: PendingCall): void {
    const address = this.rpc.map.route(COORDINATOR, call.transactionId);
    call.nextTryMs = undefined;
    call.cancel = undefined;
    call.tries++;
    sentTo(call.span, address);
    if (call.bytes > STREAM_CALL_BYTES) return this.sendAlone(call, address);
    let stream = this.streams.get(address);
    if (stream === undefined) {
      stream = new BatchedStream(address, this.rpc.channels.to(address), EXECUTE_STREAM, this);
      this.streams.set(address, stream);
    }
    call.carrier = stream;
    stream.enqueue(call);
  }

  private sendAlone(call: PendingCall, address: string): void {
    const { path, requestSerialize, responseDeserialize } = CoordinatorServiceService.execute;
    call.sent = true;
    const options = { deadline: Date.now() + call.deadlineMs - this.nowMs() };
    const client = this.rpc.channels.to(address);
    const metadata = new grpc.Metadata();
    if (call.span !== undefined) metadata.set(TRACEPARENT_HEADER, call.span.traceparent);
    const carrier = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, call.request, metadata, options, (error, response) => {
      if (call.carrier !== carrier) return;
      if (error === null) return this.onResult({ sequence: call.sequence, result: { $case: 'response', value: response! } });
      const failed = errorFromGrpc(error, call.transactionId);
      if (isConnectionLoss(failed)) this.rpc.map.avoid(address);
      this.onError(call, failed);
    });
    call.carrier = carrier;
    call.cancel = () => carrier.cancel();
  }

  /** A server has answered with an error. */
  private onError(call: PendingCall, error: TxmeshError): void {
    switch (meaningOf(error)) {
      case 'notExecuted':
        return this.tryAgain(call, error);
      case 'unknown':
        call.open = true;
        return this.tryAgain(call, error);
      case 'defect':
        call.open = true;
        return this.giveUp(call, error);
      case 'refused':
        call.sent = false;
        return this.giveUp(call, error);
    }
  }

  /** The stream that the call was on is over. */
  private onLost(call: PendingCall, error: TxmeshError): void {
    // A server that ends a stream does not say what became of the calls on it; only a connection that was never made does.
    if (!call.sent || neverBegan(error)) call.sent = false;
    else call.open = true;
    const meaning = meaningOf(error);
    if (meaning === 'refused' || meaning === 'defect') this.giveUp(call, error);
    else this.tryAgain(call, error);
  }

  private tryAgain(call: PendingCall, error: TxmeshError): void {
    const { entropy } = this.rpc.environment;
    call.carrier = undefined;
    call.sent = false;
    call.lastError = this.rpc.explain(error);
    const nextTryMs = this.nowMs() + backoffDelayMs(CONNECTION_BACKOFF, call.tries, entropy(), error.retryAfterMs);
    // A try that could not be answered in time would tell nothing that waiting can't.
    if (nextTryMs >= call.deadlineMs) return this.giveUp(call, deadlineExceeded('Execute', call.lastError, call.transactionId));
    call.nextTryMs = nextTryMs;
    this.sweep.at(nextTryMs);
  }

  private giveUp(call: PendingCall, error: TxmeshError): void {
    this.calls.delete(call.sequence);
    call.cancel?.();
    call.reject(call.mayHaveRun ? this.unknown(call.transactionId, error) : error);
  }

  private unknown(transactionId: string, error: TxmeshError): TxmeshError {
    return outcomeUnknown(transactionId, error.message, error, (options) => isCommitted(this.rpc, transactionId, options));
  }

  private nextSequence(): number {
    do this.lastSequence = (this.lastSequence + 1) >>> 0;
    while (this.calls.has(this.lastSequence));
    return this.lastSequence;
  }

  private runSweep(nowMs: number): number {
    let next = Infinity;
    for (const call of this.calls.values()) {
      if (call.deadlineMs <= nowMs) {
        this.giveUp(call, deadlineExceeded('Execute', call.lastError, call.transactionId));
        continue;
      }
      if (call.nextTryMs !== undefined && call.nextTryMs <= nowMs) this.dispatch(call);
      next = Math.min(next, call.deadlineMs, call.nextTryMs ?? Infinity);
    }
    return next;
  }
}

function overloaded(limit: number): TxmeshError {
  return makeError({
    reason: 'OVERLOADED',
    message: `${limit} calls are under way, as many as this connection takes (maxPending); wait for some of them`,
    retryAfterMs: OVERLOAD_RETRY_MS,
  });
}

function undecided(transactionId: string): TxmeshError {
  return makeError({ reason: 'OUTCOME_UNKNOWN', message: 'the server answered without an outcome', transactionId });
}
