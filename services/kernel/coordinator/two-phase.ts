/**
 * Two-phase commit with presumed abort (Mohan, Lindsay and Obermarck, "Transaction Management in the
 * R* Distributed Database Management System", 1986): nothing is logged at the beginning, no record
 * means abort, read-only branches leave after voting.
 */

import type { StepInput } from '../kernel.ts';
import { type Backoff, backoffMs } from '../timers.ts';
import { decideAbort, decideCommit, finish } from './decisions.ts';
import type { ModeRules } from './mode-rules.ts';
import { trimCause } from './records.ts';
import { type CoordinatorState, emit, type Out, send } from './state.ts';
import { type Branch, isOutstanding, type Transaction } from './transaction.ts';

/** How long an answer is waited for before the backoff begins, milliseconds. */
const ANSWER_MS = 100;
const PREPARE_BACKOFF: Backoff = { baseMs: 100, capMs: 5_000 };
const COMMIT_BACKOFF: Backoff = { baseMs: 50, capMs: 30_000 };

export const twoPhaseCommit: ModeRules = {
  start(state, transaction, input, out) {
    const together = state.bugs.has('read-only-with-writers');
    const writes = transaction.branches.some((branch) => !branch.readOnly);
    transaction.phase = writes ? 'preparing' : 'validating';
    transaction.prepareMs = input.nowMs;
    state.preparing.add(transaction);
    ask(state, transaction, (branch) => !writes || !branch.readOnly || together, input, out);
  },

  vote(state, transaction, branch, vote, cause, input, out) {
    transaction.outstanding--;
    branch.lastError = undefined;
    if (vote === 'no') {
      branch.state = 'REFUSED';
      emit(state, 'acknowledge', transaction, branch, input, out);
      decideAbort(state, transaction, cause ?? unexplained(branch), input, out);
      return;
    }
    branch.state = 'PREPARED';
    branch.holds = vote === 'yes';
    emit(state, 'acknowledge', transaction, branch, input, out);
    if (transaction.outstanding > 0) return;
    if (transaction.phase === 'preparing') {
      // All writing branches have promised: what was read is validated now, under their locks (T11).
      transaction.phase = 'validating';
      ask(state, transaction, (other) => other.tries === 0, input, out);
    } else decide(state, transaction, input, out);
  },

  acknowledge(state, transaction, branch, input, out) {
    transaction.outstanding--;
    branch.state = 'COMPLETED';
    branch.lastError = undefined;
    emit(state, 'acknowledge', transaction, branch, input, out);
    if (transaction.outstanding > 0) return;
    state.tally?.completed(Math.max(0, input.nowMs - transaction.record!.decideMs));
    finish(state, transaction, input, out);
  },

  undelivered(state, transaction, branch, failure, input) {
    // It is kept for as long as nothing else is heard, and a participant may say as much as a frame holds.
    branch.lastError = trimCause(failure);
    branch.nextTryMs = input.nowMs + backoffMs(backoffOf(transaction), branch.tries, state.jitter(input));
    setTimer(state, transaction);
  },

  retry(state, transaction, now, input, out) {
    for (const branch of transaction.branches) {
      if (isOutstanding(branch) && (now || branch.nextTryMs <= input.nowMs)) tell(state, transaction, branch, input, out);
    }
    setTimer(state, transaction);
  },
};

/** Sends prepare to some of the branches; if there are none, goes on at once. */
function ask(
  state: CoordinatorState,
  transaction: Transaction,
  which: (branch: Branch) => boolean,
  input: StepInput,
  out: Out,
): void {
  for (const branch of transaction.branches) {
    if (!which(branch)) continue;
    transaction.outstanding++;
    branch.state = 'PREPARING';
    tell(state, transaction, branch, input, out);
  }
  if (transaction.outstanding === 0) decide(state, transaction, input, out);
  else setTimer(state, transaction);
}

function decide(state: CoordinatorState, transaction: Transaction, input: StepInput, out: Out): void {
  decideCommit(state, transaction, input, out);
  if (transaction.outstanding === 0) return;
  for (const branch of transaction.branches) {
    if (branch.state === 'COMPLETING') tell(state, transaction, branch, input, out);
  }
  setTimer(state, transaction);
}

/** Sends what the branch has to answer, and plans when to do so again (invariant T12). */
function tell(state: CoordinatorState, transaction: Transaction, branch: Branch, input: StepInput, out: Out): void {
  branch.tries++;
  branch.nextTryMs = input.nowMs + ANSWER_MS + backoffMs(backoffOf(transaction), branch.tries, state.jitter(input));
  const { trace } = transaction;
  if (transaction.phase === 'committing') {
    send(out, { type: 'commit', branch: branch.id, trace });
    return;
  }
  const { firstTryMs, deadlineMs } = transaction;
  const { id, operations, readOnly, enlistedEpoch } = branch;
  const workspace = enlistedEpoch > 0 ? { attempt: transaction.begun!, epoch: enlistedEpoch } : undefined;
  send(out, { type: 'prepare', branch: id, operations, firstTryMs, deadlineMs, readOnly, workspace, trace });
}

/** One timer for the next retry of any branch, and for the deadline while it still matters. */
function setTimer(state: CoordinatorState, transaction: Transaction): void {
  let dueMs = transaction.phase === 'committing' ? Infinity : transaction.deadlineMs;
  for (const branch of transaction.branches) {
    if (branch.nextTryMs < dueMs && isOutstanding(branch)) dueMs = branch.nextTryMs;
  }
  state.timers.set(transaction, dueMs);
}

function backoffOf(transaction: Transaction): Backoff {
  return transaction.phase === 'committing' ? COMMIT_BACKOFF : PREPARE_BACKOFF;
}

function unexplained(branch: Branch) {
  const { participant, partition } = branch.id;
  return {
    reason: 'REFUSED_BY_PARTICIPANT',
    message: `participant ${participant} (partition ${partition}) refused to prepare and gave no cause`,
  } as const;
}
