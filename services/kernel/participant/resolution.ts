/**
 * Phase two: outcomes from the coordinator, inquiries for those that do not come (invariant T12), and
 * outcomes forced by an operator (T14).
 */

import { compareAttempts } from '../attempt.ts';
import type { Origin } from '../kernel.ts';
import type { BranchId, Heuristic, Mark } from '../messages.ts';
import { smallestAbove } from '../smallest.ts';
import { backoffMs } from '../timers.ts';
import { Branch } from './branch.ts';
import type { Branches } from './branches.ts';
import type { EndedBranches } from './ended.ts';
import { branchKey } from './keys.ts';
import type { LockRequest } from './locks.ts';
import type { PartitionState } from './state.ts';
import type { CommandOf, PreparedBranch, ResourceTypes } from './types.ts';
import type { LockWaits } from './waits.ts';

export class Resolution<T extends ResourceTypes> {
  private readonly state: PartitionState<T>;
  private readonly ended: EndedBranches<T>;
  private readonly branches: Branches<T>;
  private readonly waits: LockWaits<T>;

  constructor(state: PartitionState<T>, ended: EndedBranches<T>, branches: Branches<T>, waits: LockWaits<T>) {
    this.state = state;
    this.ended = ended;
    this.branches = branches;
    this.waits = waits;
  }

  /**
   * The attempt was committed. What is not held was committed and forgotten: the coordinator commits
   * only what voted yes, and that is forgotten only after its outcome (invariants T7, T8).
   */
  commit(id: BranchId, origin: Origin): void {
    const branch = this.find(id);
    const effect = branch?.record?.effect;
    if (branch === undefined) {
      const { coordinatorPartition, attempt } = id;
      return this.acknowledge(id, origin, this.ended.outcome(coordinatorPartition, attempt)?.heuristic);
    }
    if (effect !== undefined) {
      this.state.apply(effect, true);
      this.branches.end(branch, 'committed');
    }
    this.acknowledge(id, origin, branch.record?.heuristic);
  }

  /** The attempt was aborted. Only a unary caller, or a conflict with a forced outcome, is answered. */
  abort(id: BranchId, origin: Origin): void {
    const branch = this.find(id);
    const heuristic = branch?.record?.heuristic;
    if (branch !== undefined && heuristic === undefined) {
      if (branch.record?.effect !== undefined) this.state.resource.drop(branch.record.effect);
      this.branches.end(branch, 'aborted');
    }
    if (origin !== undefined || heuristic !== undefined) this.acknowledge(id, origin, heuristic);
  }

  /** The coordinator has recorded the forced outcome. */
  forget(id: BranchId): void {
    const branch = this.find(id);
    const heuristic = branch?.record?.heuristic;
    if (heuristic !== undefined) this.branches.end(branch!, heuristic === 'commit' ? 'committed' : 'aborted');
  }

  resolve(command: CommandOf<'resolve', T>): void {
    const { origin, transactionId, attempt, outcome } = command;
    const { out } = this.state;
    const branch = this.branches.get(transactionId);
    const record = branch?.record;
    if (record === undefined || (attempt !== undefined && compareAttempts(attempt, record.attempt) !== 0)) {
      const message = `no branch of transaction ${transactionId} is prepared at this partition`;
      return out.reply(origin, { type: 'failure', failure: { reason: 'BRANCH_NOT_FOUND', message } });
    }
    if (record.heuristic === undefined) this.force(branch!, outcome);
    out.reply(origin, { type: 'resolved', outcome: branch!.record!.heuristic! });
  }

  list(command: CommandOf<'listPrepared', T>): void {
    const { origin, after = '', limit } = command;
    const ids = smallestAbove(this.preparedIds(), after, limit + 1);
    const page = ids.slice(0, limit);
    const next = ids.length > limit ? page.at(-1) : undefined;
    this.state.out.reply(origin, { type: 'prepared', branches: page.map((id) => describe(this.branches.get(id)!)), next });
  }

  private *preparedIds(): Generator<string> {
    for (const { record, transactionId } of this.branches.all()) if (record !== undefined) yield transactionId;
  }

  /** A leader of a newer epoch has spoken for the partition: whoever it decides for asks again. */
  onNewEpoch({ coordinatorPartition }: Mark): void {
    for (const branch of this.branches.all()) {
      if (branch.id.coordinatorPartition === coordinatorPartition) this.urge(branch);
    }
  }

  /** Somebody waits for what the holder holds. */
  urge(holder: LockRequest): void {
    if (!(holder instanceof Branch) || holder.record === undefined) return;
    const { nowMs, settings, alarms } = this.state;
    const atMs = Math.max(nowMs, holder.lastInquiryMs + settings.urgentInquiryMs);
    if (atMs < holder.dueMs) alarms.set(holder, atMs);
  }

  /** The time to ask has come. */
  inquire(branch: Branch<T>): void {
    const { nowMs, settings, alarms, entropy, locks } = this.state;
    branch.inquiries++;
    branch.lastInquiryMs = nowMs;
    this.state.send({ type: 'inquire', branch: branch.id });
    const capMs = locks.isAwaited(branch) ? settings.inquiryDelayMs : settings.inquiryCapMs;
    const delayMs = backoffMs({ baseMs: 2 * settings.inquiryDelayMs, capMs }, branch.inquiries, entropy);
    alarms.set(branch, nowMs + Math.max(settings.urgentInquiryMs, delayMs));
  }

  private force(branch: Branch<T>, outcome: Heuristic): void {
    const record = branch.record!;
    const { state } = this;
    state.tally?.forced(outcome);
    if (outcome === 'commit') state.apply(record.effect!, true);
    else state.resource.drop(record.effect!);
    branch.record = { ...record, effect: undefined, heuristic: outcome };
    branch.packed = false;
    state.out.put(branchKey(record.coordinatorPartition, record.attempt), branch.record);
    this.waits.release(branch);
    branch.wishes = [];
    this.urge(branch);
  }

  private find(id: BranchId): Branch<T> | undefined {
    const branch = this.branches.get(id.transactionId);
    if (branch === undefined || branch.id.coordinatorPartition !== id.coordinatorPartition) return undefined;
    if (this.state.bugs.has('attempt-ignored-in-prepare')) return branch;
    return compareAttempts(branch.id.attempt, id.attempt) === 0 ? branch : undefined;
  }

  private acknowledge(branch: BranchId, origin: Origin, heuristic: Heuristic | undefined): void {
    if (origin === undefined) this.state.send({ type: 'acknowledge', branch, heuristic });
    else this.state.out.reply(origin, { type: 'acknowledged', heuristic });
  }
}

function describe<T extends ResourceTypes>(branch: Branch<T>): PreparedBranch {
  const { prepareMs, heuristic, trace } = branch.record!;
  return {
    branch: branch.id,
    prepareMs,
    inquiries: branch.inquiries,
    nextInquiryMs: branch.dueMs,
    heuristic,
    trace,
  };
}
