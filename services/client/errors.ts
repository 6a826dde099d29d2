/**
 * What can go wrong, as classes that a caller can act on. Every error of the SDK is a
 * {@link TxmeshError}; docs/errors.md explains each `reason`.
 */

import { REASONS, type FieldViolation, type Reason } from '../kernel/failure.ts';

export type { FieldViolation, Reason };

/** Why a precondition did not hold, with the key as it is now. */
export interface Conflict {
  readonly participant: string;
  readonly collection: string;
  readonly key: string;
  /** What was required, in words: "absent", "version 17". */
  readonly expected: string;
  /** The key's current version; 0 if it never existed. */
  readonly currentVersion: number;
  /** The current value. Undefined if the key is absent now; empty if the value has more than 64 KiB. */
  readonly currentValue?: Uint8Array;
  /** Of a three-way merge: JSON pointers (RFC 6901) of the fields that both sides changed. */
  readonly conflictingFields: readonly string[];
}

/** gRPC's status codes, as far as reasons map to them. */
export type Code = (typeof REASONS)[Reason];

/** What an error is made of; the fields are those of {@link TxmeshError}. */
export interface ErrorDetails {
  readonly reason: Reason;
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  readonly retryAfterMs?: number;
  readonly conflict?: Conflict;
  readonly transactionId?: string;
  readonly cause?: unknown;
}

/** The base of all errors. */
export class TxmeshError extends Error {
  /** Why, for programs. */
  readonly reason: Reason;
  /** The name of the gRPC status code that belongs to the reason: "ABORTED". */
  readonly code: Code;
  /** Facts about the failure, from google.rpc.ErrorInfo. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that broke a rule, if the request was wrong. */
  readonly violations: readonly FieldViolation[];
  /** When trying again makes sense, milliseconds. Given only if the request was surely not executed. */
  readonly retryAfterMs: number | undefined;
  /** The key that was in the way, for a conflict. */
  readonly conflict: Conflict | undefined;
  /** The transaction that this is about, if it is about one. */
  readonly transactionId: string | undefined;

  constructor(details: ErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.reason = details.reason;
    this.code = REASONS[details.reason];
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
    this.conflict = details.conflict;
    this.transactionId = details.transactionId;
  }
}

/** The request breaks a rule, which `violations` or the message names. Change it before another try. */
export class InvalidRequest extends TxmeshError {}

/** What was asked for is not there. About a transaction it settles nothing: see {@link OutcomeUnknown}. */
export class NotFound extends TxmeshError {}

/** The id was used before with other content, or what is to be created is there. */
export class AlreadyExists extends TxmeshError {}

/** The state of things does not allow it: an expired id, an acknowledgement that came too late, a counter's bound. */
export class FailedPrecondition extends TxmeshError {}

/** The watch asks for a position that is no longer kept. Read the present state and watch from now on. */
export class PositionCompacted extends TxmeshError {}

/**
 * Nothing was changed, and this transaction never will change anything. `reason` tells why; `conflict`
 * names the key, where a key was in the way.
 */
export class TransactionAborted extends TxmeshError {
  /**
   * Whether the same work may succeed under a new id, with what is stored then. True for the reasons
   * PRECONDITION_FAILED, LOCK_CONFLICT, LOCK_TIMEOUT, WORKSPACE_LOST, TRANSACTION_TIMEOUT, OUTCOME_UNKNOWN (of
   * a branch's prepare), OVERLOADED, NO_LEADER and DRAINING.
   */
  get retryable(): boolean {
    return RETRYABLE.has(this.reason);
  }
}

/**
 * Finds out whether something has taken effect, as {@link OutcomeUnknown.settle} says: true if it has, false
 * if it has not and never will.
 */
export type Settle = (options: { readonly signal?: AbortSignal; readonly timeoutMs?: number }) => Promise<boolean>;

/**
 * It is not known whether the request took effect: the connection or the caller's patience ended
 * first. `settle()` finds out.
 */
export class OutcomeUnknown extends TxmeshError {
  private readonly settler: Settle | undefined;

  constructor(details: ErrorDetails, settler?: Settle) {
    super(details);
    this.settler = settler;
  }

  /**
   * Settles it: true if it has taken effect, false if it has not and never will. A transaction that
   * the coordinator has not decided is aborted; a write of one partition (a local transaction, `put`,
   * `delete`), whose outcome the participant keeps, is completed, and so are a publish and an add; an add
   * that a bound refuses is one that never takes effect.
   * @throws OutcomeUnknown if it can't be settled now
   */
  settle(options: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {}): Promise<boolean> {
    return this.settler === undefined ? Promise.reject(this) : this.settler(options);
  }
}

/** No server could be reached that can do it; it was not executed. */
export class Unavailable extends TxmeshError {}

/** Too much is waiting, here or at the server; it was not executed. */
export class Overloaded extends TxmeshError {}

/** The server does not know who calls, or does not believe it: the token is missing, wrong or has expired. */
export class NotAuthenticated extends TxmeshError {}

/** The caller has no right to do this; nothing was done. */
export class PermissionDenied extends TxmeshError {}

/**
 * The call's `timeoutMs` passed before it could change anything: nothing was changed. (Where something may have
 * been changed, the error is {@link OutcomeUnknown}.) `cause` is the error of the last try, if there was one.
 */
export class DeadlineExceeded extends TxmeshError {}

/** The caller's AbortSignal fired; `cause` is the signal's reason. Nothing was changed. */
export class Cancelled extends TxmeshError {}

/** An error of the software. */
export class InternalError extends TxmeshError {}

/** Causes of an abort after which the same work may go through under a new id. */
const RETRYABLE: ReadonlySet<string> = new Set<Reason>([
  'PRECONDITION_FAILED',
  'LOCK_CONFLICT',
  'LOCK_TIMEOUT',
  'WORKSPACE_LOST',
  'TRANSACTION_TIMEOUT',
  'OUTCOME_UNKNOWN',
  'OVERLOADED',
  'NO_LEADER',
  'DRAINING',
]);

const CLASSES: Readonly<Record<Code, new (details: ErrorDetails) => TxmeshError>> = {
  CANCELLED: Cancelled,
  UNKNOWN: OutcomeUnknown,
  INVALID_ARGUMENT: InvalidRequest,
  DEADLINE_EXCEEDED: DeadlineExceeded,
  NOT_FOUND: NotFound,
  ALREADY_EXISTS: AlreadyExists,
  RESOURCE_EXHAUSTED: Overloaded,
  FAILED_PRECONDITION: FailedPrecondition,
  ABORTED: TransactionAborted,
  OUT_OF_RANGE: PositionCompacted,
  UNAVAILABLE: Unavailable,
  INTERNAL: InternalError,
  UNAUTHENTICATED: NotAuthenticated,
  PERMISSION_DENIED: PermissionDenied,
};

/** The error for a failure, of the class that its reason's code has. */
export function makeError(details: ErrorDetails): TxmeshError {
  return new CLASSES[REASONS[details.reason]](details);
}

/** What an error says about the request it answers. */
export type Meaning =
  /** The request was surely not executed and may be sent again after a delay. */
  | 'notExecuted'
  /** It may have been executed. Sending it again is safe only under the same id, and then useful. */
  | 'unknown'
  /** The server has failed at it and may have executed it. Sending it again is no use. */
  | 'defect'
  /** It was refused; the same again would be, too. */
  | 'refused';

export function meaningOf(error: TxmeshError): Meaning {
  if (error.retryAfterMs !== undefined) return 'notExecuted';
  if (UNKNOWN_CODES.has(error.code)) return 'unknown';
  if (error.code !== 'INTERNAL') return 'refused';
  // With a status of gRPC's own it comes from the transport: the stream was reset.
  return error.metadata['status'] === 'INTERNAL' ? 'unknown' : 'defect';
}

/** In the metadata of an error: the request did not leave this process. */
export const NEVER_SENT = { sent: 'false' } as const;

/** Whether a stream that ended so was never begun, and nothing on it was executed. */
export function neverBegan(error: TxmeshError): boolean {
  return error.metadata['sent'] === NEVER_SENT.sent || wasNeverConnected(error);
}

/** There was no connection, so that nothing was sent: only then does gRPC's own UNAVAILABLE carry a retry delay. */
export function wasNeverConnected({ retryAfterMs, metadata }: TxmeshError): boolean {
  return retryAfterMs !== undefined && metadata['status'] === 'UNAVAILABLE';
}

const UNKNOWN_CODES: ReadonlySet<Code> = new Set<Code>(['UNAVAILABLE', 'UNKNOWN', 'CANCELLED', 'DEADLINE_EXCEEDED']);

export function cancelled(signal: AbortSignal, what: string, transactionId?: string): Cancelled {
  return new Cancelled({
    reason: 'CANCELLED',
    message: `${what} was cancelled by the caller's signal`,
    transactionId,
    cause: signal.reason,
  });
}

export function closedError(): Cancelled {
  return new Cancelled({ reason: 'CANCELLED', message: 'the connection to the mesh was closed' });
}

export function deadlineExceeded(what: string, cause?: unknown, transactionId?: string): DeadlineExceeded {
  return new DeadlineExceeded({
    reason: 'DEADLINE_EXCEEDED',
    message: `${what} did not finish by its deadline${cause instanceof Error ? `; the last try: ${cause.message}` : ''}`,
    transactionId,
    cause,
  });
}

export function outcomeUnknown(transactionId: string, why: string, cause?: unknown, settler?: Settle): OutcomeUnknown {
  const details: ErrorDetails = {
    reason: 'OUTCOME_UNKNOWN',
    message: `the outcome of transaction ${transactionId} is not known: ${why}; settle() finds out`,
    transactionId,
    cause,
  };
  return new OutcomeUnknown(details, settler);
}

export function invalidRequest(message: string, field?: string): InvalidRequest {
  return new InvalidRequest({
    reason: 'INVALID_FIELD',
    message,
    violations: field === undefined ? [] : [{ field, description: message }],
  });
}
