/**
 * The records that every transaction has, written by hand (see runtime/wire-writer.ts): its outcome and
 * the log. Field numbers are those of proto/txmesh/record/v1/coordinator_record.proto.
 */

import { RecordedBranch_Heuristic as HeuristicCode, TransactionOutcome_Mode as ModeCode } from '../gen/txmesh/record/v1/coordinator_record.ts';
import type { BranchRecord, LogRecord, Mode, Stored, TransactionRecord } from '../kernel/coordinator/types.ts';
import { WireWriter } from '../runtime/wire-writer.ts';

const writer = new WireWriter();
const MODE_CODES: Readonly<Record<Mode, ModeCode>> = { 'two-phase-commit': ModeCode.TWO_PHASE_COMMIT };

/** The bytes of a record; undefined of one that is rare, as an outcome with a cause is. */
export function encodeHot(record: Stored, format: number): Uint8Array | undefined {
  if (record.type !== 'log' && (record.type !== 'transaction' || record.cause !== undefined)) return undefined;
  try {
    writer.uint(1, format);
    if (record.type === 'log') writeLog(record);
    else writeOutcome(record);
    return writer.finish();
  } catch (error) {
    writer.reset();
    throw error;
  }
}

function writeOutcome({ mode, outcome, attempt, fingerprint, branches, decideMs, mixed }: TransactionRecord): void {
  const start = writer.open(2);
  writer.uint(1, MODE_CODES[mode]);
  writer.flag(2, outcome === 'commit');
  writer.uint(3, attempt?.epoch ?? 0);
  writer.uint(4, attempt?.counter ?? 0);
  writer.text(5, fingerprint ?? '');
  for (const branch of branches) writeBranch(branch);
  writer.double(8, decideMs);
  writer.flag(9, mixed);
  writer.close(start);
}

function writeBranch({ participant, partition, readOnly, heuristic }: BranchRecord): void {
  const start = writer.open(6);
  writer.text(1, participant);
  writer.uint(2, partition);
  writer.flag(3, readOnly);
  if (heuristic !== undefined) writer.uint(4, heuristic === 'commit' ? HeuristicCode.COMMIT : HeuristicCode.ABORT);
  writer.close(start);
}

function writeLog({ timeMs, decisions }: LogRecord): void {
  const start = writer.open(3);
  writer.double(1, timeMs);
  for (const { transactionId, outcome, attempt } of decisions) {
    const decision = writer.open(2);
    writer.text(1, transactionId);
    writer.flag(2, outcome === 'commit');
    writer.uint(3, attempt?.epoch ?? 0);
    writer.uint(4, attempt?.counter ?? 0);
    writer.close(decision);
  }
  writer.close(start);
}
