/**
 * How a term finds what its predecessors left: `progress` tells where the unfinished part of the log
 * begins, the log and the open records tell which commits may be unacknowledged, and their records
 * tell which branches to tell again (invariant P3).
 */

import type { KeyRange } from '../kernel.ts';
import { OPEN_PREFIX, PROGRESS_KEY } from './journal.ts';
import { type CoordinatorState, LATE_PREFIX, TRANSACTION_PREFIX } from './state.ts';
import { addBranch, newTransaction } from './transaction.ts';
import type { Stored, TransactionRecord } from './types.ts';

/** Most records asked for at a time. */
const PAGE = 1000;

export class Recovery {
  private readonly state: CoordinatorState;
  private readonly steps: Generator<KeyRange | readonly string[], undefined>;
  private readonly records = new Map<string, TransactionRecord>();

  constructor(state: CoordinatorState) {
    this.state = state;
    this.steps = this.load();
  }

  next(): KeyRange | readonly string[] | undefined {
    return this.steps.next().value;
  }

  recover(key: string, record: Stored): void {
    const { outcomes, journal } = this.state;
    switch (record.type) {
      case 'progress':
        outcomes.restore(record);
        journal.restore(record);
        break;
      case 'log':
        journal.recoverLog(key, record);
        for (const { transactionId } of record.decisions) outcomes.noteRecorded(transactionId);
        break;
      case 'open':
        journal.recoverOpen(key);
        break;
      case 'late':
        outcomes.recoverLate(key, record);
        break;
      case 'transaction':
        this.records.set(key.slice(TRANSACTION_PREFIX.length), record);
        break;
    }
  }

  private *load(): Generator<KeyRange | readonly string[], undefined> {
    const { journal, outcomes } = this.state;
    yield [PROGRESS_KEY];
    yield journal.unfinishedRange;
    yield { from: OPEN_PREFIX, to: 'open0' };
    yield { from: LATE_PREFIX, to: 'late0' };
    const ids = [...new Set([...journal.unacknowledged()].map(({ transactionId }) => transactionId))];
    for (let from = 0; from < ids.length; from += PAGE) {
      yield ids.slice(from, from + PAGE).map((id) => outcomes.keyOf(id));
    }
    for (const id of ids) this.resume(id);
    for (const { transactionId, batch } of journal.unacknowledged()) {
      const transaction = this.state.underway.get(transactionId);
      if (transaction === undefined) continue;
      if (batch === undefined) transaction.open = true;
      else {
        batch.unfinished++;
        transaction.logBatch = batch;
      }
    }
    this.records.clear();
    return undefined;
  }

  /** Takes up a commit where it stands after the decision; branches acknowledge again if they have. */
  private resume(id: string): void {
    const { state } = this;
    const record = this.records.get(id);
    if (record === undefined) {
      // Collected after it was acknowledged (T8), while the log was not done with an earlier one.
      if (state.outcomes.lookup(id) === 'expired' || state.bugs.size > 0) return;
      throw new Error(`the log says that transaction ${id} committed, but its record is missing`);
    }
    const attempt = record.attempt!;
    const transaction = newTransaction({
      id,
      mode: record.mode,
      fingerprint: record.fingerprint ?? '',
      firstTryMs: 0,
      deadlineMs: Infinity,
      trace: undefined,
      attempt,
      begun: undefined,
    });
    transaction.phase = 'committing';
    transaction.record = record;
    for (const { participant, partition, readOnly, heuristic } of record.branches) {
      const branch = addBranch(transaction, state.branchId(id, attempt, participant, partition), readOnly, [], 0);
      branch.holds = !readOnly;
      branch.heuristic = heuristic;
      const told = branch.holds && heuristic === undefined;
      branch.state = told ? 'COMPLETING' : 'COMPLETED';
      if (told) transaction.outstanding++;
    }
    if (transaction.outstanding > 0) state.underway.set(id, transaction);
  }
}
