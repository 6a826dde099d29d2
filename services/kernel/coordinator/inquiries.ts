/** What a participant in doubt, or one that wants to take part, is told. */

import type { Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { StepInput } from '../kernel.ts';
import type { BranchId } from '../messages.ts';
import type { CoordinatorState } from './state.ts';
import { addBranch, findBranch, sameAttempt } from './transaction.ts';
import { type InquiryOutcome, MAX_BRANCHES } from './types.ts';

/**
 * The outcome of one attempt (invariant T6). An id that is unknown, or was collected, was aborted: a
 * commit is recorded before anybody hears it and kept until every branch has acknowledged (T1, T3, T8).
 */
export function inquire(state: CoordinatorState, transactionId: string, attempt: Attempt): InquiryOutcome {
  const anyAttempt = state.bugs.has('attempt-ignored-in-inquiry');
  const transaction = state.underway.get(transactionId);
  if (transaction !== undefined) {
    const { phase } = transaction;
    const same = anyAttempt || sameAttempt(transaction.attempt, attempt);
    if (phase === 'committing') return same ? 'committed' : 'aborted';
    // The work of an interactive transaction is under the attempt that it began with.
    return same || sameAttempt(transaction.begun, attempt) ? 'pending' : 'aborted';
  }
  const outcome = state.outcomes.lookup(transactionId);
  if (typeof outcome === 'string' || outcome.outcome === 'abort') return 'aborted';
  return anyAttempt || sameAttempt(outcome.attempt, attempt) ? 'committed' : 'aborted';
}

/** Takes a branch into an interactive transaction, or tells why not (invariant T13). */
export function enlist(state: CoordinatorState, branch: BranchId, epoch: number, input: StepInput): Failure | undefined {
  const { transactionId, attempt, participant, partition } = branch;
  const transaction = state.underway.get(transactionId);
  const known = transaction === undefined ? state.outcomes.lookup(transactionId) : undefined;
  // Work that comes too late hears why: it may be worth beginning again.
  if (typeof known === 'object' && known.cause !== undefined) return known.cause;
  if (transaction === undefined || transaction.phase !== 'active' || !sameAttempt(transaction.attempt, attempt)) {
    return {
      reason: 'WRONG_ATTEMPT',
      message: `transaction ${transactionId} takes no work under attempt ${attempt.epoch}-${attempt.counter}: it is not active, or was begun again; begin a new one`,
    };
  }
  if (input.nowMs >= transaction.deadlineMs) {
    return { reason: 'TRANSACTION_TIMEOUT', message: `the timeout of transaction ${transactionId} has passed; begin a new one` };
  }
  const enlisted = findBranch(transaction, participant, partition);
  if (enlisted === undefined) {
    if (transaction.branches.length >= MAX_BRANCHES) {
      return { reason: 'LIMIT_EXCEEDED', message: `transaction ${transactionId} has ${MAX_BRANCHES} branches, the most there may be` };
    }
    addBranch(transaction, state.branchId(transactionId, attempt, participant, partition), false, [], epoch);
    return undefined;
  }
  if (enlisted.enlistedEpoch === epoch) return undefined;
  return {
    reason: 'WORKSPACE_LOST',
    message: `participant ${participant} (partition ${partition}) lost earlier work of transaction ${transactionId} in a failover; run it again under a new id`,
  };
}
