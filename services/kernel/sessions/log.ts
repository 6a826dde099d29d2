/**
 * The durable log of tokens: one record for each batch, whatever the number of sessions. Records go
 * from the oldest on, when nothing in them is needed. What stays needed for long is moved forward into
 * the current batch's record, a bounded part at a time, so that the log is never much larger than
 * what it has to remember.
 */

import { hex14 } from '../participant/keys.ts';
import type { RecordWriter } from '../outcomes/outcomes.ts';
import type { LogEntry, LogRecord, Session } from './session.ts';
import type { SessionName, TokenGroup, TokenRecord } from './types.ts';

export const TOKEN_PREFIX = 'token/';

/** A session's name and mark weigh as much as this many tokens. */
const GROUP_WEIGHT = 4;
/** The log may be this much heavier than twice what it has to remember. */
const SLACK = 1024;
/** Records are removed when there are so many to remove: a range costs a store more than a put. */
const REMOVED_TOGETHER = 32;
/** Most tokens and groups that one batch moves forward. */
export const MOVED_TOKENS = 512;
export const MOVED_GROUPS = 64;

export function tokenKey(number: number): string {
  return TOKEN_PREFIX + hex14(number);
}

export class TokenLog<Result> {
  private readonly records: LogRecord<Result>[] = [];
  /** How many of the oldest are needed no more; of the next one, so many groups. */
  private obsolete = 0;
  private passed = 0;
  private number = 1;
  private weight = 0;
  /** As the newest record has it. */
  private floor = '';
  private batch: LogEntry<Result>[] = [];
  private dropped: string[] = [];
  private ended: SessionName[] = [];

  /** The session has something in this batch's record. */
  touch(session: Session<Result>): LogEntry<Result> {
    if (session.pending !== undefined) return session.pending;
    const entry: LogEntry<Result> = { session, sequences: [], highest: 0 };
    this.batch.push(entry);
    session.pending = entry;
    return entry;
  }

  end(session: Session<Result>): void {
    this.ended.push({ scope: session.scope, session: session.id });
  }

  drop(scope: string): void {
    if (!this.dropped.includes(scope)) this.dropped.push(scope);
  }

  recovered(key: string, floor: string, entries: readonly LogEntry<Result>[]): void {
    this.floor = floor;
    const number = parseInt(key.slice(TOKEN_PREFIX.length), 16);
    this.add({ number, entries });
    this.number = number + 1;
  }

  /** Writes the batch's record, and removes those that are needed no more. */
  seal(floor: string, live: number, sessions: number, out: RecordWriter<TokenRecord<Result>>): void {
    const unchanged = this.batch.length === 0 && this.ended.length === 0 && this.dropped.length === 0;
    if (unchanged && floor === this.floor) return;
    this.floor = floor;
    this.makeRoom(live + GROUP_WEIGHT * sessions);
    const entries = this.batch.filter(({ session }) => !session.gone);
    const groups: TokenGroup<Result>[] = [];
    for (const { session, sequences } of entries) {
      const results: Result[] = [];
      const kept: number[] = [];
      for (const sequence of sequences) {
        const result = session.executed.get(sequence);
        if (result === undefined) continue;
        kept.push(sequence);
        results.push(result);
      }
      groups.push({ scope: session.scope, session: session.id, mark: session.mark, sequences: kept, results });
    }
    const number = this.number++;
    out.put(tokenKey(number), { type: 'tokens', floor, dropped: this.dropped, ended: this.ended, groups });
    this.add({ number, entries });
    for (const { session } of this.batch) session.pending = undefined;
    this.batch = [];
    this.ended = [];
    this.dropped = [];
    this.removeOldest(out);
  }

  private add(record: LogRecord<Result>): void {
    this.records.push(record);
    for (const { session, sequences } of record.entries) {
      session.latest = record;
      this.weight += GROUP_WEIGHT + sequences.length;
    }
  }

  /** Moves what the oldest records still hold into this batch's one, while the log is too heavy. */
  private makeRoom(live: number): void {
    let tokens = MOVED_TOKENS;
    let groups = MOVED_GROUPS;
    let excess = this.weight - 2 * live - SLACK;
    for (let i = this.obsolete; i < this.records.length; i++) {
      const record = this.records[i]!;
      if (excess <= 0) return;
      for (const entry of record.entries) {
        if (!isNeeded(entry, record)) continue;
        const needed = entry.sequences.filter((sequence) => entry.session.executed.has(sequence));
        if (groups === 0 || needed.length > tokens) return;
        const moved = this.touch(entry.session);
        for (const sequence of needed) append(moved, sequence);
        entry.highest = 0;
        entry.session.latest = undefined;
        groups--;
        tokens -= needed.length;
      }
      excess -= weightOf(record);
    }
  }

  private removeOldest(out: RecordWriter<TokenRecord<Result>>): void {
    let removed = this.obsolete;
    // The newest one stays: it has the floor.
    while (removed < this.records.length - 1) {
      const record = this.records[removed]!;
      while (this.passed < record.entries.length && !isNeeded(record.entries[this.passed]!, record)) this.passed++;
      if (this.passed < record.entries.length) break;
      this.weight -= weightOf(record);
      this.passed = 0;
      removed++;
    }
    this.obsolete = removed;
    if (removed < REMOVED_TOGETHER) return;
    this.obsolete = 0;
    out.removeRange(tokenKey(this.records[0]!.number), tokenKey(this.records[removed]!.number));
    this.records.splice(0, removed);
  }
}

export function append<Result>(entry: LogEntry<Result>, sequence: number): void {
  entry.sequences.push(sequence);
  if (sequence > entry.highest) entry.highest = sequence;
}

function weightOf<Result>({ entries }: LogRecord<Result>): number {
  let weight = 0;
  for (const { sequences } of entries) weight += GROUP_WEIGHT + sequences.length;
  return weight;
}

/** Whether the record is needed for what it says of this session: once it is not, it never is again. */
function isNeeded<Result>({ session, highest }: LogEntry<Result>, record: LogRecord<Result>): boolean {
  return !session.gone && (session.latest === record || highest >= session.mark);
}
