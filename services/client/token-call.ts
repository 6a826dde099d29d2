/** A request under a session and a sequence that somebody waits for, over all its tries. */

import type { Sendable } from './batched-stream.ts';
import type { TxmeshError } from './errors.ts';
import type { Session } from './session.ts';
import { endSpan, type ClientSpan } from './trace.ts';

export interface TokenCallOptions {
  /** By the monotonic clock. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  /** About how long it is when encoded. */
  readonly bytes: number;
  /** Ends with the call. */
  readonly span: ClientSpan | undefined;
}

export abstract class TokenCall<Wire, Result> implements Sendable<Wire> {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly bytes: number;
  /** Its place among all that were started. */
  order = 0;
  /** Undefined until there is room for it. */
  session: Session | undefined = undefined;
  sequence = 0;
  /** Where the last try was put, while it is not answered. */
  carrier: object | undefined = undefined;
  /** An unanswered try has been sent. */
  sent = false;
  /** An earlier try may have been executed, and nothing has been heard of it. */
  open = false;
  tries = 0;
  /** How often it was given another session. */
  renewals = 0;
  /** When the next try is due, by the monotonic clock; undefined: it does not wait for a time. */
  nextTryMs: number | undefined = undefined;
  lastError: TxmeshError | undefined = undefined;
  onAbort: (() => void) | undefined = undefined;
  readonly promise: Promise<Result>;
  readonly span: ClientSpan | undefined;
  private readonly settle: PromiseWithResolvers<Result>;

  constructor({ deadlineMs, signal, bytes, span }: TokenCallOptions) {
    this.deadlineMs = deadlineMs;
    this.signal = signal;
    this.bytes = bytes;
    this.span = span;
    this.settle = Promise.withResolvers();
    this.promise = this.settle.promise;
  }

  /** Whether a copy of it may still be, or may have been, executed. */
  get mayHaveRun(): boolean {
    return this.sent || this.open;
  }

  encodable(): Wire | undefined {
    if (this.carrier === undefined) return undefined;
    this.sent = true;
    return this.wire();
  }

  /** The server has executed it, once. */
  resolve(result: Result): void {
    this.finish(undefined);
    this.settle.resolve(result);
  }

  reject(error: TxmeshError): void {
    this.finish(error);
    this.settle.reject(error);
  }

  protected abstract wire(): Wire;

  private finish(error: TxmeshError | undefined): void {
    this.carrier = undefined;
    if (this.onAbort !== undefined) this.signal!.removeEventListener('abort', this.onAbort);
    endSpan(this.span, error);
  }
}
