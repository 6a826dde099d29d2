/**
 * What can be wrong with a request, as kernels and handlers say it. One place
 * (services/runtime/errors) turns it into a gRPC status with google.rpc details; docs/errors.md
 * explains each reason.
 */

/** Every reason, with the gRPC status code (google.rpc.Code) that it is answered with. */
export const REASONS = {
  /** A field breaks its rule; `violations` names fields. */
  INVALID_FIELD: 'INVALID_ARGUMENT',
  /** The message can't be decoded, or a string is not UTF-8. */
  MALFORMED_MESSAGE: 'INVALID_ARGUMENT',
  /** A limit on size or count is passed; the message names it. */
  LIMIT_EXCEEDED: 'INVALID_ARGUMENT',
  /** No participant has this name. */
  UNKNOWN_PARTICIPANT: 'NOT_FOUND',
  /** The participant does not know this type of operation. */
  UNKNOWN_OPERATION: 'INVALID_ARGUMENT',
  /** The routing key, or an operation's key, belongs to another partition. */
  WRONG_PARTITION: 'INVALID_ARGUMENT',
  /** The name is registered for a participant at another address. */
  PARTICIPANT_NAME_TAKEN: 'ALREADY_EXISTS',
  /** The id's time is more than the bound in the future. */
  TRANSACTION_ID_IN_FUTURE: 'INVALID_ARGUMENT',
  /** The id is older than what is kept, so it can't be known whether it was used. */
  TRANSACTION_EXPIRED: 'FAILED_PRECONDITION',
  /** The id was used with other content. */
  TRANSACTION_ID_REUSED: 'ALREADY_EXISTS',
  /** No transaction of this id is known. Settles nothing. */
  TRANSACTION_NOT_FOUND: 'NOT_FOUND',
  /** The attempt is not the transaction's current one, or it has gone on past this step. */
  WRONG_ATTEMPT: 'FAILED_PRECONDITION',
  /** A precondition does not hold. Try again with what is there now. */
  PRECONDITION_FAILED: 'ABORTED',
  /** Another transaction holds the key. Try again. */
  LOCK_CONFLICT: 'ABORTED',
  /** A lock was waited for as long as allowed. Try again. */
  LOCK_TIMEOUT: 'ABORTED',
  /** Both sides changed the same fields, or a document is not JSON. */
  MERGE_CONFLICT: 'ABORTED',
  /** The work of an interactive transaction was lost in a failover. Try again. */
  WORKSPACE_LOST: 'ABORTED',
  /** Not decided within the transaction's timeout. */
  TRANSACTION_TIMEOUT: 'ABORTED',
  /** Aborted by request. */
  ABORTED_BY_REQUEST: 'ABORTED',
  /** A user's own participant refused. */
  REFUSED_BY_PARTICIPANT: 'ABORTED',
  /** The revision or position is no longer kept. The message names the oldest. */
  POSITION_COMPACTED: 'OUT_OF_RANGE',
  /** Too much is waiting; surely not executed. Comes with a retry delay. */
  OVERLOADED: 'RESOURCE_EXHAUSTED',
  /** The store has no room left; surely not executed. */
  STORE_FULL: 'RESOURCE_EXHAUSTED',
  /** No leader is known; surely not executed. Comes with a retry delay. */
  NO_LEADER: 'UNAVAILABLE',
  /** The server is stopping; surely not executed. Comes with a retry delay. */
  DRAINING: 'UNAVAILABLE',
  /** The reply was lost, or the leader stepped down while the request was under way. */
  OUTCOME_UNKNOWN: 'UNKNOWN',
  /** The caller's deadline has passed. */
  DEADLINE_EXCEEDED: 'DEADLINE_EXCEEDED',
  /** The caller cancelled. */
  CANCELLED: 'CANCELLED',
  /** The message comes from another cluster. */
  FOREIGN_CLUSTER: 'FAILED_PRECONDITION',
  /** The partition map of the sender is not this cluster's. */
  PARTITION_MISMATCH: 'FAILED_PRECONDITION',
  /** No branch of this name is prepared. */
  BRANCH_NOT_FOUND: 'NOT_FOUND',
  /** The session of an idempotency token is older than what is kept; nothing was done. */
  SESSION_EXPIRED: 'FAILED_PRECONDITION',
  /** The session's time is more than the bound in the future. */
  SESSION_IN_FUTURE: 'INVALID_ARGUMENT',
  /** The session has said that it does not retry this token any more. */
  TOKEN_SETTLED: 'FAILED_PRECONDITION',
  /** No topic has this name. */
  TOPIC_NOT_FOUND: 'NOT_FOUND',
  /** No subscription has this name. */
  SUBSCRIPTION_NOT_FOUND: 'NOT_FOUND',
  /** No snapshot has this name, or it has expired. */
  SNAPSHOT_NOT_FOUND: 'NOT_FOUND',
  /** A topic of this name exists. */
  TOPIC_EXISTS: 'ALREADY_EXISTS',
  /** A subscription of this name exists. */
  SUBSCRIPTION_EXISTS: 'ALREADY_EXISTS',
  /** A snapshot of this name exists. */
  SNAPSHOT_EXISTS: 'ALREADY_EXISTS',
  /** A subscription, a snapshot or a dead-letter policy needs the topic. */
  TOPIC_IN_USE: 'FAILED_PRECONDITION',
  /** The subscription is detached from its topic. */
  SUBSCRIPTION_DETACHED: 'FAILED_PRECONDITION',
  /** A topic in memory can't do this. */
  MEMORY_TOPIC: 'FAILED_PRECONDITION',
  /** There are as many topics, subscriptions or snapshots as there may be. */
  TOO_MANY_OBJECTS: 'FAILED_PRECONDITION',
  /** The delivery can't be acknowledged any more; the message is, or is delivered again. */
  ACK_EXPIRED: 'FAILED_PRECONDITION',
  /** An earlier message of the same ordering key in this stream was refused and not sent again. */
  ORDERING_KEY_PAUSED: 'ABORTED',
  /** The token was used with other content. */
  TOKEN_REUSED: 'ALREADY_EXISTS',
  /** No counter has this name. */
  COUNTER_NOT_FOUND: 'NOT_FOUND',
  /** A counter of this name exists. */
  COUNTER_EXISTS: 'ALREADY_EXISTS',
  /** The counter's kind can't do this. */
  COUNTER_KIND: 'FAILED_PRECONDITION',
  /** An add would pass a bound; the message says how much is left. */
  BOUND_EXCEEDED: 'FAILED_PRECONDITION',
  /** A value would pass 64 bits. */
  COUNTER_OVERFLOW: 'FAILED_PRECONDITION',
  /** The counter's configuration or a slot of it is changing; surely not executed. Comes with a retry delay. */
  COUNTER_CHANGING: 'UNAVAILABLE',
  /** The method needs a caller who shows who it is; nothing was done. */
  NOT_AUTHENTICATED: 'UNAUTHENTICATED',
  /** The token is not what it should be; the message says why. */
  TOKEN_INVALID: 'UNAUTHENTICATED',
  /** The token's time is over. */
  TOKEN_EXPIRED: 'UNAUTHENTICATED',
  /** A token came over a connection that anybody can read. */
  TOKEN_UNENCRYPTED: 'UNAUTHENTICATED',
  /** The keys that tokens are verified with can't be had; surely not executed. Comes with a retry delay. */
  TOKEN_KEYS_UNAVAILABLE: 'UNAVAILABLE',
  /** No rule of the policy allows it to this caller; nothing was done. */
  PERMISSION_DENIED: 'PERMISSION_DENIED',
  /** The caller is over a limit of the policy; surely not executed. Comes with a retry delay. */
  CALLER_LIMIT: 'RESOURCE_EXHAUSTED',
  /** An error of the software; the log has more under the trace id. */
  INTERNAL: 'INTERNAL',
} as const;

export type Reason = keyof typeof REASONS;

/** Whether a text from elsewhere is one of the reasons. Every object has a `toString`: it is none. */
export function isReason(text: string): text is Reason {
  return Object.hasOwn(REASONS, text);
}

/** A rule that a field breaks. */
export interface FieldViolation {
  /** Path of the field in the request, as in google.rpc.BadRequest: "operations[2].routing_key". */
  readonly field: string;
  readonly description: string;
}

export interface Failure {
  readonly reason: Reason;
  /** What happened, to what, and what to do about it. */
  readonly message: string;
  readonly violations?: readonly FieldViolation[];
  /** For machines: google.rpc.ErrorInfo metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** When to try again, milliseconds; only where the request was surely not executed. */
  readonly retryAfterMs?: number;
  /** A further detail, as google.protobuf.Any, for example txmesh.keyvalue.v1.ConflictDetail. */
  readonly detail?: { readonly typeUrl: string; readonly value: Uint8Array };
}
