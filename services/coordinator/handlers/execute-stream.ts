/**
 * ExecuteStream: many transactions over one stream, in batches both ways. The hottest path of the
 * mesh: a call costs a plan, a command and a result, and no promise, timer or closure of its own.
 */

import type {
  ExecuteCall,
  ExecuteResult,
  ExecuteStreamRequest,
  ExecuteStreamResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Reply } from '../../kernel/coordinator/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import { partitionOf } from '../../kernel/hash.ts';
import type { Timer } from '../../runtime/clock.ts';
import { COORDINATOR } from '../../runtime/cluster/view.ts';
import { failureToStatus, reasonOf } from '../../runtime/errors/status.ts';
import { deadlinePassed } from '../../runtime/router/call.ts';
import { noLeader, type Place } from '../../runtime/router/place.ts';
import { findFailure } from '../../runtime/router/rules.ts';
import type { StreamRequestMeter } from '../../runtime/telemetry/metrics/requests.ts';
import type { ActiveSpan } from '../../runtime/telemetry/spans.ts';
import { Answers } from '../../runtime/transport/answers.ts';
import type { CallContext, Duplex } from '../../runtime/transport/service.ts';
import { durationMs } from '../../runtime/transport/time.ts';
import type { Forwarder, ForwardedCaller } from './forward-stream.ts';
import type { Planner } from './plan.ts';
import { coordinatorPartitions, type CoordinatorServices, type CoordinatorTerm } from './service.ts';
import { executeCall, isPlainCall, LIMITS } from './validate.ts';
import { toTransaction } from './wire.ts';

/** The most calls of one stream that may be under way. */
export const MAX_OUTSTANDING = 16_384;
/** A frame of results is sent when it has about this many bytes. */
const FRAME_BYTES = 512 * 1024;
const RESULT_BYTES = 256;
/** How often calls are looked through for deadlines that have passed. */
const SWEEP_MS = 250;

/** One span for each call, named as if it were a call of its own. */
const METHOD = 'txmesh.coordinator.v1.CoordinatorService/ExecuteStream';

type Calls = Duplex<ExecuteStreamRequest, ExecuteStreamResponse>;

export interface StreamParts {
  readonly services: CoordinatorServices;
  readonly planner: Planner;
  readonly forwarder: Forwarder;
  /** Absent: nobody counts. */
  readonly requests: StreamRequestMeter | undefined;
}

/** One call of a stream, and whoever answers it. */
class StreamCall implements ForwardedCaller {
  readonly session: ExecuteSession;
  readonly sequence: number;
  /** When it was taken off the stream, on the monotonic clock. */
  readonly beganMs: number;
  readonly callerMs: number;
  /** For what the call causes. */
  readonly traceparent: string;
  private readonly span: ActiveSpan | undefined;

  constructor(session: ExecuteSession, sequence: number, beganMs: number, callerMs: number, traceparent: string, span: ActiveSpan | undefined) {
    this.session = session;
    this.sequence = sequence;
    this.beganMs = beganMs;
    this.callerMs = callerMs;
    this.traceparent = span?.traceparent ?? traceparent;
    this.span = span;
  }

  /** It is refused without having been handed to anybody. */
  endSpan(failure: Failure): void {
    this.span?.end(failure);
  }

  onReply(reply: Reply): void {
    if (reply.type === 'transaction')
      this.onResult({ $case: 'response', value: { transaction: toTransaction(reply.transaction) } });
    else if (reply.type === 'failure') this.onFailure(reply.failure);
  }

  onResult(result: ExecuteResult['result']): void {
    this.span?.end();
    this.session.answer(this, result);
  }

  onFailure(failure: Failure): void {
    this.span?.end(failure);
    this.session.answer(this, { $case: 'error', value: failureToStatus(failure) });
  }
}

export class ExecuteSession {
  private readonly parts: StreamParts;
  private readonly calls: Calls;
  private readonly answers: Answers<ExecuteStreamResponse>;
  private readonly context: CallContext;
  private readonly forwarded: boolean;
  private readonly outstanding = new Map<number, StreamCall>();
  /** Calls that wait for a leader. */
  private readonly waiting = new Set<Promise<void>>();
  private results: ExecuteResult[] = [];
  private bytes = 0;
  private scheduled = false;
  private over = false;
  private idle: (() => void) | undefined;
  private sweepTimer: Timer | undefined;
  /** When the last frame of calls was taken, on the monotonic clock. */
  private takenMs = 0;

  constructor(parts: StreamParts, calls: Calls, context: CallContext) {
    this.parts = parts;
    this.calls = calls;
    this.answers = new Answers(calls);
    this.context = context;
    this.forwarded = context.forwarded;
  }

  /** Ends when the caller has sent its last call and has every answer. */
  async run(): Promise<void> {
    try {
      await this.calls.receive((frame) => this.take(frame));
      if (this.outstanding.size > 0) await new Promise<void>((resolve) => (this.idle = resolve));
      this.flush();
      await this.calls.drained();
    } catch (error) {
      // The server stops: what waits for a leader surely was not executed, and hears so.
      await Promise.all(this.waiting);
      this.flush();
      this.parts.requests?.failed(reasonOf(error), this.outstanding.size);
      throw error;
    } finally {
      this.over = true;
      this.sweepTimer?.cancel();
      this.outstanding.clear();
    }
  }

  /** Answers a call, unless it was answered before. */
  answer(call: StreamCall, result: ExecuteResult['result']): void {
    if (this.outstanding.get(call.sequence) !== call) return;
    this.outstanding.delete(call.sequence);
    this.push(call.sequence, result, call.beganMs);
    if (this.outstanding.size === 0) this.idle?.();
  }

  private take(frame: ExecuteStreamRequest): void {
    const { clock } = this.parts.services;
    const nowMs = clock.nowMs();
    if (this.parts.requests !== undefined) this.takenMs = clock.monotonicMs();
    const partitions = coordinatorPartitions(this.parts.services);
    const refusal = this.parts.services.router.refuseWork();
    const { calls } = frame;
    for (let i = 0; i < calls.length; i++) {
      const call = calls[i]!;
      const failure = i >= LIMITS.calls ? TOO_LONG_A_FRAME : (refusal ?? this.submit(call, partitions, nowMs));
      if (failure !== undefined) this.push(call.sequence, { $case: 'error', value: failureToStatus(failure) }, this.takenMs);
    }
    if (this.sweepTimer === undefined && this.outstanding.size > 0) this.scheduleSweep();
  }

  /** Hands one call on, or says why not. */
  private submit(received: ExecuteCall, partitions: number, nowMs: number): Failure | undefined {
    if (this.outstanding.has(received.sequence)) return sequenceInUse(received.sequence);
    if (this.outstanding.size >= MAX_OUTSTANDING) return TOO_MANY;
    const { request, remaining, traceparent } = received;
    const invalid = isPlainCall(received) ? undefined : findFailure(executeCall, received);
    if (invalid !== undefined) return invalid;
    const callerMs = remaining === undefined ? Infinity : nowMs + durationMs(remaining);
    if (callerMs <= nowMs) return deadlinePassed(false);
    const id = request!.transactionId === '' ? this.parts.services.newId() : request!.transactionId;
    const call = new StreamCall(this, received.sequence, this.takenMs, callerMs, traceparent, this.parts.services.spans.serve(METHOD, traceparent));
    const partition = partitionOf(id, partitions);
    const place = this.parts.services.router.places.now(COORDINATOR, partition);
    if (place.type === 'nobody' && !this.forwarded) {
      this.outstanding.set(call.sequence, call);
      const waiting = this.submitLater(call, received, id, partition).finally(() => this.waiting.delete(waiting));
      this.waiting.add(waiting);
      return undefined;
    }
    const failure = this.dispatch(place, call, received, id, partition, nowMs);
    if (failure !== undefined) call.endSpan(failure);
    return failure;
  }

  private dispatch(
    place: Place<CoordinatorTerm>,
    call: StreamCall,
    { request }: ExecuteCall,
    id: string,
    partition: number,
    nowMs: number,
  ): Failure | undefined {
    if (place.type === 'local') {
      const trace = call.traceparent === '' ? undefined : call.traceparent;
      const plan = this.parts.planner.execute(request!, id, call, call.callerMs, nowMs, trace);
      if ('reason' in plan) return plan;
      this.outstanding.set(call.sequence, call);
      place.term.submit(plan, 'work');
    } else if (place.type === 'remote' && !this.forwarded) {
      this.outstanding.set(call.sequence, call);
      this.parts.forwarder.forward(place.leader.address, { ...request!, transactionId: id }, call.traceparent, call);
    } else return noLeader(COORDINATOR, partition);
    return undefined;
  }

  /** The rare way: nobody leads the partition, so the call waits a moment for somebody who does. */
  private async submitLater(call: StreamCall, received: ExecuteCall, id: string, partition: number): Promise<void> {
    const { router, clock } = this.parts.services;
    const place = await router.places.find(COORDINATOR, partition, {
      forwarded: false,
      deadlineMs: call.callerMs,
      signal: this.context.signal,
    });
    if (this.over) return;
    const { aborted } = this.context.signal;
    const refusal = aborted ? noLeader(COORDINATOR, partition) : this.dispatch(place, call, received, id, partition, clock.nowMs());
    if (refusal !== undefined) call.onFailure(refusal);
  }

  private push(sequence: number, result: ExecuteResult['result'], beganMs: number): void {
    if (this.over) return;
    this.results.push({ sequence, result });
    const { requests, services } = this.parts;
    if (requests !== undefined) {
      requests.ended(result?.$case === 'error' ? result.value.code : 0);
      requests.took(services.clock.monotonicMs() - beganMs);
    }
    this.bytes += RESULT_BYTES + causeBytes(result);
    if (this.bytes >= FRAME_BYTES) this.flush();
    else if (!this.scheduled) {
      // Once all that this turn of the event loop brings is here.
      this.scheduled = true;
      setImmediate(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  private flush(): void {
    if (this.results.length === 0 || this.over) return;
    this.answers.send({ results: this.results });
    this.results = [];
    this.bytes = 0;
  }

  private scheduleSweep(): void {
    const { clock } = this.parts.services;
    this.sweepTimer = clock.setTimer(SWEEP_MS, () => {
      this.sweepTimer = undefined;
      const nowMs = clock.nowMs();
      for (const call of this.outstanding.values()) if (call.callerMs <= nowMs) call.onFailure(deadlinePassed(true));
      if (!this.over && this.outstanding.size > 0) this.scheduleSweep();
    });
  }
}

/** What the answer adds to a frame beyond a committed transaction's. */
function causeBytes(result: ExecuteResult['result']): number {
  const status = result?.$case === 'error' ? result.value : result?.$case === 'response' ? result.value.transaction?.cause : undefined;
  if (status === undefined) return 0;
  let bytes = status.message.length;
  for (const { typeUrl, value } of status.details) bytes += typeUrl.length + value.length;
  return bytes;
}

const TOO_LONG_A_FRAME: Failure = {
  reason: 'LIMIT_EXCEEDED',
  message: `this call is beyond the first ${LIMITS.calls} of its message, the limit of calls in one; it was not executed`,
};

const TOO_MANY: Failure = {
  reason: 'OVERLOADED',
  message: `${MAX_OUTSTANDING} calls of this stream are under way, its limit; wait for answers, then try again`,
  retryAfterMs: 100,
};

function sequenceInUse(sequence: number): Failure {
  const description = `${sequence} is in use by a call of this stream that is under way`;
  return { reason: 'INVALID_FIELD', message: `sequence ${description}`, violations: [{ field: 'sequence', description }] };
}
