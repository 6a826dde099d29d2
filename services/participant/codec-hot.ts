/**
 * The records that every transaction has, written by hand (see runtime/wire-writer.ts): promises, their
 * ends, keys and changes. Field numbers are those of proto/txmesh/record/v1/participant_record.proto.
 */

import { KeyWrite_Type as WriteType, RecordedHeuristic } from '../gen/txmesh/record/v1/participant_record.ts';
import type { Attempt } from '../kernel/attempt.ts';
import type { KeyRecord, KeyValueEffect, KeyValueTypes, KeyWrite } from '../kernel/keyvalue/types.ts';
import type { Heuristic } from '../kernel/messages.ts';
import type { BranchRecord, DoneRecord, ParticipantRecord, PreparedRecord } from '../kernel/participant/types.ts';
import { WireWriter } from '../runtime/wire-writer.ts';

const writer = new WireWriter();

/** The bytes of a record; undefined of one that is rare. */
export function encodeHot(record: ParticipantRecord<KeyValueTypes>, format: number): Uint8Array | undefined {
  switch (record.type) {
    case 'branch':
    case 'prepared':
    case 'done':
    case 'key':
    case 'change':
      break;
    default:
      return undefined;
  }
  try {
    writer.uint(1, format);
    write(record);
    return writer.finish();
  } catch (error) {
    writer.reset();
    throw error;
  }
}

type Hot = Extract<ParticipantRecord<KeyValueTypes>, { readonly type: 'branch' | 'prepared' | 'done' | 'key' | 'change' }>;

function write(record: Hot): void {
  switch (record.type) {
    case 'branch':
      return writeBranch(2, record);
    case 'prepared':
      return writePrepared(record);
    case 'done':
      return writeDone(record);
    case 'key':
      return writeKey(record);
    case 'change': {
      const start = writer.open(18);
      for (const { name, version, deleted } of record.changes) {
        const change = writer.open(1);
        writer.text(1, name);
        writer.uint(2, version);
        writer.flag(3, deleted);
        writer.close(change);
      }
      return writer.close(start);
    }
  }
}

function writePrepared({ sequence, branches }: PreparedRecord<KeyValueEffect>): void {
  const start = writer.open(7);
  writer.uint(1, sequence);
  for (const branch of branches) writeBranch(2, branch);
  writer.close(start);
}

function writeBranch(field: number, record: BranchRecord<KeyValueEffect>): void {
  const start = writer.open(field);
  writer.text(1, record.transactionId);
  writeAttempt(2, record.attempt);
  writer.uint(3, record.coordinatorPartition);
  writer.double(4, record.firstTryMs);
  writer.double(5, record.prepareMs);
  writer.uint(6, record.epoch);
  writer.text(7, record.trace ?? '');
  writer.uint(8, heuristicCode(record.heuristic));
  if (record.effect !== undefined) {
    const effect = writer.open(16);
    for (const each of record.effect.writes) writeWrite(each);
    for (const name of record.effect.reads) writer.item(2, name);
    writer.close(effect);
  }
  writer.close(start);
}

const WRITE_TYPES = { none: WriteType.UNSPECIFIED, put: WriteType.PUT, delete: WriteType.DELETE } as const;

function writeWrite({ name, type, value, contentType, apart, history, drop }: KeyWrite): void {
  const start = writer.open(1);
  writer.text(1, name);
  writer.uint(2, WRITE_TYPES[type]);
  if (value !== undefined) writer.bytes(3, value);
  writer.text(4, contentType);
  writer.flag(5, apart);
  writer.uints(6, history);
  if (drop !== undefined) {
    writer.uint(7, drop[0]);
    writer.uint(8, drop[1]);
  }
  writer.close(start);
}

function writeDone({ sequence, ended }: DoneRecord): void {
  const start = writer.open(3);
  writer.uint(1, sequence);
  for (const { coordinatorPartition, attempt, outcome, heuristic } of ended) {
    const end = writer.open(2);
    writer.uint(1, coordinatorPartition);
    writer.uint(2, attempt.epoch);
    writer.uint(3, attempt.counter);
    writer.flag(4, outcome === 'committed');
    writer.uint(5, heuristicCode(heuristic));
    writer.close(end);
  }
  writer.close(start);
}

function writeKey({ version, updateMs, contentType, deleted, value, apart, history }: KeyRecord): void {
  const start = writer.open(16);
  writer.uint(1, version);
  writer.double(2, updateMs);
  writer.text(3, contentType);
  writer.flag(4, deleted);
  if (value !== undefined) writer.bytes(5, value);
  writer.flag(6, apart);
  writer.uints(7, history);
  writer.close(start);
}

function writeAttempt(field: number, { epoch, counter }: Attempt): void {
  const start = writer.open(field);
  writer.uint(1, epoch);
  writer.uint(2, counter);
  writer.close(start);
}

function heuristicCode(heuristic: Heuristic | undefined): RecordedHeuristic {
  if (heuristic === undefined) return RecordedHeuristic.UNSPECIFIED;
  return heuristic === 'commit' ? RecordedHeuristic.COMMIT : RecordedHeuristic.ABORT;
}
