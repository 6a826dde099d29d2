/** One Execute that somebody waits for, over all its tries under the same id. */

import type { ExecuteCall, ExecuteRequest } from '../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Duration } from '../gen/google/protobuf/duration.ts';
import { toDuration, toTimestamp } from '../runtime/transport/time.ts';
import type { Sendable } from './batched-stream.ts';
import { toldRemainingMs } from './deadline.ts';
import { invalidRequest, type TxmeshError } from './errors.ts';
import type { Content, Operation } from './operations.ts';
import type { Outcome } from './outcome-codec.ts';
import { endSpan, type ClientSpan } from './trace.ts';

/** Bytes of a call beside its operations, and of an operation beside its texts and content: upper bounds. */
const CALL_OVERHEAD_BYTES = 200;
const OPERATION_OVERHEAD_BYTES = 24;
/** UTF-8 takes at most this many bytes for each UTF-16 unit. */
const BYTES_PER_UNIT = 3;

export interface PendingCallOptions {
  readonly transactionId: string;
  readonly operations: readonly Operation[];
  readonly firstTryMs: number | undefined;
  /** By the monotonic clock. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly span: ClientSpan | undefined;
}

/** The last duration that was made: the calls of a turn mostly have the same time left. */
let lastMs = -1;
let lastDuration: Duration = toDuration(0);

export class PendingCall implements Sendable<ExecuteCall> {
  readonly sequence: number;
  readonly transactionId: string;
  readonly request: ExecuteRequest;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly bytes: number;
  /** Where the last try was put, while it is not answered. */
  carrier: object | undefined = undefined;
  /** Ends the last try where it went alone: nobody waits for its answer. */
  cancel: (() => void) | undefined = undefined;
  /** An unanswered try has been sent. */
  sent = false;
  /** An earlier try may have been executed, and nothing has been heard of it. */
  open = false;
  tries = 0;
  /** When the next try is due, by the monotonic clock; undefined while one is under way. */
  nextTryMs: number | undefined = undefined;
  lastError: TxmeshError | undefined = undefined;
  onAbort: (() => void) | undefined = undefined;
  readonly span: ClientSpan | undefined;
  private readonly nowMs: () => number;
  private readonly onOutcome: (outcome: Outcome) => void;
  private readonly onError: (error: TxmeshError) => void;

  constructor(
    sequence: number,
    options: PendingCallOptions,
    nowMs: () => number,
    resolve: (outcome: Outcome) => void,
    reject: (error: TxmeshError) => void,
  ) {
    const { operations, firstTryMs } = options;
    this.sequence = sequence;
    this.transactionId = String(options.transactionId);
    this.deadlineMs = options.deadlineMs;
    this.signal = options.signal;
    this.span = options.span;
    this.nowMs = nowMs;
    this.onOutcome = resolve;
    this.onError = reject;
    this.request = {
      transactionId: this.transactionId,
      operations: operations as Operation[],
      timeout: undefined,
      firstTryTime: firstTryMs === undefined ? undefined : toTimestamp(firstTryMs),
      mode: 0,
    };
    let bytes = CALL_OVERHEAD_BYTES;
    for (const { participant, routingKey, operation } of operations) {
      demandTypes(participant, routingKey, operation);
      const units = participant.length + routingKey.length + operation.typeUrl.length;
      bytes += OPERATION_OVERHEAD_BYTES + units * BYTES_PER_UNIT + operation.value.length;
    }
    this.bytes = bytes;
  }

  /** Whether a copy of it may still be, or may have been, executed. */
  get mayHaveRun(): boolean {
    return this.sent || this.open;
  }

  encodable(): ExecuteCall | undefined {
    if (this.carrier === undefined) return undefined;
    this.sent = true;
    const ms = toldRemainingMs(this.deadlineMs - this.nowMs());
    if (ms !== lastMs) {
      lastMs = ms;
      lastDuration = toDuration(ms);
    }
    return {
      sequence: this.sequence,
      request: this.request,
      traceparent: this.span === undefined ? '' : this.span.traceparent,
      remaining: lastDuration,
    };
  }

  resolve(outcome: Outcome): void {
    this.finish(outcome.committed ? undefined : outcome.cause);
    this.onOutcome(outcome);
  }

  reject(error: TxmeshError): void {
    this.finish(error);
    this.onError(error);
  }

  private finish(error: TxmeshError | undefined): void {
    this.carrier = undefined;
    if (this.onAbort !== undefined) this.signal!.removeEventListener('abort', this.onAbort);
    if (this.span !== undefined) endSpan(this.span, error);
  }
}

/** What can't be encoded would take the whole frame with it, other calls included. */
function demandTypes(participant: unknown, routingKey: unknown, operation: Content): void {
  const right =
    typeof participant === 'string' && typeof routingKey === 'string' && typeof operation.typeUrl === 'string' && operation.value instanceof Uint8Array;
  if (!right) throw invalidRequest('an operation needs participant, routingKey and typeUrl as text, and value as Uint8Array', 'operations');
}
