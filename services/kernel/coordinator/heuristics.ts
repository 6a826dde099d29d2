/**
 * Outcomes that an operator forced on a branch (invariant T14). A branch reports one until it hears
 * 'forget', so whatever can't be recorded now may be ignored: it comes again.
 */

import type { StepInput } from '../kernel.ts';
import type { BranchId, Heuristic } from '../messages.ts';
import { isInFuture } from '../transaction-id.ts';
import { decideAbort, recordAbort } from './decisions.ts';
import { MODES } from './modes.ts';
import { type CoordinatorState, type Out, send } from './state.ts';
import { findBranch, sameAttempt, type Transaction } from './transaction.ts';
import { type BranchRecord, MAX_BRANCHES, type TransactionRecord } from './types.ts';

export function recordHeuristic(
  state: CoordinatorState,
  branch: BranchId,
  heuristic: Heuristic,
  input: StepInput,
  out: Out,
): void {
  const transaction = state.underway.get(branch.transactionId);
  if (transaction !== undefined) recordUnderway(state, transaction, branch, heuristic, input, out);
  else recordAfterwards(state, branch, heuristic, input, out);
}

function recordUnderway(
  state: CoordinatorState,
  transaction: Transaction,
  id: BranchId,
  heuristic: Heuristic,
  input: StepInput,
  out: Out,
): void {
  const branch = findBranch(transaction, id.participant, id.partition);
  if (branch === undefined || transaction.phase === 'active') return;
  const current = sameAttempt(transaction.attempt, id.attempt);
  const rules = MODES[transaction.mode];
  if (transaction.phase === 'committing') {
    const { record } = transaction;
    const updated = withHeuristic(record!, id, heuristic);
    if (updated !== record) {
      state.outcomes.record(transaction.id, updated, out);
      transaction.record = updated;
    }
    send(out, { type: 'forget', branch: id });
    if (!current) return;
    branch.heuristic = heuristic;
    if (branch.state === 'COMPLETING') rules.acknowledge(state, transaction, branch, input, out);
    return;
  }
  // Not decided: a forced commit is a yes that needs no more telling, a forced abort a no.
  if (!current || branch.heuristic !== undefined) return;
  branch.heuristic = heuristic;
  if (heuristic === 'commit') {
    if (branch.state === 'PREPARING' && branch.tries > 0) rules.vote(state, transaction, branch, 'yes', undefined, input, out);
    return;
  }
  const message = `an operator aborted the branch at participant ${id.participant} (partition ${id.partition})`;
  decideAbort(state, transaction, { reason: 'ABORTED_BY_REQUEST', message }, input, out);
}

function recordAfterwards(state: CoordinatorState, id: BranchId, heuristic: Heuristic, input: StepInput, out: Out): void {
  const { transactionId, attempt } = id;
  const known = state.outcomes.lookup(transactionId);
  if (typeof known !== 'string') {
    const updated = withHeuristic(known, id, heuristic);
    if (updated !== known) {
      state.outcomes.record(transactionId, updated, out);
      state.outcomes.finish(transactionId, input.nowMs, out);
    }
  } else if (known === 'absent') {
    // No branch of such an id was ever prepared, and the record would stay as long as its time is to come.
    if (isInFuture(transactionId, input.nowMs)) return;
    // Presumed abort (T3). Of an expired id this can't be said: it may have committed, be acknowledged
    // everywhere and collected, and this a late copy. There is nothing left to record it with.
    const message = 'no outcome was known when an operator forced one at a branch';
    const record: TransactionRecord = {
      type: 'transaction',
      mode: 'two-phase-commit',
      outcome: 'abort',
      attempt,
      branches: [],
      cause: { reason: 'ABORTED_BY_REQUEST', message },
      decideMs: input.nowMs,
      mixed: false,
    };
    recordAbort(state, transactionId, withHeuristic(record, id, heuristic), input, out);
  }
  send(out, { type: 'forget', branch: id });
}

/** The record with the forced outcome; the same object if it shows it already. */
function withHeuristic(record: TransactionRecord, id: BranchId, heuristic: Heuristic): TransactionRecord {
  const { participant, partition } = id;
  const decided = record.outcome === 'abort' || sameAttempt(record.attempt, id.attempt);
  const mixed = record.mixed || heuristic !== (decided ? record.outcome : 'abort');
  const found = record.branches.find((branch) => branch.partition === partition && branch.participant === participant);
  // Of another attempt than the committed one only the conflict is shown: its branch still has to commit.
  if (!decided || found?.heuristic === heuristic || (found === undefined && record.branches.length >= MAX_BRANCHES)) {
    return mixed === record.mixed ? record : { ...record, mixed };
  }
  const forced: BranchRecord = { participant, partition, readOnly: found?.readOnly ?? false, heuristic };
  const branches =
    found === undefined
      ? [...record.branches, forced]
      : record.branches.map((branch) => (branch === found ? forced : branch));
  return { ...record, branches, mixed };
}
