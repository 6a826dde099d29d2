/** A transaction that is under way, in memory. What is durable of it is in records.ts. */

import type { Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { BranchId, Heuristic, OpaqueOperation } from '../messages.ts';
import type { Timed } from '../timers.ts';
import type { BranchState, BranchView, Decision, Mode, TransactionRecord, TransactionView } from './types.ts';

export interface Branch {
  /** Names the attempt that is under way; messages share it. */
  id: BranchId;
  operations: readonly OpaqueOperation[];
  readonly readOnly: boolean;
  state: BranchState;
  /** Has promised to commit, and so must hear the outcome. */
  holds: boolean;
  /** How often the message that is waited for was sent; 0: not asked yet. */
  tries: number;
  nextTryMs: number;
  lastError: Failure | undefined;
  heuristic: Heuristic | undefined;
  /** Epoch under which an interactive branch enlisted; 0 of a one-shot transaction. */
  readonly enlistedEpoch: number;
}

/**
 * active: interactive, participants are working. preparing: writing branches are asked to vote.
 * validating: all of them voted yes, read-only branches are asked (invariant T11). committing: decided,
 * branches are told until they acknowledge. ended: finished, or aborted.
 */
export type Phase = 'active' | 'preparing' | 'validating' | 'committing' | 'ended';

/** A log record that is not done with. */
export interface LogBatch {
  readonly sequence: number;
  readonly timeMs: number;
  readonly decisions: Decision[];
  /** Commits in it that wait for acknowledgements. */
  unfinished: number;
}

export interface Transaction extends Timed {
  readonly id: string;
  readonly mode: Mode;
  readonly fingerprint: string;
  readonly firstTryMs: number;
  deadlineMs: number;
  /** When the first prepare was sent, wall time; undefined while active, and after a failover. */
  prepareMs: number | undefined;
  trace: string | undefined;
  phase: Phase;
  attempt: Attempt;
  /** Of an interactive transaction: the attempt that the work was sent under. */
  readonly begun: Attempt | undefined;
  branches: Branch[];
  /** Branches whose vote or acknowledgement is waited for. */
  outstanding: number;
  /** Who is to hear the outcome. */
  origins: Origin[];
  /** Upper bound of the encoded record without its cause. */
  recordBytes: number;
  /** While committing. */
  record: TransactionRecord | undefined;
  /** The log's batch that waits for this transaction's acknowledgements. */
  logBatch: LogBatch | undefined;
  /** Has an open record. */
  open: boolean;
}

const RECORD_BASE_BYTES = 300;
const BRANCH_BASE_BYTES = 24;

export function newTransaction(
  of: Pick<Transaction, 'id' | 'mode' | 'fingerprint' | 'firstTryMs' | 'deadlineMs' | 'trace' | 'attempt' | 'begun'>,
): Transaction {
  return {
    id: of.id,
    mode: of.mode,
    fingerprint: of.fingerprint,
    firstTryMs: of.firstTryMs,
    deadlineMs: of.deadlineMs,
    prepareMs: undefined,
    trace: of.trace,
    phase: 'active',
    attempt: of.attempt,
    begun: of.begun,
    branches: [],
    outstanding: 0,
    origins: [],
    recordBytes: RECORD_BASE_BYTES + 3 * of.fingerprint.length,
    record: undefined,
    logBatch: undefined,
    open: false,
    dueMs: 0,
    timerIndex: -1,
  };
}

export function addBranch(
  transaction: Transaction,
  id: BranchId,
  readOnly: boolean,
  operations: readonly OpaqueOperation[],
  enlistedEpoch: number,
): Branch {
  const branch: Branch = {
    id,
    operations,
    readOnly,
    state: enlistedEpoch > 0 ? 'ENLISTED' : 'PREPARING',
    holds: false,
    tries: 0,
    nextTryMs: Infinity,
    lastError: undefined,
    heuristic: undefined,
    enlistedEpoch,
  };
  transaction.branches.push(branch);
  transaction.recordBytes += BRANCH_BASE_BYTES + 3 * id.participant.length;
  return branch;
}

export function findBranch(transaction: Transaction, participant: string, partition: number): Branch | undefined {
  for (const branch of transaction.branches) {
    if (branch.id.partition === partition && branch.id.participant === participant) return branch;
  }
  return undefined;
}

/** Whether the message that the branch was sent last has not been answered. */
export function isOutstanding(branch: Branch): boolean {
  return (branch.state === 'PREPARING' && branch.tries > 0) || branch.state === 'COMPLETING';
}

export function sameAttempt(a: Attempt | undefined, b: Attempt): boolean {
  return a !== undefined && a.counter === b.counter && a.epoch === b.epoch;
}

export function viewBranch(branch: Branch): BranchView {
  return {
    participant: branch.id.participant,
    partition: branch.id.partition,
    state: branch.state,
    readOnly: branch.readOnly,
    tries: branch.tries,
    lastError: branch.lastError,
    nextTryMs: isOutstanding(branch) ? branch.nextTryMs : undefined,
    heuristic: branch.heuristic,
  };
}

export function viewTransaction(transaction: Transaction): TransactionView {
  const { record, phase } = transaction;
  return {
    transactionId: transaction.id,
    state: phase === 'active' ? 'ACTIVE' : record !== undefined ? 'COMMITTING' : 'PREPARING',
    mode: transaction.mode,
    attempt: transaction.attempt,
    branches: transaction.branches.map(viewBranch),
    decideMs: record?.decideMs,
    mixed: record?.mixed ?? false,
  };
}
