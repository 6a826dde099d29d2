/** What clients ask for: one-shot and interactive transactions, their outcomes, their state. */

import type { Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Origin, StepInput } from '../kernel.ts';
import { FUTURE_BOUND_MS, idTimeMs } from '../transaction-id.ts';
import { decideAbort, recordAbort } from './decisions.ts';
import { MODES } from './modes.ts';
import { recordView, shortView } from './records.ts';
import { type CoordinatorState, emit, type Out, replyFailure, replyTransaction } from './state.ts';
import type { AbortLabel } from './tally.ts';
import { addBranch, newTransaction, sameAttempt, type Transaction, viewTransaction } from './transaction.ts';
import { type Begin, type Command, type Execute, INTERACTIVE, type TransactionRecord } from './types.ts';

/** Most callers that may wait for one transaction. */
const ORIGIN_LIMIT = 16;
const RETRY_AFTER_MS = 100;
/** Who gives a transaction less time to be decided has chosen that it may be too little. */
const SHORT_TIMEOUT_MS = 1000;

export function execute(state: CoordinatorState, command: Execute, input: StepInput, out: Out): void {
  const { origin, transactionId, fingerprint, branches } = command;
  const transaction = state.underway.get(transactionId);
  if (transaction !== undefined) {
    if (transaction.fingerprint !== fingerprint) replyFailure(out, origin, reused(transactionId));
    else join(transaction, origin, out);
    return;
  }
  const known = state.outcomes.lookup(transactionId);
  if (typeof known !== 'string') {
    const same = known.fingerprint === undefined || known.fingerprint === fingerprint;
    if (same) replyTransaction(out, origin, shortView(transactionId, known, finalState(known)));
    else replyFailure(out, origin, reused(transactionId));
    return;
  }
  const refusal = refuseId(transactionId, known, input) ?? refuseStart(state, command, input, true);
  if (refusal !== undefined) return replyFailure(out, origin, refusal);
  const started = startTransaction(state, command, fingerprint, undefined);
  started.origins.push(origin);
  for (const { participant, partition, readOnly, operations } of branches) {
    const id = state.branchId(transactionId, started.attempt, participant, partition);
    addBranch(started, id, readOnly, operations, 0);
  }
  emit(state, 'request', started, undefined, input, out);
  MODES[started.mode].start(state, started, input, out);
}

export function begin(state: CoordinatorState, command: Begin, input: StepInput, out: Out): void {
  const { origin, transactionId, deadlineMs } = command;
  const transaction = state.underway.get(transactionId);
  if (transaction?.phase === 'active') {
    out.reply(origin, { type: 'begun', transactionId, attempt: transaction.attempt });
    return;
  }
  const known = transaction !== undefined ? 'underway' : state.outcomes.lookup(transactionId);
  if (known === 'underway' || typeof known !== 'string') return replyFailure(out, origin, reused(transactionId));
  const refusal = refuseId(transactionId, known, input) ?? refuseStart(state, command, input, false);
  if (refusal !== undefined) return replyFailure(out, origin, refusal);
  const attempt = state.newAttempt();
  const started = startTransaction(state, command, INTERACTIVE, attempt);
  state.timers.set(started, deadlineMs);
  emit(state, 'request', started, undefined, input, out);
  out.reply(origin, { type: 'begun', transactionId, attempt });
}

export function commit(
  state: CoordinatorState,
  command: Extract<Command, { type: 'commit' }>,
  input: StepInput,
  out: Out,
): void {
  const { origin, transactionId, attempt } = command;
  const transaction = state.underway.get(transactionId);
  if (transaction !== undefined) {
    if (!sameAttempt(transaction.begun, attempt)) return replyFailure(out, origin, wrongAttempt(transactionId, attempt));
    if (!join(transaction, origin, out) || transaction.phase !== 'active') return;
    // A new attempt replaces the one that the work was sent under (T5).
    transaction.attempt = state.newAttempt();
    transaction.trace = command.trace ?? transaction.trace;
    for (const branch of transaction.branches) {
      branch.id = state.branchId(transactionId, transaction.attempt, branch.id.participant, branch.id.partition);
    }
    MODES[transaction.mode].start(state, transaction, input, out);
    return;
  }
  const known = state.outcomes.lookup(transactionId);
  if (typeof known !== 'string') {
    if (known.fingerprint !== undefined && known.fingerprint !== INTERACTIVE) replyFailure(out, origin, reused(transactionId));
    else replyTransaction(out, origin, shortView(transactionId, known, finalState(known)));
    return;
  }
  const refusal = refuseId(transactionId, known, input);
  if (refusal !== undefined) return replyFailure(out, origin, refusal);
  // Nothing is logged at the beginning (T3): a failover has taken the transaction along.
  const message = `the work of transaction ${transactionId} was lost in a failover; run it again under a new id`;
  const record = abortOfUnknown({ reason: 'WORKSPACE_LOST', message }, input, INTERACTIVE);
  recordAbort(state, transactionId, record, input, out);
  replyTransaction(out, origin, shortView(transactionId, record, 'ABORTED'));
}

export function abort(state: CoordinatorState, origin: Origin, transactionId: string, input: StepInput, out: Out): void {
  const transaction = state.underway.get(transactionId);
  if (transaction?.phase === 'committing') return replyTransaction(out, origin, viewTransaction(transaction));
  const known = transaction !== undefined ? 'absent' : state.outcomes.lookup(transactionId);
  if (typeof known !== 'string') return replyTransaction(out, origin, recordView(transactionId, known, true));
  const cause: Failure = { reason: 'ABORTED_BY_REQUEST', message: `transaction ${transactionId} was aborted by request` };
  let record: TransactionRecord;
  if (transaction !== undefined) record = decideAbort(state, transaction, cause, input, out);
  else {
    const refusal = refuseId(transactionId, known, input);
    if (refusal !== undefined) return replyFailure(out, origin, refusal);
    record = abortOfUnknown(cause, input, undefined);
    recordAbort(state, transactionId, record, input, out);
  }
  replyTransaction(out, origin, recordView(transactionId, record, true));
}

export function get(state: CoordinatorState, origin: Origin, transactionId: string, out: Out): void {
  const transaction = state.underway.get(transactionId);
  if (transaction !== undefined) return replyTransaction(out, origin, viewTransaction(transaction));
  const known = state.outcomes.lookup(transactionId);
  if (typeof known !== 'string') replyTransaction(out, origin, recordView(transactionId, known, true));
  else if (known === 'expired') replyFailure(out, origin, expired(transactionId));
  else {
    const message = `transaction ${transactionId} is not known; it may still be on its way: abort it by its id to settle it`;
    replyFailure(out, origin, { reason: 'TRANSACTION_NOT_FOUND', message });
  }
}

export function retry(state: CoordinatorState, origin: Origin, transactionId: string, input: StepInput, out: Out): void {
  const transaction = state.underway.get(transactionId);
  if (transaction !== undefined && transaction.phase !== 'active') {
    MODES[transaction.mode].retry(state, transaction, true, input, out);
  }
  get(state, origin, transactionId, out);
}

export function listActive(state: CoordinatorState, origin: Origin, afterId: string, limit: number, out: Out): void {
  const ids = [...state.underway.keys()].filter((id) => id > afterId).sort();
  const transactions = ids.slice(0, limit).map((id) => viewTransaction(state.underway.get(id)!));
  out.reply(origin, { type: 'transactions', transactions });
}

/** The deadline has passed: what is not decided is aborted. */
export function expire(state: CoordinatorState, transactionId: string, attempt: Attempt, input: StepInput, out: Out): void {
  const transaction = state.underway.get(transactionId);
  if (transaction === undefined || transaction.phase === 'committing') return;
  if (!sameAttempt(transaction.attempt, attempt) || input.nowMs < transaction.deadlineMs) return;
  decideAbort(state, transaction, timedOut(transaction), input, out, timeoutLabel(transaction));
}

/** Waits with the others for the outcome; answers at once where it is decided or too many wait. */
function join(transaction: Transaction, origin: Origin, out: Out): boolean {
  if (transaction.phase === 'committing') {
    replyTransaction(out, origin, shortView(transaction.id, transaction.record!, 'COMMITTING'));
  } else if (transaction.origins.length < ORIGIN_LIMIT) {
    transaction.origins.push(origin);
    return true;
  } else replyFailure(out, origin, overloaded(`${ORIGIN_LIMIT} callers wait for transaction ${transaction.id} already`));
  return false;
}

function startTransaction(
  state: CoordinatorState,
  { transactionId, mode, firstTryMs, deadlineMs, trace }: Execute | Begin,
  fingerprint: string,
  begun: Attempt | undefined,
): Transaction {
  const attempt = begun ?? state.newAttempt();
  const transaction = newTransaction({ id: transactionId, mode, fingerprint, firstTryMs, deadlineMs, trace, attempt, begun });
  state.underway.set(transactionId, transaction);
  return transaction;
}

/** Why no record may be made for an id that has none. */
function refuseId(id: string, known: 'absent' | 'expired' | 'unread', input: StepInput): Failure | undefined {
  if (known === 'expired') return expired(id);
  if (known === 'unread') throw new Error(`the record of transaction ${id} was not admitted`);
  if (idTimeMs(id) <= input.nowMs + FUTURE_BOUND_MS) return undefined;
  const message = `the time in transaction id ${id} is more than ${FUTURE_BOUND_MS / 1000} s in the future; check the clock that made it`;
  return { reason: 'TRANSACTION_ID_IN_FUTURE', message };
}

function refuseStart(state: CoordinatorState, command: Execute | Begin, input: StepInput, oneShot: boolean): Failure | undefined {
  if (MODES[command.mode] === undefined) {
    return { reason: 'INVALID_FIELD', message: `mode ${command.mode} is not supported`, violations: [{ field: 'mode', description: 'not supported' }] };
  }
  if (oneShot && input.nowMs >= command.deadlineMs) {
    const message = `transaction ${command.transactionId} was not started: its timeout passed while it waited in the queue`;
    return { reason: 'DEADLINE_EXCEEDED', message };
  }
  if (state.underway.size < state.transactionLimit) return undefined;
  return overloaded(`${state.underway.size} transactions are unfinished at coordinator partition ${state.partition}`);
}

function abortOfUnknown(cause: Failure, input: StepInput, fingerprint: string | undefined): TransactionRecord {
  return {
    type: 'transaction',
    mode: 'two-phase-commit',
    outcome: 'abort',
    ...(fingerprint !== undefined && { fingerprint }),
    branches: [],
    cause,
    decideMs: input.nowMs,
    mixed: false,
  };
}

function finalState(record: TransactionRecord): 'COMMITTED' | 'ABORTED' {
  return record.outcome === 'commit' ? 'COMMITTED' : 'ABORTED';
}

function timedOut(transaction: Transaction): Failure {
  const waiting = transaction.branches.find((branch) => branch.state === 'PREPARING' || branch.state === 'ENLISTED');
  const where = waiting && ` It waited for participant ${waiting.id.participant} (partition ${waiting.id.partition})`;
  const why = waiting?.lastError && `: ${waiting.lastError.message}`;
  const step = transaction.phase === 'active' ? 'asked to commit' : 'decided';
  const message = `transaction ${transaction.id} was not ${step} within its timeout.${where ?? ''}${why ?? ''}`;
  return { reason: 'TRANSACTION_TIMEOUT', message };
}

/** Whose doing a timeout was. */
function timeoutLabel({ phase, prepareMs, deadlineMs, branches }: Transaction): AbortLabel {
  if (phase === 'active') return 'left';
  const short = prepareMs !== undefined && deadlineMs - prepareMs < SHORT_TIMEOUT_MS;
  return short && branches.every(({ lastError }) => lastError === undefined) ? 'short_timeout' : 'TRANSACTION_TIMEOUT';
}

function expired(id: string): Failure {
  const message = `transaction id ${id} is older than what is kept, so it can't be known whether it was used; use a new id`;
  return { reason: 'TRANSACTION_EXPIRED', message };
}

function reused(id: string): Failure {
  return { reason: 'TRANSACTION_ID_REUSED', message: `transaction id ${id} was used with other content; use a new id` };
}

export function wrongAttempt(id: string, attempt: Attempt): Failure {
  const message = `${attempt.epoch}-${attempt.counter} is not the attempt that transaction ${id} began with`;
  return { reason: 'WRONG_ATTEMPT', message };
}

function overloaded(what: string): Failure {
  return { reason: 'OVERLOADED', message: `${what}; try again later`, retryAfterMs: RETRY_AFTER_MS };
}
