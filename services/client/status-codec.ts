/** From failures, as servers send them, to the SDK's errors. */

import type * as grpc from '@grpc/grpc-js';
import type { Status } from '../gen/google/rpc/status.ts';
import { ConflictDetail } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../kernel/failure.ts';
import { serviceErrorToFailure, statusToFailure } from '../runtime/errors/status.ts';
import { makeError, NEVER_SENT, TransactionAborted, type Conflict, type TxmeshError } from './errors.ts';

const CONFLICT_DETAIL = 'txmesh.keyvalue.v1.ConflictDetail';

const UNSAID: Status = { code: 2, message: 'the server gave no reason', details: [] };

/** @param transactionId what the status is about, if it is about a transaction. */
export function errorFromStatus(status: Status | undefined, transactionId?: string): TxmeshError {
  return errorFromFailure(statusToFailure(status ?? UNSAID), transactionId);
}

/** What grpc-js says of a request that the generated code could not encode. */
const UNENCODABLE = 'Request message serialization failure: ';

export function errorFromGrpc(error: grpc.ServiceError, transactionId?: string): TxmeshError {
  if (error.details?.startsWith(UNENCODABLE)) return unencodable(error.details.slice(UNENCODABLE.length), error);
  return errorFromFailure(serviceErrorToFailure(error), transactionId, error);
}

/** The cause of an abort, whatever its reason's code: the transaction is settled. */
export function abortedBecause(status: Status | undefined, transactionId: string): TransactionAborted {
  if (status === undefined) {
    return new TransactionAborted({ reason: 'ABORTED_BY_REQUEST', message: 'aborted; no cause was given', transactionId });
  }
  const failure = statusToFailure(status);
  return new TransactionAborted({ ...failure, conflict: conflictOf(failure), transactionId });
}

/** It was not sent, and would fail in the same way again. */
function unencodable(why: string, cause: unknown): TxmeshError {
  const message = `the request can't be encoded, as one of its values is not of the type or in the range that is documented: ${why}`;
  return makeError({ reason: 'INVALID_FIELD', message, metadata: NEVER_SENT, cause });
}

function errorFromFailure(failure: Failure, transactionId?: string, cause?: unknown): TxmeshError {
  return makeError({ ...failure, conflict: conflictOf(failure), transactionId, cause });
}

function conflictOf({ detail }: Failure): Conflict | undefined {
  if (detail === undefined || detail.typeUrl.slice(detail.typeUrl.lastIndexOf('/') + 1) !== CONFLICT_DETAIL) return undefined;
  const { participant, collection, key, expected, current, conflictingFields } = ConflictDetail.decode(detail.value);
  return {
    participant,
    collection,
    key,
    expected,
    currentVersion: current?.version ?? 0,
    currentValue: current === undefined || current.absent ? undefined : current.value,
    conflictingFields,
  };
}
