/**
 * The one place where a {@link Failure} becomes a google.rpc.Status or a gRPC status, and back. The
 * reason travels as google.rpc.ErrorInfo, broken rules as BadRequest, the delay as RetryInfo, and
 * what a participant adds as a detail of its own; docs/errors.md explains each reason.
 */

import * as grpc from '@grpc/grpc-js';
import { REASONS, type Failure, type Reason } from '../../kernel/failure.ts';
import type { Any } from '../../gen/google/protobuf/any.ts';
import { BadRequest, ErrorInfo, RetryInfo } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';
import { durationMs, toDuration } from '../transport/time.ts';
import { FailureError } from './failure-error.ts';

export const ERROR_DOMAIN = 'txmesh';
/** Where gRPC carries a google.rpc.Status beside its own code and message. */
const DETAILS_TRAILER = 'grpc-status-details-bin';

const TYPE_PREFIX = 'type.googleapis.com/';
const ERROR_INFO = `${TYPE_PREFIX}google.rpc.ErrorInfo`;
const BAD_REQUEST = `${TYPE_PREFIX}google.rpc.BadRequest`;
const RETRY_INFO = `${TYPE_PREFIX}google.rpc.RetryInfo`;

/** Trailers share one HTTP/2 header block, which many peers bound at 8 KiB: what a call's error may take of it. */
const TRAILER_BYTES = 4096;
const TRAILER_MESSAGE_CHARACTERS = 1024;
const TRAILER_VIOLATIONS = 16;

/** The whole failure, for the body of a message. */
export function failureToStatus(failure: Failure): Status {
  const details: Any[] = [
    {
      typeUrl: ERROR_INFO,
      value: ErrorInfo.encode({
        reason: failure.reason,
        domain: ERROR_DOMAIN,
        metadata: { ...failure.metadata },
      }).finish(),
    },
  ];
  if (failure.violations !== undefined && failure.violations.length > 0)
    details.push({
      typeUrl: BAD_REQUEST,
      value: BadRequest.encode({
        fieldViolations: failure.violations.map(({ field, description }) => ({
          field,
          description,
          reason: '',
          localizedMessage: undefined,
        })),
      }).finish(),
    });
  if (failure.retryAfterMs !== undefined)
    details.push({
      typeUrl: RETRY_INFO,
      value: RetryInfo.encode({ retryDelay: toDuration(failure.retryAfterMs) }).finish(),
    });
  if (failure.detail !== undefined) details.push({ typeUrl: failure.detail.typeUrl, value: failure.detail.value });
  return { code: grpc.status[REASONS[failure.reason]], message: failure.message, details };
}

/** What a status says. One that is not txmesh's own is read by its code: see {@link foreignFailure}. */
export function statusToFailure(status: Status): Failure {
  let info: ErrorInfo | undefined;
  const rest: { -readonly [Key in keyof Failure]?: Failure[Key] } = {};
  for (const { typeUrl, value } of status.details) {
    switch (typeUrl) {
      case ERROR_INFO:
        info = ErrorInfo.decode(value);
        break;
      case BAD_REQUEST:
        rest.violations = BadRequest.decode(value).fieldViolations.map(({ field, description }) => ({ field, description }));
        break;
      case RETRY_INFO: {
        const { retryDelay } = RetryInfo.decode(value);
        if (retryDelay !== undefined) rest.retryAfterMs = durationMs(retryDelay);
        break;
      }
      default:
        // A copy: the status may be a view into a frame, and failures are kept.
        rest.detail ??= { typeUrl, value: new Uint8Array(value) };
    }
  }
  if (info !== undefined && Object.keys(info.metadata).length > 0) rest.metadata = info.metadata;
  if (info?.domain === ERROR_DOMAIN && info.reason in REASONS)
    return { reason: info.reason as Reason, message: status.message, ...rest };
  return { ...foreignFailure(status.code, status.message), ...rest };
}

/** A failure as the error that ends a call. What would not fit a header block is left out or cut. */
export function failureToServiceError(failure: Failure): Partial<grpc.ServiceError> & { code: grpc.status } {
  const message = cut(failure.message, TRAILER_MESSAGE_CHARACTERS);
  const violations = failure.violations
    ?.slice(0, TRAILER_VIOLATIONS)
    .map(({ field, description }) => ({ field: cut(field, 128), description: cut(description, 256) }));
  let bytes = Status.encode(failureToStatus({ ...failure, message, ...(violations && { violations }) })).finish();
  if (bytes.length > TRAILER_BYTES)
    bytes = Status.encode(
      failureToStatus({
        reason: failure.reason,
        message,
        ...(failure.retryAfterMs !== undefined && { retryAfterMs: failure.retryAfterMs }),
        ...(violations && { violations: violations.slice(0, 4) }),
        metadata: { detailOmitted: 'true' },
      }),
    ).finish();
  const metadata = new grpc.Metadata();
  metadata.set(DETAILS_TRAILER, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  return { code: grpc.status[REASONS[failure.reason]], details: message, message, metadata };
}

/** What the error that ended a call says. */
export function serviceErrorToFailure(error: {
  readonly code: grpc.status;
  readonly details: string;
  readonly metadata?: grpc.Metadata;
}): Failure {
  const [bytes] = error.metadata?.get(DETAILS_TRAILER) ?? [];
  if (bytes instanceof Buffer) {
    try {
      return statusToFailure(Status.decode(bytes));
    } catch {
      // Not a google.rpc.Status: what gRPC itself says is left.
    }
  }
  return foreignFailure(error.code, error.details);
}

/** Whether the server has refused it unseen, because it closes the connection (RFC 9113, section 8.7). */
export function isRefusedStream(error: unknown): boolean {
  return REFUSED_STREAM.test((error as Partial<grpc.ServiceError> | undefined)?.details ?? '');
}

const REFUSED_STREAM = /^(Stream refused by server|Write error: Stream closed with error code NGHTTP2_REFUSED_STREAM)/;

/**
 * Failures of grpc-js that happen before a request is sent, by the beginnings of their details; also what
 * a server refuses unseen while it closes the connection (RFC 9113, section 8.7).
 */
const NEVER_SENT =
  /^(No connection established|Name resolution failed|Failed to parse|Channel closed before call started|Subchannel not ready|Stream refused by server|Write error: Stream closed with error code NGHTTP2_REFUSED_STREAM)/;

/**
 * A status that somebody else made: grpc-js, a proxy, a user's own participant. Where it is not
 * certain that nothing was executed, the outcome is unknown.
 */
function foreignFailure(code: grpc.status, details: string): Failure {
  const name = grpc.status[code] ?? String(code);
  const message = details === '' ? name : details;
  const metadata = { status: name };
  switch (code) {
    case grpc.status.UNAVAILABLE:
      return NEVER_SENT.test(details)
        ? { reason: 'NO_LEADER', message: `not reached: ${message}`, retryAfterMs: 100, metadata }
        : { reason: 'OUTCOME_UNKNOWN', message: `the connection was lost: ${message}`, metadata };
    case grpc.status.DEADLINE_EXCEEDED:
      return { reason: 'DEADLINE_EXCEEDED', message, metadata };
    case grpc.status.CANCELLED:
      return { reason: 'CANCELLED', message, metadata };
    case grpc.status.INVALID_ARGUMENT:
      return { reason: 'INVALID_FIELD', message, metadata };
    case grpc.status.RESOURCE_EXHAUSTED:
      return { reason: 'OVERLOADED', message, metadata };
    case grpc.status.UNAUTHENTICATED:
      return { reason: 'NOT_AUTHENTICATED', message, metadata };
    case grpc.status.PERMISSION_DENIED:
      return { reason: 'PERMISSION_DENIED', message, metadata };
    case grpc.status.ABORTED:
    case grpc.status.FAILED_PRECONDITION:
      return { reason: 'REFUSED_BY_PARTICIPANT', message, metadata };
    case grpc.status.UNKNOWN:
      return { reason: 'OUTCOME_UNKNOWN', message, metadata };
    case grpc.status.INTERNAL:
      // How grpc-js reports a stream that broke for most reasons.
      if (details.includes('RST_STREAM')) return { reason: 'OUTCOME_UNKNOWN', message: `the connection was lost: ${message}`, metadata };
      return { reason: 'INTERNAL', message, metadata };
    default:
      return { reason: 'INTERNAL', message: `${name}: ${message}`, metadata };
  }
}

/** Why something ended that threw this. What is no failure is an error of the software. */
export function reasonOf(error: unknown): Reason {
  return error instanceof FailureError ? error.failure.reason : 'INTERNAL';
}

/** Whether the request was surely not executed, so that it may be sent again as it is (invariant P8). */
export function surelyNotExecuted(failure: Failure): boolean {
  return failure.retryAfterMs !== undefined;
}

/** Well-formed even where the cut goes through a pair of surrogates: gRPC percent-encodes the text. */
function cut(text: string, characters: number): string {
  return (text.length <= characters ? text : `${text.slice(0, characters - 1)}…`).toWellFormed();
}
