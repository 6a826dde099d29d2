/**
 * Calls of an ExecuteStream whose partition is led elsewhere: all that go to one leader share one
 * stream to it, in batches. Callers are told by callbacks, each exactly once.
 */

import type { ClientDuplexStream } from '@grpc/grpc-js';
import {
  CoordinatorServiceService,
  type ExecuteCall,
  type ExecuteRequest,
  type ExecuteResult,
  type ExecuteStreamRequest,
  type ExecuteStreamResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../../runtime/clock.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { serviceErrorToFailure, surelyNotExecuted } from '../../runtime/errors/status.ts';
import type { Router } from '../../runtime/router/router.ts';
import { toDuration } from '../../runtime/transport/time.ts';
import type { CoordinatorTerm } from './service.ts';

/** Whoever waits for a forwarded call. */
export interface ForwardedCaller {
  /** When it stops waiting, wall time in milliseconds; Infinity: never. */
  readonly callerMs: number;
  onResult(result: ExecuteResult['result']): void;
  onFailure(failure: Failure): void;
}

/** The most calls that may be under way to one leader. */
const MAX_OUTSTANDING = 16_384;
/** A frame is sent when its operations have about this many bytes. */
const FRAME_BYTES = 512 * 1024;
const CALL_BYTES = 200;

export class Forwarder {
  private readonly streams = new Map<string, ForwardStream>();
  private readonly router: Router<CoordinatorTerm>;

  constructor(router: Router<CoordinatorTerm>) {
    this.router = router;
  }

  forward(address: string, request: ExecuteRequest, traceparent: string, caller: ForwardedCaller): void {
    let stream = this.streams.get(address);
    if (stream === undefined) {
      const { channels, clock } = this.router;
      try {
        const call = channels.duplex(address, CoordinatorServiceService.executeStream, { forwarded: true });
        stream = new ForwardStream(call, clock, () => this.streams.delete(address));
      } catch (error) {
        if (error instanceof FailureError) return caller.onFailure(error.failure);
        throw error;
      }
      this.streams.set(address, stream);
    }
    stream.send(request, traceparent, caller);
  }

  /** Ends every stream; their callers hear that their outcome is unknown. */
  close(): void {
    for (const stream of [...this.streams.values()]) stream.close();
  }
}

class ForwardStream {
  private readonly call: ClientDuplexStream<ExecuteStreamRequest, ExecuteStreamResponse>;
  private readonly clock: Clock;
  private readonly onGone: () => void;
  private readonly callers = new Map<number, ForwardedCaller>();
  private calls: ExecuteCall[] = [];
  private bytes = 0;
  private sequence = 0;
  private scheduled = false;

  constructor(call: ClientDuplexStream<ExecuteStreamRequest, ExecuteStreamResponse>, clock: Clock, onGone: () => void) {
    this.call = call;
    this.clock = clock;
    this.onGone = onGone;
    call.on('data', ({ results }: ExecuteStreamResponse) => {
      for (const { sequence, result } of results) {
        const caller = this.callers.get(sequence);
        this.callers.delete(sequence);
        caller?.onResult(result);
      }
    });
    call.on('error', (error) => this.end(lost(serviceErrorToFailure(error as never))));
    call.on('end', () => this.end(lost(undefined)));
  }

  send(request: ExecuteRequest, traceparent: string, caller: ForwardedCaller): void {
    if (this.callers.size >= MAX_OUTSTANDING) return caller.onFailure(TOO_MANY);
    this.sequence = (this.sequence + 1) >>> 0;
    const { callerMs } = caller;
    const remaining = callerMs === Infinity ? undefined : toDuration(Math.max(0, callerMs - this.clock.nowMs()));
    this.callers.set(this.sequence, caller);
    this.calls.push({ sequence: this.sequence, request, traceparent, remaining });
    this.bytes += CALL_BYTES;
    for (const { operation } of request.operations) this.bytes += CALL_BYTES + operation!.value.length;
    if (this.bytes >= FRAME_BYTES) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  close(): void {
    this.call.cancel();
    this.end(lost(undefined));
  }

  private flush(): void {
    if (this.calls.length === 0) return;
    // Whatever waits in the stream is bounded by the number of callers.
    this.call.write({ calls: this.calls });
    this.calls = [];
    this.bytes = 0;
  }

  private end(failure: Failure): void {
    this.onGone();
    this.calls = [];
    const callers = [...this.callers.values()];
    this.callers.clear();
    for (const caller of callers) caller.onFailure(failure);
  }
}

const TOO_MANY: Failure = {
  reason: 'OVERLOADED',
  message: `${MAX_OUTSTANDING} calls are under way to the partition's leader; try again later`,
  retryAfterMs: 200,
};

/**
 * What the end of the stream means for the calls that were sent over it. That the leader is stopping
 * does not say that it has not carried them out.
 */
function lost(failure: Failure | undefined): Failure {
  if (failure !== undefined && surelyNotExecuted(failure) && failure.reason !== 'DRAINING') return failure;
  return {
    reason: 'OUTCOME_UNKNOWN',
    message: `the connection to the partition's leader was lost${failure === undefined ? '' : ` (${failure.message})`}; ask for the outcome by the same id`,
  };
}
