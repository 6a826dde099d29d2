/**
 * What is under way in sessions, of one kind: room for it, deadlines and signals, what an error means
 * for it. How it is sent is its owner's matter. A call that was not executed, or whose answer was lost,
 * is sent again under the same token until its result is known or its time is over.
 */

import { backoffDelayMs, CONNECTION_BACKOFF } from './backoff.ts';
import { cancelled, closedError, deadlineExceeded, makeError, meaningOf, neverBegan, OutcomeUnknown, TxmeshError, type Reason } from './errors.ts';
import type { CallOptions } from './options.ts';
import type { Rpc } from './rpc.ts';
import { Sweep } from './sweep.ts';
import type { TokenCall } from './token-call.ts';

/** What may be under way at a time; the rest waits in line, as many as the connection's maxPending. */
export const MOST_UNDER_WAY = 4_096;
export const MOST_BYTES_UNDER_WAY = 16 * 1024 * 1024;
const OVERLOAD_RETRY_MS = 100;
/** A session that is refused when it is new will be refused the next time too. */
const MOST_RENEWALS = 2;
const PASSED_KEPT = 1_024;

export interface TokenCallOwner<Call> {
  /** For messages: "the publish to orders". */
  readonly what: string;
  /** Reasons that are kept under the token like a result: nothing was done under it, whatever was sent before, and never will be. */
  readonly refusals: ReadonlySet<Reason>;
  /** Numbers it and sends it. False: not now. */
  admit(call: Call): boolean;
  /** The time of its next try has come. */
  retry(call: Call): void;
  /** It has its result, or nobody waits for it any more. */
  ended(call: Call): void;
  /** Sends it until it is known to be executed. */
  complete(call: Call, options: CallOptions): Promise<unknown>;
}

export class TokenCalls<Result, Call extends TokenCall<unknown, Result>> {
  private readonly rpc: Rpc;
  private readonly owner: TokenCallOwner<Call>;
  private readonly sweep: Sweep;
  /** All, whether under way or in line. */
  private readonly calls = new Set<Call>();
  /** In the order in which they were started, those that are over meanwhile included; from `head` on. */
  private line: Call[] = [];
  private head = 0;
  private started = 0;
  private underWay = 0;
  private bytesUnderWay = 0;

  constructor(rpc: Rpc, owner: TokenCallOwner<Call>) {
    this.rpc = rpc;
    this.owner = owner;
    this.sweep = new Sweep(rpc.environment.clock, (nowMs) => this.runSweep(nowMs));
  }

  get size(): number {
    return this.calls.size;
  }

  /** Whether a further call would have to wait for others. */
  get isFull(): boolean {
    return this.line.length > this.head || this.underWay >= MOST_UNDER_WAY || this.bytesUnderWay >= MOST_BYTES_UNDER_WAY;
  }

  /** Takes a call, sends it when there is room, and sees to it that its promise is settled. */
  start(call: Call): void {
    const { signal } = call;
    const { maxPending } = this.rpc.settings;
    if (this.rpc.closed.aborted) return call.reject(closedError());
    if (signal?.aborted) return call.reject(cancelled(signal, this.owner.what));
    if (this.line.length - this.head >= maxPending) return call.reject(this.overloaded(maxPending));
    call.order = ++this.started;
    this.calls.add(call);
    if (signal !== undefined) {
      call.onAbort = () => this.giveUp(call, cancelled(signal, this.owner.what));
      signal.addEventListener('abort', call.onAbort, { once: true });
    }
    this.sweep.at(call.deadlineMs);
    this.line.push(call);
    if (this.line.length - this.head === 1) this.advance();
  }

  /** The server has executed it. */
  succeed(call: Call, result: Result): void {
    call.session!.settle(call.sequence);
    this.remove(call);
    call.resolve(result);
    this.owner.ended(call);
    this.advance();
  }

  /**
   * A server has answered with an error.
   * @returns whether it is to be sent again; else it is over
   */
  refused(call: Call, error: TxmeshError): boolean {
    call.carrier = undefined;
    call.sent = false;
    call.lastError = error;
    const meaning = meaningOf(error);
    if (meaning === 'notExecuted') return true;
    if (this.owner.refusals.has(error.reason)) call.open = false;
    else if (meaning !== 'refused') call.open = true;
    if (meaning === 'unknown') return true;
    this.giveUp(call, error);
    return false;
  }

  /**
   * The stream that it was on is over.
   * @param wasRefused the stream was never accepted
   * @returns whether it is to be sent again; else it is over
   */
  lost(call: Call, error: TxmeshError, wasRefused: boolean): boolean {
    const neverSent = !call.sent || wasRefused || neverBegan(error);
    call.carrier = undefined;
    call.sent = false;
    call.lastError = this.rpc.explain(error);
    if (!neverSent) call.open = true;
    const meaning = meaningOf(error);
    if (meaning !== 'refused' && meaning !== 'defect') return true;
    this.giveUp(call, error);
    return false;
  }

  /**
   * Its session is not known any more: if nothing was executed, another one will do. It is in line then;
   * the owner forgets it and calls {@link advance}.
   */
  renewed(call: Call, error: TxmeshError): boolean {
    if (error.reason !== 'SESSION_EXPIRED' || call.open || call.renewals >= MOST_RENEWALS) return false;
    call.session!.settle(call.sequence);
    call.renewals++;
    call.carrier = undefined;
    call.sent = false;
    call.session = undefined;
    call.lastError = error;
    this.underWay--;
    this.bytesUnderWay -= call.bytes;
    let place = this.head;
    while (place < this.line.length && this.line[place]!.order < call.order) place++;
    this.line.splice(place, 0, call);
    return true;
  }

  /** Has the call's owner retry it after a delay. */
  retryLater(call: Call): void {
    const { clock, entropy } = this.rpc.environment;
    call.nextTryMs = clock.monotonicMs() + backoffDelayMs(CONNECTION_BACKOFF, Math.max(1, call.tries), entropy(), call.lastError?.retryAfterMs);
    this.sweep.at(call.nextTryMs);
  }

  giveUp(call: Call, error: TxmeshError): void {
    if (!this.calls.has(call)) return;
    const unknown = call.mayHaveRun;
    // What may have been executed stays unsettled, so that it can be completed.
    if (!unknown) call.session?.settle(call.sequence);
    this.remove(call);
    call.reject(unknown ? this.unknown(call, error) : error);
    this.owner.ended(call);
    this.advance();
  }

  /** Everything that is under way fails. */
  close(): void {
    this.sweep.cancel();
    this.line = [];
    this.head = 0;
    for (const call of this.calls) this.giveUp(call, closedError());
  }

  /** Admits from the line what there is room for. */
  advance(): void {
    for (; this.head < this.line.length; this.head++) {
      const call = this.line[this.head]!;
      if (!this.calls.has(call)) continue;
      if (this.underWay >= MOST_UNDER_WAY || (this.underWay > 0 && this.bytesUnderWay + call.bytes > MOST_BYTES_UNDER_WAY)) break;
      if (!this.owner.admit(call)) break;
      this.underWay++;
      this.bytesUnderWay += call.bytes;
    }
    // What has been passed is cut off now and then: each time would copy a long line again and again.
    if (this.head === this.line.length || this.head >= PASSED_KEPT) {
      this.line = this.line.slice(this.head);
      this.head = 0;
    }
  }

  private remove(call: Call): void {
    this.calls.delete(call);
    if (call.session === undefined) return;
    this.underWay--;
    this.bytesUnderWay -= call.bytes;
  }

  private runSweep(nowMs: number): number {
    let next = Infinity;
    for (const call of this.calls) {
      if (call.deadlineMs <= nowMs) {
        this.giveUp(call, deadlineExceeded(this.owner.what, call.lastError));
        continue;
      }
      if (call.nextTryMs !== undefined && call.nextTryMs <= nowMs) {
        call.nextTryMs = undefined;
        this.owner.retry(call);
      }
      next = Math.min(next, call.deadlineMs, call.nextTryMs ?? Infinity);
    }
    return next;
  }

  private unknown(call: Call, error: TxmeshError): OutcomeUnknown {
    const { what, refusals } = this.owner;
    const message = `it is not known whether ${what} has taken effect: ${error.message}; settle() sees to it that it has, once`;
    return new OutcomeUnknown({ reason: 'OUTCOME_UNKNOWN', message, cause: error }, async (options) => {
      let taken = true;
      try {
        await this.owner.complete(call, options);
      } catch (refusal) {
        if (!(refusal instanceof TxmeshError && refusals.has(refusal.reason))) throw refusal;
        taken = false;
      }
      call.session!.settle(call.sequence);
      return taken;
    });
  }

  private overloaded(limit: number): TxmeshError {
    return makeError({
      reason: 'OVERLOADED',
      message: `${limit} others wait for ${this.owner.what} (maxPending); await some of them before you go on`,
      retryAfterMs: OVERLOAD_RETRY_MS,
    });
  }
}
