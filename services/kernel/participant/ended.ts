/**
 * Branches that have ended, and when they may be forgotten (invariant T7). An ended attempt is
 * remembered until its coordinator partition's mark has passed it, so that a late copy of its prepare
 * is recognised. Forgetting is done for many at once: branch records are removed by range, around
 * those that still wait for an outcome, in the write that stores the mark. What still waits and is in
 * a pack gets a record of its own first; then the pack may go (packs.ts).
 */

import { compareAttempts, type Attempt } from '../attempt.ts';
import type { Mark } from '../messages.ts';
import { branchKey, doneKey } from './keys.ts';
import type { PartitionState } from './state.ts';
import type { DoneRecord, EndedBranch, ResourceTypes } from './types.ts';

/** Most ranges of branch records, and of done records, that one step removes; and most unpacked branches. */
export const RANGES_PER_STEP = 16;

const LOWEST: Attempt = { epoch: 0, counter: 0 };

/** One batch's done record: it goes when nothing in it is needed by any coordinator partition. */
interface Done {
  readonly sequence: number;
  open: number;
}

/** What ended in one batch of one coordinator partition. */
interface Group {
  readonly done: Done;
  readonly attempts: Attempt[];
  highest: Attempt;
}

/** What is known of one coordinator partition. */
interface Coordinator {
  readonly partition: number;
  /** The highest mark heard: prepares below it are refused. */
  heard: Attempt;
  /** What is forgotten is below this; stored (invariant T7). */
  forgotten: Attempt;
  /** By epoch, then counter: how the attempt ended, or the transaction whose branch is held under it. */
  readonly attempts: Map<number, Map<number, EndedBranch | string>>;
  /** In the order of their endings. */
  groups: Group[];
  /** Attempts that have a branch record and have not ended. */
  readonly held: Set<Attempt>;
}

export class EndedBranches<T extends ResourceTypes> {
  private readonly state: PartitionState<T>;
  private readonly coordinators = new Map<number, Coordinator>();
  /** Sequences of done records that are needed no more. */
  private obsolete: number[] = [];
  private sequence = 1;
  private batch: EndedBranch[] = [];
  private remembered = 0;
  private sinceForget = 0;
  private lastForgetMs = 0;

  constructor(state: PartitionState<T>) {
    this.state = state;
  }

  recoverProgress(doneSequence: number, marks: readonly Mark[]): void {
    this.sequence = doneSequence;
    for (const { coordinatorPartition, lowWaterMark } of marks) {
      const coordinator = this.coordinator(coordinatorPartition);
      coordinator.heard = coordinator.forgotten = lowWaterMark;
    }
  }

  recoverDone(record: DoneRecord): void {
    this.sequence = Math.max(this.sequence, record.sequence + 1);
    for (const branch of record.ended) index(this.coordinator(branch.coordinatorPartition), branch.attempt, branch);
    this.remember(record.sequence, record.ended);
  }

  /** After the last record: forgets again what the stored marks had let go. */
  recovered(): void {
    for (const coordinator of this.coordinators.values()) this.dropGroups(coordinator);
  }

  /** A higher mark was heard. Returns whether it belongs to a newer epoch than any before. */
  hear(mark: Mark): boolean {
    const coordinator = this.coordinator(mark.coordinatorPartition);
    if (compareAttempts(mark.lowWaterMark, coordinator.heard) <= 0) return false;
    const newer = mark.lowWaterMark.epoch > coordinator.heard.epoch;
    coordinator.heard = mark.lowWaterMark;
    return newer;
  }

  isBelowMark(coordinatorPartition: number, attempt: Attempt): boolean {
    const coordinator = this.coordinators.get(coordinatorPartition);
    return coordinator !== undefined && compareAttempts(attempt, coordinator.heard) < 0;
  }

  /** How the attempt ended, while that is remembered. */
  outcome(coordinatorPartition: number, attempt: Attempt): EndedBranch | undefined {
    const known = this.find(coordinatorPartition, attempt);
    return typeof known === 'object' ? known : undefined;
  }

  /** Whether the attempt has ended, as far as that is remembered, or is held. */
  isKnown(coordinatorPartition: number, attempt: Attempt): boolean {
    return this.find(coordinatorPartition, attempt) !== undefined;
  }

  /** Whether the attempt may get a branch record: it is not late, and no other branch has had it. */
  isFresh(coordinatorPartition: number, attempt: Attempt): boolean {
    return !this.isBelowMark(coordinatorPartition, attempt) && !this.isKnown(coordinatorPartition, attempt);
  }

  /** The attempt got a branch record. */
  hold(transactionId: string, coordinatorPartition: number, attempt: Attempt): void {
    const coordinator = this.coordinator(coordinatorPartition);
    coordinator.held.add(attempt);
    index(coordinator, attempt, transactionId);
  }

  /**
   * A held attempt has ended.
   * @param removeRecord its branch record is too large to be left for later
   */
  end(ended: EndedBranch, removeRecord: boolean): void {
    const coordinator = this.coordinator(ended.coordinatorPartition);
    coordinator.held.delete(ended.attempt);
    const passed =
      compareAttempts(ended.attempt, coordinator.forgotten) < 0 ||
      (ended.outcome === 'committed' && this.state.bugs.has('forget-below-no-mark'));
    if (passed || removeRecord) this.state.out.remove(branchKey(ended.coordinatorPartition, ended.attempt));
    if (passed) return forgetAttempt(coordinator, ended.attempt);
    this.batch.push(ended);
    index(coordinator, ended.attempt, ended);
  }

  /** Ends a batch: one record for all that ended in it. */
  seal(): void {
    if (this.batch.length === 0) return;
    const sequence = this.sequence++;
    this.state.out.put(doneKey(sequence), { type: 'done', sequence, ended: this.batch });
    this.state.progressChanged = true;
    this.remember(sequence, this.batch);
    this.batch = [];
    // What ended in the batch that forgot further than its attempt.
    for (const coordinator of this.coordinators.values()) this.dropGroups(coordinator);
  }

  /** When {@link forget} is next worth a try; undefined: nothing to forget. */
  forgetAtMs(): number | undefined {
    if (this.remembered === 0 && this.obsolete.length === 0) return undefined;
    if (this.sinceForget >= this.state.settings.forgetCount) return this.lastForgetMs;
    return this.lastForgetMs + this.state.settings.forgetIntervalMs;
  }

  /** Whether the attempt is below what may be forgotten of its coordinator partition. Stored. */
  isForgotten(coordinatorPartition: number, attempt: Attempt): boolean {
    const coordinator = this.coordinators.get(coordinatorPartition);
    return coordinator !== undefined && compareAttempts(attempt, coordinator.forgotten) < 0;
  }

  /**
   * Forgets what ended below the marks, a bounded part of it at a time.
   * @param unpack gives the transaction's branch, which still waits, a record of its own
   */
  forget(unpack: (transactionId: string) => void): void {
    this.lastForgetMs = this.state.nowMs;
    this.sinceForget = 0;
    let ranges = RANGES_PER_STEP;
    for (const coordinator of this.coordinators.values()) {
      const first = coordinator.groups[0];
      if (first === undefined || compareAttempts(first.highest, coordinator.heard) >= 0) continue;
      ranges = this.removeBranches(coordinator, ranges, unpack);
      this.dropGroups(coordinator);
      if (ranges === 0) break;
    }
    this.removeDone();
  }

  marks(): Mark[] {
    const marks: Mark[] = [];
    for (const { partition, forgotten } of this.coordinators.values()) {
      if (forgotten !== LOWEST) marks.push({ coordinatorPartition: partition, lowWaterMark: forgotten });
    }
    return marks.sort((a, b) => a.coordinatorPartition - b.coordinatorPartition);
  }

  get coordinatorCount(): number {
    return this.coordinators.size;
  }

  get doneSequence(): number {
    return this.sequence;
  }

  durableState(): unknown {
    const ended: EndedBranch[] = [];
    for (const { attempts } of this.coordinators.values()) {
      for (const counters of attempts.values()) {
        for (const known of counters.values()) if (typeof known === 'object') ended.push(known);
      }
    }
    ended.sort((a, b) => a.coordinatorPartition - b.coordinatorPartition || compareAttempts(a.attempt, b.attempt));
    return { doneSequence: this.sequence, marks: this.marks(), ended };
  }

  private find(coordinatorPartition: number, { epoch, counter }: Attempt): EndedBranch | string | undefined {
    return this.coordinators.get(coordinatorPartition)?.attempts.get(epoch)?.get(counter);
  }

  private coordinator(partition: number): Coordinator {
    let coordinator = this.coordinators.get(partition);
    if (coordinator === undefined) {
      coordinator = { partition, heard: LOWEST, forgotten: LOWEST, attempts: new Map(), groups: [], held: new Set() };
      this.coordinators.set(partition, coordinator);
    }
    return coordinator;
  }

  private remember(sequence: number, ended: readonly EndedBranch[]): void {
    const done: Done = { sequence, open: 0 };
    for (const branch of ended) {
      const { groups } = this.coordinator(branch.coordinatorPartition);
      let group = groups.at(-1);
      if (group?.done !== done) {
        groups.push((group = { done, attempts: [], highest: branch.attempt }));
        done.open++;
      }
      group.attempts.push(branch.attempt);
      if (compareAttempts(branch.attempt, group.highest) > 0) group.highest = branch.attempt;
    }
    this.remembered += ended.length;
    this.sinceForget += ended.length;
  }

  /** Raises `forgotten` as far towards the mark as the ranges allow. Returns how many are left. */
  private removeBranches(coordinator: Coordinator, ranges: number, unpack: (transactionId: string) => void): number {
    const { partition, heard } = coordinator;
    const held: Attempt[] = [];
    for (const attempt of coordinator.held) {
      if (compareAttempts(attempt, coordinator.forgotten) >= 0 && compareAttempts(attempt, heard) < 0) held.push(attempt);
    }
    held.sort(compareAttempts);
    let from = branchKey(partition, coordinator.forgotten);
    for (const attempt of [...held, heard]) {
      if (ranges === 0) break;
      const to = branchKey(partition, attempt);
      if (from < to) {
        this.state.out.removeRange(from, to);
        ranges--;
      }
      const waiting = this.find(partition, attempt);
      if (typeof waiting === 'string') unpack(waiting);
      coordinator.forgotten = attempt;
      from = `${to}\0`;
    }
    this.state.progressChanged = true;
    return ranges;
  }

  /** Lets go of the batches whose attempts are all below what is forgotten. */
  private dropGroups(coordinator: Coordinator): void {
    let dropped = 0;
    for (const { done, attempts, highest } of coordinator.groups) {
      if (compareAttempts(highest, coordinator.forgotten) >= 0) break;
      for (const attempt of attempts) forgetAttempt(coordinator, attempt);
      this.remembered -= attempts.length;
      if (--done.open === 0) this.obsolete.push(done.sequence);
      dropped++;
    }
    if (dropped > 0) coordinator.groups = coordinator.groups.slice(dropped);
  }

  private removeDone(): void {
    if (this.obsolete.length === 0) return;
    this.obsolete.sort((a, b) => a - b);
    let next = 0;
    for (let ranges = RANGES_PER_STEP; ranges > 0 && next < this.obsolete.length; ranges--) {
      const first = this.obsolete[next]!;
      let last = first;
      while (this.obsolete[next + 1] === last + 1) last = this.obsolete[++next]!;
      next++;
      this.state.out.removeRange(doneKey(first), doneKey(last + 1));
    }
    this.obsolete = this.obsolete.slice(next);
  }
}

function index({ attempts }: Coordinator, { epoch, counter }: Attempt, known: EndedBranch | string): void {
  let counters = attempts.get(epoch);
  if (counters === undefined) attempts.set(epoch, (counters = new Map()));
  counters.set(counter, known);
}

function forgetAttempt({ attempts }: Coordinator, { epoch, counter }: Attempt): void {
  const counters = attempts.get(epoch);
  counters?.delete(counter);
  if (counters?.size === 0) attempts.delete(epoch);
}
