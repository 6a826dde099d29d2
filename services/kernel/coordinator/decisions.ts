/** What every mode ends in: a durable outcome, told to clients and branches, then finished. */

import type { Failure } from '../failure.ts';
import type { StepInput } from '../kernel.ts';
import { recordOutcome, recordView, shortView } from './records.ts';
import { type CoordinatorState, emitView, type Out, replyTransaction, send } from './state.ts';
import type { AbortLabel } from './tally.ts';
import { isOutstanding, type Transaction } from './transaction.ts';
import type { TransactionRecord, TransactionView } from './types.ts';

/**
 * Decides to commit: durable before anybody hears it, because all of this leaves in one batch
 * (invariants P1, T1). Afterwards the branches that hold something are outstanding.
 */
export function decideCommit(state: CoordinatorState, transaction: Transaction, input: StepInput, out: Out): void {
  const { id } = transaction;
  const record = recordOutcome(transaction, 'commit', input.nowMs);
  state.tally?.committed();
  countPrepare(state, transaction, input);
  state.outcomes.record(id, record, out);
  const batch = state.journal.decide(id, 'commit', transaction.attempt, input.nowMs);
  state.preparing.delete(transaction);
  transaction.phase = 'committing';
  transaction.record = record;
  let outstanding = 0;
  for (const branch of transaction.branches) {
    branch.operations = NO_OPERATIONS;
    branch.lastError = undefined;
    if (branch.heuristic !== undefined) send(out, { type: 'forget', branch: branch.id });
    const told = branch.holds && branch.heuristic === undefined;
    branch.state = told ? 'COMPLETING' : 'COMPLETED';
    branch.tries = 0;
    if (told) outstanding++;
  }
  transaction.outstanding = outstanding;
  if (outstanding > 0) {
    batch.unfinished++;
    transaction.logBatch = batch;
  }
  answer(transaction, shortView(id, record, outstanding > 0 ? 'COMMITTING' : 'COMMITTED'), out);
  if (state.watched) emitView(state, 'commit', recordView(id, record, outstanding === 0), input, out);
  if (outstanding === 0) finish(state, transaction, input, out);
}

/**
 * Decides to abort: durable, because a client hears it (invariant T2). Branches are told once, without
 * waiting for an answer; one that does not hear it inquires (invariant T3).
 * @param label what it counts as
 */
export function decideAbort(
  state: CoordinatorState,
  transaction: Transaction,
  cause: Failure,
  input: StepInput,
  out: Out,
  label: AbortLabel = cause.reason,
): TransactionRecord {
  const { id } = transaction;
  const record = recordOutcome(transaction, 'abort', input.nowMs, cause);
  state.tally?.aborted(label);
  countPrepare(state, transaction, input);
  if (!state.bugs.has('abort-not-durable')) {
    state.outcomes.record(id, record, out);
    state.journal.decide(id, 'abort', transaction.attempt, input.nowMs);
  }
  state.preparing.delete(transaction);
  for (const branch of transaction.branches) {
    if (branch.heuristic !== undefined) send(out, { type: 'forget', branch: branch.id });
    else if (branch.holds || isOutstanding(branch)) send(out, { type: 'abort', branch: branch.id, trace: transaction.trace });
    // Work that no prepare has taken over yet is still held under the attempt it was sent with.
    if (branch.enlistedEpoch > 0 && (branch.state === 'ENLISTED' || branch.state === 'PREPARING')) {
      const attempt = transaction.begun!;
      send(out, { type: 'abort', branch: { ...branch.id, attempt }, trace: transaction.trace });
    }
  }
  answer(transaction, { ...shortView(id, record, 'ABORTED'), cause }, out);
  if (state.watched) emitView(state, 'fail', recordView(id, record, true), input, out);
  finish(state, transaction, input, out);
  return record;
}

/** Records an abort of an id that has nothing under way (how an unknown outcome is settled). */
export function recordAbort(
  state: CoordinatorState,
  id: string,
  record: TransactionRecord,
  input: StepInput,
  out: Out,
): void {
  state.tally?.aborted(record.cause?.reason ?? 'ABORTED_BY_REQUEST');
  if (!state.bugs.has('abort-not-durable')) {
    state.outcomes.record(id, record, out);
    state.outcomes.finish(id, input.nowMs, out);
    state.journal.decide(id, 'abort', record.attempt, input.nowMs);
  }
  if (state.watched) emitView(state, 'fail', recordView(id, record, true), input, out);
}

/** Everybody who had to has acknowledged, or nobody had to: retention begins (invariant T8). */
export function finish(state: CoordinatorState, transaction: Transaction, input: StepInput, out: Out): void {
  transaction.phase = 'ended';
  state.underway.delete(transaction.id);
  state.timers.cancel(transaction);
  state.journal.finish(transaction, out);
  if (transaction.record === undefined && state.bugs.has('abort-not-durable')) return;
  state.outcomes.finish(transaction.id, input.nowMs, out);
}

function countPrepare({ tally }: CoordinatorState, { prepareMs }: Transaction, { nowMs }: StepInput): void {
  if (prepareMs !== undefined) tally?.prepared(Math.max(0, nowMs - prepareMs));
}

function answer(transaction: Transaction, view: TransactionView, out: Out): void {
  for (const origin of transaction.origins) replyTransaction(out, origin, view);
  transaction.origins = [];
}

const NO_OPERATIONS: readonly never[] = [];
