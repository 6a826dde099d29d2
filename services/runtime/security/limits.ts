/** What each caller may take of this replica: calls under way, calls and bytes a second. */

import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../clock.ts';
import { BoundedMap } from './bounded-map.ts';
import type { LimitRule } from './policy.ts';

/** Callers that are counted at a time. */
const MOST_CALLERS = 16_384;
/** What a caller may take at once, beyond what it has not taken for a while: this much of its rate. */
const BURST_MS = 1_000;
/** Least delay that is told to who is refused. */
const LEAST_RETRY_MS = 10;

export class Limits {
  private readonly clock: Clock;
  private readonly meters = new BoundedMap<string, Meter>(MOST_CALLERS);

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The meter of a caller, by whose account it is. Undefined: so many call that there is no room to count another. */
  meterOf(account: string, rule: LimitRule): Meter | undefined {
    const known = this.meters.get(account);
    if (known !== undefined) {
      known.follow(rule);
      return known;
    }
    const meter = new Meter(rule, this.clock);
    return this.meters.set(account, meter, ({ isBusy }) => isBusy) ? meter : undefined;
  }
}

export const TOO_MANY_CALLERS: Failure = {
  reason: 'OVERLOADED',
  message: `${MOST_CALLERS} callers have calls under way at this replica, its limit; try again later`,
  retryAfterMs: 500,
};

export type Exceeded = 'in_flight' | 'calls_per_second' | 'bytes_per_second';

export class Meter {
  private readonly clock: Clock;
  private rule: LimitRule;
  private inFlight = 0;
  private calls: Bucket | undefined;
  private bytes: Bucket | undefined;

  constructor(rule: LimitRule, clock: Clock) {
    this.clock = clock;
    this.rule = rule;
    this.fill();
  }

  get isBusy(): boolean {
    return this.inFlight > 0;
  }

  /** The policy was read again. What is under way stays counted. */
  follow(rule: LimitRule): void {
    if (rule === this.rule) return;
    this.rule = rule;
    this.fill();
  }

  /** Takes a call in, to be let out with {@link leave}; or says why not. */
  enter(): Failure | undefined {
    const { inFlight: limit } = this.rule;
    if (limit !== undefined && this.inFlight >= limit) return exceeded('in_flight', this.rule, `${limit} calls and streams of this caller are under way`, 100);
    this.inFlight++;
    return undefined;
  }

  leave(): void {
    this.inFlight--;
  }

  /** Takes calls and bytes, or says why not. What is taken at once may be more than there is, if there is anything. */
  take(calls: number, bytes: number): Failure | undefined {
    const nowMs = this.clock.monotonicMs();
    const callsMs = this.calls?.waitMs(nowMs) ?? 0;
    if (callsMs > 0) return exceeded('calls_per_second', this.rule, `this caller makes more than ${this.rule.callsPerSecond} calls a second`, callsMs);
    const bytesMs = this.bytes?.waitMs(nowMs) ?? 0;
    if (bytesMs > 0) return exceeded('bytes_per_second', this.rule, `this caller sends more than ${this.rule.bytesPerSecond} bytes a second`, bytesMs);
    this.calls?.take(calls);
    this.bytes?.take(bytes);
    return undefined;
  }

  /** For streams, which are not refused but slowed down: takes, and says for how long nothing more is to be taken, milliseconds. */
  takeOrWait(calls: number, bytes: number): number {
    const nowMs = this.clock.monotonicMs();
    this.calls?.refill(nowMs);
    this.bytes?.refill(nowMs);
    this.calls?.take(calls);
    this.bytes?.take(bytes);
    return Math.max(this.calls?.waitMs(nowMs) ?? 0, this.bytes?.waitMs(nowMs) ?? 0);
  }

  private fill(): void {
    const { callsPerSecond, bytesPerSecond } = this.rule;
    const nowMs = this.clock.monotonicMs();
    this.calls = callsPerSecond === undefined ? undefined : new Bucket(callsPerSecond, nowMs);
    this.bytes = bytesPerSecond === undefined ? undefined : new Bucket(bytesPerSecond, nowMs);
  }
}

/** A token bucket that may go below zero once: then nothing is taken until it is above again. */
class Bucket {
  private readonly perSecond: number;
  private readonly most: number;
  private level: number;
  private atMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.perSecond = perSecond;
    this.most = this.level = Math.max(1, (perSecond * BURST_MS) / 1000);
    this.atMs = nowMs;
  }

  refill(nowMs: number): void {
    this.level = Math.min(this.most, this.level + ((nowMs - this.atMs) * this.perSecond) / 1000);
    this.atMs = nowMs;
  }

  take(amount: number): void {
    this.level -= amount;
  }

  /** 0: something may be taken now. */
  waitMs(nowMs: number): number {
    this.refill(nowMs);
    return this.level > 0 ? 0 : Math.max(1, (-this.level / this.perSecond) * 1000 + 1);
  }
}

function exceeded(limit: Exceeded, { name }: LimitRule, why: string, retryAfterMs: number): Failure {
  return {
    reason: 'CALLER_LIMIT',
    message: `${why}, the limit "${name}" of the policy; try again later`,
    metadata: { limit, rule: name },
    retryAfterMs: Math.max(LEAST_RETRY_MS, Math.ceil(retryAfterMs)),
  };
}
