/**
 * The branch protocol's records and their messages (proto/txmesh/record/v1/participant_record.proto).
 * What an effect is, its resource's codec knows.
 */

import type { RecordedFailure } from '../../gen/txmesh/record/v1/coordinator_record.ts';
import {
  type DoneRecord as DoneMessage,
  type EndedBranchRecord,
  type LocalOutcome,
  type ParticipantProgress,
  type ParticipantRecord,
  type PreparedBranchRecord,
  RecordedHeuristic,
} from '../../gen/txmesh/record/v1/participant_record.ts';
import { isReason, type Failure } from '../../kernel/failure.ts';
import type { Heuristic } from '../../kernel/messages.ts';
import type {
  BranchRecord,
  DoneRecord,
  EndedBranch,
  LocalRecord,
  ProgressRecord,
  ProtocolRecord,
} from '../../kernel/participant/types.ts';

type EffectMessage = PreparedBranchRecord['effect'];

/** Between a resource's effects and their messages. */
export interface EffectCodec<Effect> {
  toMessage(effect: Effect): NonNullable<EffectMessage>;
  fromMessage(message: NonNullable<EffectMessage>): Effect;
}

/** Absent fields are empty, never undefined numbers: a record has one shape. */
export function protocolToMessage<Effect>(
  record: ProtocolRecord<Effect>,
  effects: EffectCodec<Effect>,
): NonNullable<ParticipantRecord['record']> {
  switch (record.type) {
    case 'branch':
      return { $case: 'branch', value: toBranch(record, effects) };
    case 'prepared':
      return { $case: 'prepared', value: { sequence: record.sequence, branches: record.branches.map((branch) => toBranch(branch, effects)) } };
    case 'done':
      return { $case: 'done', value: { sequence: record.sequence, ended: record.ended.map(toEnded) } };
    case 'progress':
      return { $case: 'progress', value: toProgress(record) };
    case 'local':
      return { $case: 'local', value: toLocal(record) };
    case 'late':
      return { $case: 'late', value: { keepUntilMs: record.keepUntilMs } };
  }
}

/** Undefined: the record is of the resource, or of a kind that is not known. */
export function protocolFromMessage<Effect>(
  message: ParticipantRecord['record'],
  effects: EffectCodec<Effect>,
): ProtocolRecord<Effect> | undefined {
  switch (message?.$case) {
    case 'branch':
      return fromBranch(message.value, effects);
    case 'prepared': {
      const { sequence, branches } = message.value;
      return { type: 'prepared', sequence, branches: branches.map((branch) => fromBranch(branch, effects)) };
    }
    case 'done':
      return fromDone(message.value);
    case 'progress':
      return fromProgress(message.value);
    case 'local':
      return fromLocal(message.value);
    case 'late':
      return { type: 'late', keepUntilMs: message.value.keepUntilMs };
    default:
      return undefined;
  }
}

function toBranch<Effect>(record: BranchRecord<Effect>, effects: EffectCodec<Effect>): PreparedBranchRecord {
  const { transactionId, attempt, coordinatorPartition, firstTryMs, prepareMs, epoch, trace, effect, heuristic } = record;
  return {
    transactionId,
    attempt,
    coordinatorPartition,
    firstTryMs,
    prepareMs,
    epoch,
    trace: trace ?? '',
    heuristic: toHeuristic(heuristic),
    effect: effect === undefined ? undefined : effects.toMessage(effect),
  };
}

function fromBranch<Effect>(message: PreparedBranchRecord, effects: EffectCodec<Effect>): BranchRecord<Effect> {
  const { transactionId, attempt, coordinatorPartition, firstTryMs, prepareMs, epoch, trace, effect, heuristic } = message;
  return {
    type: 'branch',
    transactionId,
    attempt: { epoch: attempt?.epoch ?? 0, counter: attempt?.counter ?? 0 },
    coordinatorPartition,
    firstTryMs,
    prepareMs,
    epoch,
    trace: trace === '' ? undefined : trace,
    effect: effect === undefined ? undefined : effects.fromMessage(effect),
    heuristic: fromHeuristic(heuristic),
  };
}

function toEnded({ coordinatorPartition, attempt, outcome, heuristic }: EndedBranch): EndedBranchRecord {
  return {
    coordinatorPartition,
    attemptEpoch: attempt.epoch,
    attemptCounter: attempt.counter,
    committed: outcome === 'committed',
    heuristic: toHeuristic(heuristic),
  };
}

function fromDone({ sequence, ended }: DoneMessage): DoneRecord {
  return {
    type: 'done',
    sequence,
    ended: ended.map(({ coordinatorPartition, attemptEpoch, attemptCounter, committed, heuristic }) => ({
      coordinatorPartition,
      attempt: { epoch: attemptEpoch, counter: attemptCounter },
      outcome: committed ? 'committed' : 'aborted',
      heuristic: fromHeuristic(heuristic),
    })),
  };
}

function toProgress({ revision, doneSequence, marks, locals }: ProgressRecord): ParticipantProgress {
  return { revision, doneSequence, marks: [...marks], localFloor: locals.floor, localHighestId: locals.highestId };
}

function fromProgress({ revision, doneSequence, marks, localFloor, localHighestId }: ParticipantProgress): ProgressRecord {
  return {
    type: 'progress',
    revision,
    doneSequence,
    marks: marks.map(({ coordinatorPartition, lowWaterMark }) => ({
      coordinatorPartition,
      lowWaterMark: { epoch: lowWaterMark?.epoch ?? 0, counter: lowWaterMark?.counter ?? 0 },
    })),
    locals: { floor: localFloor, highestId: localHighestId },
  };
}

function toLocal({ fingerprint, revision, failure }: LocalRecord): LocalOutcome {
  return { fingerprint, revision: revision ?? 0, failure: failure && toFailure(failure) };
}

function fromLocal({ fingerprint, revision, failure }: LocalOutcome): LocalRecord {
  return failure === undefined
    ? { type: 'local', fingerprint, revision }
    : { type: 'local', fingerprint, failure: fromFailure(failure) };
}

function toFailure({ reason, message, metadata, detail }: Failure): RecordedFailure {
  return { reason, message, metadata: { ...metadata }, detail };
}

function fromFailure({ reason, message, metadata, detail }: RecordedFailure): Failure {
  return {
    // A reason that a newer version recorded is still a refusal.
    reason: isReason(reason) ? reason : 'REFUSED_BY_PARTICIPANT',
    message,
    metadata,
    detail: detail && { typeUrl: detail.typeUrl, value: copyOf(detail.value) },
  };
}

function toHeuristic(heuristic: Heuristic | undefined): RecordedHeuristic {
  if (heuristic === undefined) return RecordedHeuristic.UNSPECIFIED;
  return heuristic === 'commit' ? RecordedHeuristic.COMMIT : RecordedHeuristic.ABORT;
}

function fromHeuristic(heuristic: RecordedHeuristic): Heuristic | undefined {
  if (heuristic === RecordedHeuristic.UNSPECIFIED) return undefined;
  return heuristic === RecordedHeuristic.COMMIT ? 'commit' : 'abort';
}

/** Decoded bytes are a view into the frame or the store's buffer; what is kept must not hold on to that. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
