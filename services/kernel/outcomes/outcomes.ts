/**
 * Outcomes by transaction id, kept for a retention period: the memory that makes an id idempotent
 * (invariants T9, T10, K6). Most of it is in the store only; here are the watermarks that tell which
 * ids need no look at the store, and a bounded cache of what was recorded or read last.
 *
 * How a kernel hosts one:
 * - recovery: {@link Outcomes.restore} with the watermarks, the range of `latePrefix` through
 *   {@link Outcomes.recoverLate}, and {@link Outcomes.noteRecorded} for ids newer than the watermarks;
 * - missing: `lookup(id) === 'unread'` asks for {@link Outcomes.keyOf}; admit: {@link Outcomes.admit};
 * - step: look up what the kernel itself has under way first, then {@link Outcomes.lookup}; decide with
 *   {@link Outcomes.record} and {@link Outcomes.finish}; on a tick {@link Outcomes.collect};
 * - seal: write {@link Outcomes.watermarks} into a record of the host's own in the batch in which
 *   {@link Outcomes.floorChanged} (T9), and no later than the ids that raised `highestId`; then
 *   {@link Outcomes.seal}.
 */

import { idFloorAt, idTimeMs } from '../transaction-id.ts';
import { RecentOutcomes } from './recent.ts';
import { planCollection } from './sweep.ts';

/** What must survive a restart, in a record of the host. Empty strings at first. */
export interface Watermarks {
  /** Ids at or below it have no record, except those that are kept late: they are EXPIRED. */
  readonly floor: string;
  /** No id above it has ever been recorded. */
  readonly highestId: string;
}

/** Kept beside an outcome that finished so late that the floor would reach it too early. */
export interface LateRecord {
  readonly type: 'late';
  /** Wall time in milliseconds until which the outcome is kept. */
  readonly keepUntilMs: number;
}

/** The part of a kernel's output that outcomes write through. */
export interface RecordWriter<Stored> {
  put(key: string, record: Stored): void;
  remove(key: string): void;
  removeRange(from: string, to: string): void;
}

export interface OutcomesOptions<Outcome> {
  /** Outcomes are at `<prefix><id>`; ends in '/'. */
  readonly prefix: string;
  /** Late records are at `<latePrefix><id>`; ends in '/'. */
  readonly latePrefix: string;
  /** Kept at least this long after the later of the id's time and its finish, milliseconds. */
  readonly retentionMs: number;
  /** Approximate bytes of an outcome in memory. */
  sizeOf(outcome: Outcome): number;
  /** Bound of the cache, bytes by `sizeOf`. */
  readonly cacheBytes?: number;
  /** Most late records; over it the latest is collected early, which makes its id EXPIRED. */
  readonly lateLimit?: number;
  /** Deliberate bug for the simulation: an expired id counts as one that was never used. */
  readonly expiredCountsAsAbsent?: boolean;
}

const DEFAULT_CACHE_BYTES = 32 * 1024 * 1024;
const DEFAULT_LATE_LIMIT = 65_536;
/** A finish this long after the id's time needs no late record: the floor keeps that distance. */
const LONGEST_SLACK_MS = 30_000;
/** What a new term does not know the density of is collected in steps of this much id time. */
const UNKNOWN_STEP_MS = 10_000;
/** Between two collections: shorter the more there is to remove, so that it is about so many at once. */
const LONGEST_COLLECT_PAUSE_MS = 1000;
const SHORTEST_COLLECT_PAUSE_MS = 100;
const AT_ONCE = 500;
/** Most ranges, and most late outcomes, that one {@link Outcomes.collect} removes. */
const RANGES = 16;
const LATE_REMOVALS = 16;

/** Most operations of one {@link Outcomes.collect}; a late outcome takes two. */
export const COLLECT_OPERATIONS = RANGES + 2 * LATE_REMOVALS;
/** Most operations of one record() and of one finish(). */
export const RECORD_OPERATIONS = 1;
export const FINISH_OPERATIONS = 1;

export class Outcomes<Outcome extends object> {
  private readonly options: OutcomesOptions<Outcome>;
  private readonly slackMs: number;
  private readonly recent: RecentOutcomes<Outcome>;
  /** Ids that the store has no record of, as read for this batch. */
  private readonly absent = new Set<string>();
  /** Id to the time it is kept until: the records that the floor must step around. */
  private readonly late = new Map<string, number>();
  private floor = '';
  private highestId = '';
  /** Ids above are in memory if they have a record at all. */
  private knownAbove = '';
  /** The highest id when the term began. */
  private recoveredThrough = '';
  /** The floor when the batch began. */
  private sealedFloor = '';
  private recordedSinceCollect = 0;
  private lastCollectMs = 0;
  private collectPauseMs = LONGEST_COLLECT_PAUSE_MS;

  constructor(options: OutcomesOptions<Outcome>) {
    this.options = options;
    this.slackMs = Math.min(LONGEST_SLACK_MS, options.retentionMs);
    this.recent = new RecentOutcomes(options.sizeOf, options.cacheBytes ?? DEFAULT_CACHE_BYTES);
  }

  // Recovery

  /** Takes the watermarks of the host's record. */
  restore(watermarks: Watermarks): void {
    this.floor = watermarks.floor;
    this.sealedFloor = watermarks.floor;
    this.noteRecorded(watermarks.highestId);
  }

  /** An id that is known to be recorded, where the host's watermarks may be older than its record. */
  noteRecorded(id: string): void {
    if (id > this.highestId) this.highestId = id;
    this.knownAbove = this.highestId;
    this.recoveredThrough = this.highestId;
  }

  /** Takes a late record, from the range of the late prefix, which must be recovered as a whole. */
  recoverLate(key: string, record: LateRecord): void {
    this.late.set(key.slice(this.options.latePrefix.length), record.keepUntilMs);
  }

  // Looking up

  keyOf(id: string): string {
    return this.options.prefix + id;
  }

  /** 'unread': only the store knows; ask for {@link keyOf} through the kernel's `missing`. */
  lookup(id: string): Outcome | 'absent' | 'expired' | 'unread' {
    if (id <= this.floor && !this.late.has(id)) return this.options.expiredCountsAsAbsent ? 'absent' : 'expired';
    if (id > this.highestId) return 'absent';
    const outcome = this.recent.get(id);
    if (outcome !== undefined) return outcome;
    return id > this.knownAbove || this.absent.has(id) ? 'absent' : 'unread';
  }

  /** For the kernel's `admit`, where the key begins with the prefix. */
  admit(key: string, outcome: Outcome | undefined): void {
    const id = key.slice(this.options.prefix.length);
    if (outcome === undefined) this.absent.add(id);
    else if (this.recent.get(id) === undefined) this.recent.set(id, outcome);
  }

  // Recording

  /** Makes an outcome durable, or replaces it. Until {@link finish}, pass its id as pinned to {@link collect}. */
  record(id: string, outcome: Outcome, out: RecordWriter<Outcome | LateRecord>): void {
    out.put(this.options.prefix + id, outcome);
    this.recent.set(id, outcome);
    this.recordedSinceCollect++;
    if (id > this.highestId) this.highestId = id;
  }

  /** The outcome is not needed by the protocol any more: its retention begins. */
  finish(id: string, nowMs: number, out: RecordWriter<Outcome | LateRecord>): void {
    if (id > this.floor && nowMs <= idTimeMs(id) + this.slackMs) return;
    if (this.late.size < (this.options.lateLimit ?? DEFAULT_LATE_LIMIT) || this.late.has(id)) {
      const keepUntilMs = nowMs + this.options.retentionMs;
      this.late.set(id, keepUntilMs);
      out.put(this.options.latePrefix + id, { type: 'late', keepUntilMs });
    } else if (id <= this.floor) {
      // The bound is reached: expired from now on. Above the floor it is collected with its time.
      out.remove(this.options.prefix + id);
    }
  }

  // Collecting

  /** How often to call {@link collect}, milliseconds. */
  get collectEveryMs(): number {
    return Math.max(SHORTEST_COLLECT_PAUSE_MS, Math.min(this.collectPauseMs, this.options.retentionMs / 30));
  }

  /** Whether {@link collect} has, or will have, anything to do. */
  get collectable(): boolean {
    return this.floor < this.highestId || this.late.size > 0;
  }

  /**
   * Removes what is older than the retention, at most {@link COLLECT_OPERATIONS} at a time. Whatever is
   * not finished, or may be recorded later under its id, is in `pinnedIds`; the floor passes it, its record
   * stays. The floor never passes the highest recorded id, so a clock that jumps ahead cannot expire
   * ids that are new. Returns whether there is more to do at once.
   */
  collect(nowMs: number, pinnedIds: Iterable<string>, out: RecordWriter<Outcome | LateRecord>): boolean {
    this.adaptPause(nowMs);
    const pinned = [...pinnedIds];
    const more = this.removeLate(nowMs, pinned, out);
    let target = idFloorAt(nowMs - this.options.retentionMs - this.slackMs);
    if (target > this.highestId) target = this.highestId;
    const stepped = this.floor !== '' && this.floor < this.recoveredThrough;
    const step = stepped ? idFloorAt(idTimeMs(this.floor) + UNKNOWN_STEP_MS) : target;
    if (step < target) target = step;
    if (target <= this.floor) return more;
    const plan = planCollection(this.floor, target, pinned, this.late.keys(), RANGES);
    for (const { from, to } of plan.ranges) out.removeRange(this.options.prefix + from, this.options.prefix + to);
    this.floor = plan.floor;
    return more || plan.floor < target;
  }

  /** What goes is as dense as what comes, more or less: a removal of very many stalls what is behind it. */
  private adaptPause(nowMs: number): void {
    const elapsedMs = nowMs - this.lastCollectMs;
    if (elapsedMs > 0) {
      const pauseMs = (elapsedMs * AT_ONCE) / Math.max(1, this.recordedSinceCollect);
      this.collectPauseMs = Math.min(LONGEST_COLLECT_PAUSE_MS, pauseMs);
    }
    this.lastCollectMs = nowMs;
    this.recordedSinceCollect = 0;
  }

  /**
   * Removes outcomes whose late time is over, in the order in which they finished. One may be pinned
   * again: a new term does not know that it had finished.
   */
  private removeLate(nowMs: number, pinned: Iterable<string>, out: RecordWriter<Outcome | LateRecord>): boolean {
    let removed = 0;
    let kept: Set<string> | undefined;
    for (const [id, keepUntilMs] of this.late) {
      if (keepUntilMs > nowMs || id > this.floor) return false;
      kept ??= new Set(pinned);
      if (kept.has(id)) continue;
      if (removed++ === LATE_REMOVALS) return true;
      this.late.delete(id);
      out.remove(this.options.latePrefix + id);
      out.remove(this.options.prefix + id);
    }
    return false;
  }

  // Ending a batch

  /** Whether this batch collects, and so must store {@link watermarks}. */
  get floorChanged(): boolean {
    return this.floor !== this.sealedFloor;
  }

  get watermarks(): Watermarks {
    return { floor: this.floor, highestId: this.highestId };
  }

  /** For the kernel's `seal`, after the watermarks were written. */
  seal(nowMs: number): void {
    this.sealedFloor = this.floor;
    if (this.absent.size > 0) this.absent.clear();
    const forgotten = this.recent.trim(nowMs);
    if (forgotten > this.knownAbove) this.knownAbove = forgotten;
  }

  /** What recovery restores (invariant P3). */
  durableState(): unknown {
    return { floor: this.floor, highestId: this.highestId, late: [...this.late].sort(([a], [b]) => (a < b ? -1 : 1)) };
  }
}
