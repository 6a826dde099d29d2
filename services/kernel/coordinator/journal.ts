/**
 * The log of decisions: one record for each batch that decided anything. Recovery reads it to find the
 * commits that branches may not have heard of; watchers replay it. How far it is done with is in
 * `progress`, which is written now and then only: commits that are told again after a failover are
 * acknowledged again.
 *
 * A commit that stays unacknowledged gets an `open` record, so that the log goes on without it.
 */

import type { Attempt } from '../attempt.ts';
import type { KeyRange } from '../kernel.ts';
import type { RecordWriter, Watermarks } from '../outcomes/outcomes.ts';
import type { LogBatch, Transaction } from './transaction.ts';
import type { LogRecord, ProgressRecord, Stored } from './types.ts';

export const PROGRESS_KEY = 'progress';
export const LOG_PREFIX = 'log/';
export const OPEN_PREFIX = 'open/';

/** Most operations of one {@link Journal.openStuck} and one {@link Journal.compact}. */
export const OPEN_OPERATIONS = 32;
export const COMPACT_OPERATIONS = 1;
/** Progress is written at the latest when it is this many log records behind. */
const PROGRESS_LAG = 64;
/** A commit that holds the log back for this many records, or this long, gets an open record. */
const STUCK_RECORDS = 1024;
const STUCK_MS = 2000;

export class Journal {
  private nextSequence: number;
  private current: LogBatch | undefined;
  /** Sealed batches above the stored progress, oldest first; the first `finished` of them are done with. */
  private batches: LogBatch[] = [];
  private finished = 0;
  private storedThrough = 0;
  private progressDue = false;
  private readonly open = new Set<string>();
  /** Where the log stood at a time: what is below is collected when the time is old enough. */
  private readonly marks: { readonly sequence: number; readonly timeMs: number }[] = [];
  private compactedThrough = 0;

  /** @param numbersAbove the log's numbers are above it (invariant P10) */
  constructor(numbersAbove: number) {
    this.nextSequence = numbersAbove + 1;
  }

  // Recovery

  restore(progress: ProgressRecord): void {
    this.storedThrough = progress.finishedThrough;
    this.continueAfter(progress.finishedThrough);
  }

  /** What recovery must read of the log. */
  get unfinishedRange(): KeyRange {
    return { from: logKey(this.storedThrough + 1), to: 'log0' };
  }

  recoverLog(key: string, record: LogRecord): void {
    const sequence = logSequence(key);
    this.continueAfter(sequence);
    this.batches.push({ sequence, timeMs: record.timeMs, decisions: [...record.decisions], unfinished: 0 });
  }

  private continueAfter(sequence: number): void {
    this.nextSequence = Math.max(this.nextSequence, sequence + 1);
  }

  recoverOpen(key: string): void {
    this.open.add(key.slice(OPEN_PREFIX.length));
  }

  /** Every commit that may be unacknowledged, with the log's batch that waits for it, if one does. */
  *unacknowledged(): Generator<{ readonly transactionId: string; readonly batch: LogBatch | undefined }> {
    for (const batch of this.batches) {
      for (const { transactionId, outcome } of batch.decisions) {
        if (outcome === 'commit') yield { transactionId, batch };
      }
    }
    for (const transactionId of this.open) yield { transactionId, batch: undefined };
  }

  isOpen(id: string): boolean {
    return this.open.has(id);
  }

  // Deciding

  /** Number of the log record that this batch's decisions go into. */
  get sequence(): number {
    return this.nextSequence;
  }

  decide(transactionId: string, outcome: 'commit' | 'abort', attempt: Attempt | undefined, nowMs: number): LogBatch {
    this.current ??= { sequence: this.nextSequence, timeMs: nowMs, decisions: [], unfinished: 0 };
    this.current.decisions.push({ transactionId, outcome, attempt });
    return this.current;
  }

  /** Every branch has acknowledged. */
  finish(transaction: Transaction, out: RecordWriter<Stored>): void {
    if (transaction.logBatch !== undefined) transaction.logBatch.unfinished--;
    transaction.logBatch = undefined;
    if (!transaction.open) return;
    transaction.open = false;
    this.open.delete(transaction.id);
    out.remove(OPEN_PREFIX + transaction.id);
  }

  /** Seals the batch's decisions, and notes progress if it is time to. */
  seal(watermarks: Watermarks, watermarksDue: boolean, out: RecordWriter<Stored>): void {
    if (this.current !== undefined) {
      const { sequence, timeMs, decisions } = this.current;
      out.put(logKey(sequence), { type: 'log', timeMs, decisions });
      this.batches.push(this.current);
      this.current = undefined;
      this.nextSequence++;
    }
    while (this.batches[this.finished]?.unfinished === 0) this.finished++;
    if (!watermarksDue && !this.progressDue && this.finished < PROGRESS_LAG) return;
    this.progressDue = false;
    if (this.finished > 0) {
      this.storedThrough = this.batches[this.finished - 1]!.sequence;
      this.batches.splice(0, this.finished);
      this.finished = 0;
    }
    const { floor, highestId } = watermarks;
    out.put(PROGRESS_KEY, { type: 'progress', finishedThrough: this.storedThrough, floor, highestId });
  }

  // From time to time

  /** Whether there is progress that is not stored, a commit that is stuck, or an old log record. */
  get unsettled(): boolean {
    return this.batches.length > 0 || this.compactedThrough < this.storedThrough;
  }

  /** Makes the coming seal store the progress, if there is any. */
  noteProgress(): void {
    if (this.batches[this.finished]?.unfinished === 0 || this.finished > 0) this.progressDue = true;
  }

  /** Gives commits that hold the log back records of their own. Returns whether there are more. */
  openStuck(find: (id: string) => Transaction | undefined, nowMs: number, out: RecordWriter<Stored>): boolean {
    let opened = 0;
    for (let i = this.finished; i < this.batches.length; i++) {
      const batch = this.batches[i]!;
      if (batch.sequence > this.nextSequence - STUCK_RECORDS && nowMs - batch.timeMs < STUCK_MS) return false;
      if (batch.unfinished === 0) continue;
      for (const { transactionId } of batch.decisions) {
        const transaction = find(transactionId);
        if (transaction === undefined || transaction.logBatch !== batch) continue;
        if (opened++ === OPEN_OPERATIONS) return true;
        transaction.logBatch = undefined;
        batch.unfinished--;
        if (transaction.open) continue;
        transaction.open = true;
        this.open.add(transactionId);
        out.put(OPEN_PREFIX + transactionId, { type: 'open' });
      }
      this.progressDue = true;
    }
    return false;
  }

  /** Removes log records that are done with and older than `keepMs`. */
  compact(nowMs: number, keepMs: number, out: RecordWriter<Stored>): void {
    const { marks } = this;
    if (marks.length === 0 || marks.at(-1)!.sequence < this.nextSequence) {
      marks.push({ sequence: this.nextSequence, timeMs: nowMs });
    }
    let through = this.compactedThrough;
    while (marks.length > 0 && marks[0]!.timeMs <= nowMs - keepMs && marks[0]!.sequence - 1 <= this.storedThrough) {
      through = marks.shift()!.sequence - 1;
    }
    if (through === this.compactedThrough) return;
    out.removeRange(this.compactedThrough === 0 ? LOG_PREFIX : logKey(this.compactedThrough + 1), logKey(through + 1));
    this.compactedThrough = through;
  }

  /** What recovery restores (invariant P3); `hasRecord` tells whether an outcome is still kept. */
  durableState(hasRecord: (id: string) => boolean): unknown {
    const unacknowledged = [...this.unacknowledged()].map(({ transactionId }) => transactionId).filter(hasRecord);
    return {
      nextSequence: this.nextSequence,
      finishedThrough: this.storedThrough,
      unacknowledged: [...new Set(unacknowledged)].sort(),
      open: [...this.open].filter(hasRecord).sort(),
    };
  }
}

export function logKey(sequence: number): string {
  return LOG_PREFIX + sequence.toString(16).padStart(14, '0');
}

export function logSequence(key: string): number {
  return parseInt(key.slice(LOG_PREFIX.length), 16);
}
