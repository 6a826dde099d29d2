/** One call that was admitted: its requests are held against its caller's rights and limits, until it is over. */

import type { Failure } from '../../kernel/failure.ts';
import type { Clock, Timer } from '../clock.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { ServerCall } from '../transport/context.ts';
import type { GuardedStream, Visit } from '../transport/guard.ts';
import type { Judge, JudgeOfParts } from './access.ts';
import type { Caller } from './callers.ts';
import type { MethodEntry } from './catalogue.ts';
import type { Meter } from './limits.ts';
import { STREAM_EXPIRED } from './tokens.ts';

/** What a visit needs of its guard. */
export interface Visited {
  readonly clock: Clock;
  /** What a request needs, held against the rights of its caller. Undefined: it has them. */
  judge(visit: GuardedVisit, needs: (judge: Judge) => void): Failure | undefined;
  /** Whether the caller may still call the method. */
  judgeMethod(visit: GuardedVisit): Failure | undefined;
  /** A limit has refused it. */
  limited(failure: Failure): void;
  isPeer(caller: Caller): boolean;
  opened(visit: OpenVisit): void;
  closed(visit: OpenVisit): void;
}

/** Of a stream. */
export interface OpenVisit {
  /** The policy is another one: a stream that it does not allow ends. */
  reconsider(): void;
}

/** A replica of the mesh: everything is allowed, and nothing counted. */
export class PeerVisit implements Visit, OpenVisit {
  private readonly guard: Pick<Visited, 'isPeer' | 'opened' | 'closed'>;
  private readonly caller: Caller;
  private stream: GuardedStream | undefined;

  constructor(guard: Pick<Visited, 'isPeer' | 'opened' | 'closed'>, caller: Caller) {
    this.guard = guard;
    this.caller = caller;
  }

  check(): undefined {}

  open(stream: GuardedStream): void {
    this.stream = stream;
    this.guard.opened(this);
  }

  take(request: unknown): unknown {
    return request;
  }

  reconsider(): void {
    if (!this.guard.isPeer(this.caller)) this.stream?.end(NO_PEER);
  }

  leave(): void {
    if (this.stream !== undefined) this.guard.closed(this);
  }
}

const NO_PEER: Failure = { reason: 'PERMISSION_DENIED', message: 'the policy does not take the caller for a replica of the mesh any more' };

export class GuardedVisit implements Visit, OpenVisit, JudgeOfParts {
  readonly caller: Caller;
  readonly call: ServerCall;
  readonly entry: MethodEntry;
  private readonly guard: Visited;
  private readonly meter: Meter | undefined;
  private stream: GuardedStream | undefined;
  /** What the stream was opened for, to be judged again under another policy. */
  private opening: unknown;
  private expiry: Timer | undefined;
  private slowed: Timer | undefined;

  constructor(guard: Visited, entry: MethodEntry, caller: Caller, call: ServerCall, meter: Meter | undefined) {
    this.guard = guard;
    this.entry = entry;
    this.caller = caller;
    this.call = call;
    this.meter = meter;
  }

  check(request: unknown, bytes: number): Failure | undefined {
    const { access } = this.entry;
    const failure = this.guard.judge(this, (judge) => access.judge?.(request, judge)) ?? this.meter?.take(access.count?.(request) ?? 1, bytes);
    if (failure?.reason === 'CALLER_LIMIT') this.guard.limited(failure);
    // Of a call with one request and a stream of answers.
    else if (failure === undefined) this.opening = request;
    return failure;
  }

  open(stream: GuardedStream): void {
    this.stream = stream;
    this.guard.opened(this);
    const { principal } = this.caller;
    if (principal.type !== 'token') return;
    const { clock } = this.guard;
    const wait = (): void => {
      const leftMs = principal.expiresMs - clock.nowMs();
      if (leftMs <= 0) return stream.end(STREAM_EXPIRED);
      // Timers have a longest delay, and the wall clock may jump.
      this.expiry = clock.setTimer(Math.min(leftMs, MOST_WAIT_MS), wait);
    };
    wait();
  }

  take(request: unknown, bytes: number): unknown {
    const { access } = this.entry;
    if (this.meter !== undefined) this.slowDown(this.meter.takeOrWait(access.count?.(request) ?? 1, bytes));
    if ('screen' in access) {
      const { request: rest, answer } = access.screen(request, this);
      if (answer !== undefined) this.stream!.answer(answer);
      return rest;
    }
    // Only the first message says what the stream is about; handlers refuse another that does.
    if (this.opening !== undefined && access.opening !== undefined) return request;
    const failure = this.guard.judge(this, (judge) => access.judge?.(request, judge));
    if (failure !== undefined) throw new FailureError(failure);
    this.opening = access.opening?.(request);
    return request;
  }

  of(judge: (judge: Judge) => void): Failure | undefined {
    return this.guard.judge(this, judge);
  }

  reconsider(): void {
    const { access } = this.entry;
    const { opening } = this;
    const failure = this.guard.judgeMethod(this) ?? (opening === undefined ? undefined : this.guard.judge(this, (judge) => access.judge?.(opening, judge)));
    if (failure !== undefined) this.stream?.end(failure);
  }

  leave(): void {
    this.meter?.leave();
    this.expiry?.cancel();
    this.slowed?.cancel();
    if (this.stream !== undefined) this.guard.closed(this);
  }

  private slowDown(waitMs: number): void {
    if (waitMs <= 0 || this.slowed !== undefined || this.stream === undefined) return;
    const { stream } = this;
    stream.pause();
    this.slowed = this.guard.clock.setTimer(waitMs, () => {
      this.slowed = undefined;
      stream.resume();
    });
  }
}

const MOST_WAIT_MS = 60_000;
