/** From failures, as servers send them, to the SDK's errors. */

import type * as grpc from '@grpc/grpc-js';
import type { Status } from '../gen/google/rpc/status.ts';
import { ConflictDetail } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../kernel/failure.ts';
import { serviceErrorToFailure, statusToFailure } from '../runtime/errors/status.ts';
import { makeError, TransactionAborted, type Conflict, type TxmeshError } from './errors.ts';

const CONFLICT_DETAIL = 'txmesh.keyvalue.v1.ConflictDetail';

const UNSAID: Status = { code: 2, message: 'the server gave no reason', details: [] };

/** @param transactionId what the status is about, if it is about a transaction. */
export function errorFromStatus(status: Status | undefined, transactionId?: string): TxmeshError {
  return errorFromFailure(statusToFailure(status ?? UNSAID), transactionId);
}

export function errorFromGrpc(error: grpc.ServiceError, transactionId?: string): TxmeshError {
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
