/**
 * AddStream: adds in batches, both ways. The hottest path of the service: an add costs its decoding,
 * its place in a command, and a result.
 */

import type { AddResult, AddStreamRequest, AddStreamResponse } from '../../gen/txmesh/counter/v1/counter.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Timer } from '../../runtime/clock.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { failureToStatus, reasonOf } from '../../runtime/errors/status.ts';
import { deadlinePassed } from '../../runtime/router/call.ts';
import { findFailure } from '../../runtime/router/rules.ts';
import type { StreamRequestMeter } from '../../runtime/telemetry/metrics/requests.ts';
import type { ActiveSpan, Spans } from '../../runtime/telemetry/spans.ts';
import { Answers } from '../../runtime/transport/answers.ts';
import type { CallContext, Duplex } from '../../runtime/transport/service.ts';
import { durationMs } from '../../runtime/transport/time.ts';
import { namedAdds, toResult } from './adds.ts';
import type { AddBatch, CountedOrFailed, PendingAdd } from './chunk.ts';
import type { Dispatcher } from './dispatch.ts';
import { counterService, type CounterServices } from './service.ts';
import { addStreamRequest } from './validate.ts';

/** The most adds of one stream that may be under way. */
export const MAX_OUTSTANDING = 16_384;
/** A message of results is sent when it has so many. */
const FRAME_RESULTS = 8_192;
/** How often messages are looked through for deadlines that have passed. */
const SWEEP_MS = 250;

const METHOD = 'txmesh.counter.v1.CounterService/AddStream';

type Calls = Duplex<AddStreamRequest, AddStreamResponse>;

/** The adds of one message. */
class Frame implements AddBatch {
  readonly service: AddBatch['service'];
  readonly session: string;
  readonly settledBelow: number;
  readonly context: CallContext;
  readonly callerMs: number;
  /** When it was taken off the stream, on the monotonic clock. */
  readonly beganMs: number;
  private readonly stream: AddSession;
  private readonly span: ActiveSpan | undefined;
  private left: number;
  private readonly answered: Set<number> | undefined;

  constructor(stream: AddSession, service: AddBatch['service'], request: AddStreamRequest, beganMs: number, context: CallContext, span: ActiveSpan | undefined) {
    this.stream = stream;
    this.beganMs = beganMs;
    this.service = service;
    this.session = request.session;
    this.settledBelow = request.settledBelow;
    this.context = context;
    this.callerMs = context.deadlineMs;
    this.span = span;
    this.left = request.adds.length;
    // Only where the deadline may answer first.
    this.answered = this.callerMs === Infinity ? undefined : new Set();
  }

  onOutcome({ sequence }: PendingAdd, outcome: CountedOrFailed): void {
    if (this.answered !== undefined) {
      if (this.answered.has(sequence)) return;
      this.answered.add(sequence);
    }
    this.stream.push(this, toResult(sequence, outcome));
    if (--this.left > 0) return;
    this.span?.end();
    this.stream.finished(this);
  }

  /** The stream has ended before the answers. */
  abandon(): void {
    this.span?.end({ reason: 'CANCELLED', message: 'the stream ended before the results' });
  }

  /** Nobody waits any more. */
  expire(adds: readonly PendingAdd[]): void {
    const outcome: CountedOrFailed = { type: 'failed', failure: deadlinePassed(true) };
    for (const add of adds) this.onOutcome(add, outcome);
  }
}

/** What the sessions of a process share. */
export interface AddParts {
  readonly services: CounterServices;
  readonly dispatcher: Dispatcher;
  readonly spans: Pick<Spans, 'serve'>;
  /** Absent: nobody counts. */
  readonly requests: StreamRequestMeter | undefined;
}

export class AddSession {
  private readonly services: CounterServices;
  private readonly dispatcher: Dispatcher;
  private readonly spans: Pick<Spans, 'serve'>;
  private readonly requests: StreamRequestMeter | undefined;
  private readonly calls: Calls;
  private readonly answers: Answers<AddStreamResponse>;
  private readonly context: CallContext;
  /** Messages with adds under way, and their adds. */
  private readonly frames = new Map<Frame, readonly PendingAdd[]>();
  private outstanding = 0;
  private session = '';
  private results: AddResult[] = [];
  private scheduled = false;
  private over = false;
  private idle: (() => void) | undefined;
  private sweepTimer: Timer | undefined;
  /** Of the turn of the event loop in which results are gathered, on the monotonic clock. */
  private turnMs = 0;

  constructor({ services, dispatcher, spans, requests }: AddParts, calls: Calls, context: CallContext) {
    this.services = services;
    this.dispatcher = dispatcher;
    this.spans = spans;
    this.requests = requests;
    this.calls = calls;
    this.answers = new Answers(calls);
    this.context = context;
  }

  /** Ends when the caller has sent its last add and has every result. */
  async run(): Promise<void> {
    try {
      await this.calls.receive((request) => this.take(request));
      if (this.frames.size > 0) await new Promise<void>((resolve) => (this.idle = resolve));
      this.flush();
      await this.calls.drained();
    } catch (error) {
      this.flush();
      this.requests?.failed(reasonOf(error), this.outstanding);
      throw error;
    } finally {
      this.over = true;
      this.sweepTimer?.cancel();
      for (const frame of this.frames.keys()) frame.abandon();
      this.frames.clear();
    }
  }

  push({ session, beganMs }: Frame, result: AddResult): void {
    if (this.over) return;
    this.outstanding--;
    this.append(session, result, beganMs);
  }

  finished(frame: Frame): void {
    this.frames.delete(frame);
    if (this.frames.size === 0) this.idle?.();
  }

  private take(request: AddStreamRequest): void {
    const { adds, session } = request;
    const beganMs = this.requests === undefined ? 0 : this.services.clock.monotonicMs();
    const failure = this.refusal(request);
    if (failure !== undefined) {
      // What is wrong with a message is wrong with each of its adds; one without any has nobody to tell.
      const error = failureToStatus(failure);
      for (const { sequence } of adds) this.append(session, { sequence, value: undefined, error }, beganMs);
      return;
    }
    if (adds.length === 0) return;
    const { clock } = this.services;
    const { remaining, traceparent } = request;
    const deadlineMs = remaining === undefined ? Infinity : clock.nowMs() + durationMs(remaining);
    const span = this.spans.serve(METHOD, traceparent);
    const { signal, forwarded, peer, metadata } = this.context;
    const context: CallContext = { signal, forwarded, peer, metadata, deadlineMs, traceparent: span?.traceparent ?? traceparent };
    const frame = new Frame(this, counterService(this.services, request.participant), request, beganMs, context, span);
    const pending = namedAdds(adds);
    this.frames.set(frame, pending);
    this.outstanding += pending.length;
    this.dispatcher.send(frame, pending);
    if (this.sweepTimer === undefined && deadlineMs !== Infinity) this.scheduleSweep();
  }

  private refusal(request: AddStreamRequest): Failure | undefined {
    const refusal = this.services.router.refuseWork() ?? findFailure(addStreamRequest, request);
    if (refusal !== undefined) return refusal;
    if (this.outstanding + request.adds.length > MAX_OUTSTANDING) return TOO_MANY;
    if (request.remaining !== undefined && durationMs(request.remaining) <= 0) return deadlinePassed(false);
    try {
      counterService(this.services, request.participant);
      return undefined;
    } catch (error) {
      if (error instanceof FailureError) return error.failure;
      throw error;
    }
  }

  private append(session: string, result: AddResult, beganMs: number): void {
    if (this.over) return;
    this.count(result, beganMs);
    if (session !== this.session) {
      this.flush();
      this.session = session;
    }
    this.results.push(result);
    if (this.results.length >= FRAME_RESULTS) this.flush();
    else if (!this.scheduled) {
      // Once all that this turn of the event loop brings is here.
      this.scheduled = true;
      setImmediate(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  private count({ error }: AddResult, beganMs: number): void {
    if (this.requests === undefined) return;
    // Results are many: one look at the clock does for all that come together.
    if (!this.scheduled) this.turnMs = this.services.clock.monotonicMs();
    this.requests.ended(error?.code ?? 0);
    this.requests.took(this.turnMs - beganMs);
  }

  private flush(): void {
    if (this.results.length === 0 || this.over) return;
    this.answers.send({ session: this.session, results: this.results });
    this.results = [];
  }

  private scheduleSweep(): void {
    const { clock } = this.services;
    this.sweepTimer = clock.setTimer(SWEEP_MS, () => {
      this.sweepTimer = undefined;
      const nowMs = clock.nowMs();
      let waiting = false;
      for (const [frame, adds] of [...this.frames]) {
        if (frame.callerMs <= nowMs) frame.expire(adds);
        else waiting ||= frame.callerMs !== Infinity;
      }
      if (!this.over && waiting) this.scheduleSweep();
    });
  }
}

const TOO_MANY: Failure = {
  reason: 'OVERLOADED',
  message: `${MAX_OUTSTANDING} adds of this stream are under way, its limit; wait for results, then try again`,
  retryAfterMs: 50,
};
