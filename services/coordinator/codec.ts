/** Between the coordinator's records and their bytes (proto/txmesh/record/v1/coordinator_record.proto). */

import {
  CoordinatorRecord,
  type LoggedDecision,
  type RecordedBranch,
  RecordedBranch_Heuristic as HeuristicCode,
  type RecordedFailure,
  type TransactionOutcome,
  TransactionOutcome_Mode as ModeCode,
} from '../gen/txmesh/record/v1/coordinator_record.ts';
import type { Attempt } from '../kernel/attempt.ts';
import type { BranchRecord, Decision, Mode, Stored, TransactionRecord } from '../kernel/coordinator/types.ts';
import { type Failure, isReason } from '../kernel/failure.ts';
import { encode } from '../runtime/encode.ts';
import { encodeHot } from './codec-hot.ts';
import type { RecordCodec } from '../runtime/partition/term.ts';

const FORMAT = 1;

/** What is stored can't be used by this version. */
export class UnreadableRecord extends Error {
  override get name(): string {
    return 'UnreadableRecord';
  }
}

export const coordinatorCodec: RecordCodec<Stored> = { encode: encodeRecord, decode: decodeRecord };

export function encodeRecord(stored: Stored): Uint8Array {
  return encodeHot(stored, FORMAT) ?? encode(CoordinatorRecord, { format: FORMAT, record: toMessage(stored) });
}

export function decodeRecord(key: string, bytes: Uint8Array): Stored {
  let message: CoordinatorRecord;
  try {
    message = CoordinatorRecord.decode(bytes);
  } catch (error) {
    throw new UnreadableRecord(`coordinator record ${key} can't be decoded; the store is damaged`, { cause: error });
  }
  if (message.format > FORMAT) {
    throw new UnreadableRecord(
      `coordinator record ${key} has format ${message.format}, this version of txmesh reads up to ${FORMAT}; run a newer version`,
    );
  }
  const stored = fromMessage(message.record);
  if (message.format === 0 || stored === undefined) {
    throw new UnreadableRecord(`coordinator record ${key} holds nothing that this version of txmesh knows; the store is damaged`);
  }
  return stored;
}

function toMessage(stored: Stored): CoordinatorRecord['record'] {
  switch (stored.type) {
    case 'transaction':
      return { $case: 'transaction', value: toOutcome(stored) };
    case 'log':
      return { $case: 'log', value: { timeMs: stored.timeMs, decisions: stored.decisions.map(toDecision) } };
    case 'progress':
      return { $case: 'progress', value: stored };
    case 'open':
      return { $case: 'open', value: {} };
    case 'late':
      return { $case: 'late', value: stored };
  }
}

function fromMessage(record: CoordinatorRecord['record']): Stored | undefined {
  switch (record?.$case) {
    case 'transaction':
      return fromOutcome(record.value);
    case 'log':
      return { type: 'log', timeMs: record.value.timeMs, decisions: record.value.decisions.map(fromDecision) };
    case 'progress':
      return { type: 'progress', ...record.value };
    case 'open':
      return { type: 'open' };
    case 'late':
      return { type: 'late', ...record.value };
    case undefined:
      return undefined;
  }
}

const MODE_CODES: Readonly<Record<Mode, ModeCode>> = { 'two-phase-commit': ModeCode.TWO_PHASE_COMMIT };

function toOutcome(record: TransactionRecord): TransactionOutcome {
  return {
    mode: MODE_CODES[record.mode],
    committed: record.outcome === 'commit',
    attemptEpoch: record.attempt?.epoch ?? 0,
    attemptCounter: record.attempt?.counter ?? 0,
    fingerprint: record.fingerprint ?? '',
    branches: record.branches.map(toBranch),
    cause: record.cause && toCause(record.cause),
    decideMs: record.decideMs,
    mixed: record.mixed,
  };
}

function fromOutcome(message: TransactionOutcome): TransactionRecord {
  return {
    type: 'transaction',
    mode: 'two-phase-commit',
    outcome: message.committed ? 'commit' : 'abort',
    ...optional('attempt', toAttempt(message.attemptEpoch, message.attemptCounter)),
    ...optional('fingerprint', message.fingerprint === '' ? undefined : message.fingerprint),
    branches: message.branches.map(fromBranch),
    ...optional('cause', message.cause && fromCause(message.cause)),
    decideMs: message.decideMs,
    mixed: message.mixed,
  };
}

function toBranch({ participant, partition, readOnly, heuristic }: BranchRecord): RecordedBranch {
  return { participant, partition, readOnly, heuristic: toHeuristic(heuristic) };
}

function toHeuristic(heuristic: BranchRecord['heuristic']): HeuristicCode {
  if (heuristic === undefined) return HeuristicCode.UNSPECIFIED;
  return heuristic === 'commit' ? HeuristicCode.COMMIT : HeuristicCode.ABORT;
}

function fromBranch({ participant, partition, readOnly, heuristic }: RecordedBranch): BranchRecord {
  if (heuristic === HeuristicCode.UNSPECIFIED) return { participant, partition, readOnly };
  return { participant, partition, readOnly, heuristic: heuristic === HeuristicCode.COMMIT ? 'commit' : 'abort' };
}

function toCause({ reason, message, metadata, detail }: Failure): RecordedFailure {
  return { reason, message, metadata: { ...metadata }, detail };
}

function fromCause({ reason, message, metadata, detail }: RecordedFailure): Failure {
  return {
    // A reason that a newer version recorded is still a reason not to commit.
    reason: isReason(reason) ? reason : 'REFUSED_BY_PARTICIPANT',
    message,
    ...(Object.keys(metadata).length > 0 && { metadata }),
    // Copied: decoded bytes are a view into the store's buffer.
    ...(detail && { detail: { typeUrl: detail.typeUrl, value: new Uint8Array(detail.value) } }),
  };
}

function toDecision({ transactionId, outcome, attempt }: Decision): LoggedDecision {
  return {
    transactionId,
    committed: outcome === 'commit',
    attemptEpoch: attempt?.epoch ?? 0,
    attemptCounter: attempt?.counter ?? 0,
  };
}

function fromDecision(message: LoggedDecision): Decision {
  return {
    transactionId: message.transactionId,
    outcome: message.committed ? 'commit' : 'abort',
    ...optional('attempt', toAttempt(message.attemptEpoch, message.attemptCounter)),
  };
}

/** Epoch 0 stands for none: an id was aborted that had no attempt. */
function toAttempt(epoch: number, counter: number): Attempt | undefined {
  return epoch === 0 ? undefined : { epoch, counter };
}

/** The field, if it has a value: an absent one is left out. */
function optional<Name extends string, Value>(name: Name, value: Value | undefined): { [Key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [Key in Name]?: Value };
}
