/** Durable outcomes: built from what is under way, and shown to people. */

import type { Failure } from '../failure.ts';
import type { Branch, Transaction } from './transaction.ts';
import type { BranchRecord, BranchView, TransactionRecord, TransactionState, TransactionView } from './types.ts';

/** Upper bound of an encoded cause, as {@link trimCause} leaves it. */
export const CAUSE_BYTES = 8 * 1024;
const MESSAGE_LENGTH = 512;
const DETAIL_BYTES = 1024;
const METADATA_LENGTH = 1024;

/**
 * The cause as it is recorded. A participant's detail may hold whole values; whoever waits for the
 * outcome gets it all, the record keeps what fits.
 */
export function trimCause(cause: Failure): Failure {
  const { reason, message, metadata, detail } = cause;
  const metadataLength = Object.entries(metadata ?? {}).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  return {
    reason,
    message: message.length > MESSAGE_LENGTH ? `${message.slice(0, MESSAGE_LENGTH - 1)}…` : message,
    ...(metadata !== undefined && metadataLength <= METADATA_LENGTH && { metadata }),
    ...(detail !== undefined && detail.value.length + detail.typeUrl.length <= DETAIL_BYTES && { detail }),
  };
}

/** Of a commit it is kept what recovery needs, who has to be told; of an abort what was asked for. */
function recordBranch(branch: Branch, outcome: 'commit' | 'abort'): BranchRecord {
  const { participant, partition } = branch.id;
  const readOnly = outcome === 'commit' ? !branch.holds : branch.readOnly;
  return branch.heuristic === undefined
    ? { participant, partition, readOnly }
    : { participant, partition, readOnly, heuristic: branch.heuristic };
}

export function recordOutcome(
  transaction: Transaction,
  outcome: 'commit' | 'abort',
  decideMs: number,
  cause?: Failure,
): TransactionRecord {
  const { mode, attempt, fingerprint, branches } = transaction;
  const forced = outcome === 'commit' ? 'abort' : 'commit';
  return {
    type: 'transaction',
    mode,
    outcome,
    attempt,
    fingerprint,
    branches: branches.map((branch) => recordBranch(branch, outcome)),
    ...(cause !== undefined && { cause: trimCause(cause) }),
    decideMs,
    mixed: branches.some((branch) => branch.heuristic === forced),
  };
}

/** Approximate bytes in memory. */
export function recordSize(record: TransactionRecord): number {
  let bytes = 400 + 96 * record.branches.length;
  if (record.cause !== undefined) bytes += 200 + 2 * record.cause.message.length + (record.cause.detail?.value.length ?? 0);
  return bytes;
}

/** What a record shows of a transaction; `finished` if every branch has acknowledged. */
export function recordView(transactionId: string, record: TransactionRecord, finished: boolean): TransactionView {
  return {
    ...shortView(transactionId, record, record.outcome === 'abort' ? 'ABORTED' : finished ? 'COMMITTED' : 'COMMITTING'),
    branches: record.branches.map((branch) => recordedBranchView(branch, record.outcome === 'commit' && finished)),
  };
}

/** Without branches, as Execute answers. */
export function shortView(transactionId: string, record: TransactionRecord, state: TransactionState): TransactionView {
  const { mode, attempt, cause, decideMs, mixed } = record;
  return { transactionId, state, mode, attempt, branches: NO_BRANCHES, cause, decideMs, mixed };
}

const NO_BRANCHES: readonly BranchView[] = [];

/** Aborts are told once and not acknowledged: such branches stay as told (invariant T3). */
function recordedBranchView(branch: BranchRecord, finished: boolean): BranchView {
  const { participant, partition, readOnly, heuristic } = branch;
  const completed = finished || readOnly || heuristic !== undefined;
  return { participant, partition, state: completed ? 'COMPLETED' : 'COMPLETING', readOnly, tries: 0, heuristic };
}
