/**
 * Phase one: prepare and vote (invariants T5, T7, T13), and what is held after it. At most one branch
 * of a transaction is held here, under its newest attempt.
 */

import { compareAttempts } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Cost, Origin } from '../kernel.ts';
import type { BranchId, Prepare, Vote } from '../messages.ts';
import { Branch, forcedBefore, lateAttempt, otherCoordinator, workspaceLost, type BranchOwner } from './branch.ts';
import type { EndedBranches } from './ended.ts';
import { branchKey } from './keys.ts';
import type { LockWish } from './locks.ts';
import { MOST_PACKED_BYTES, type Packs } from './packs.ts';
import type { PartitionState } from './state.ts';
import type { BranchRecord, PreparedRecord, ResourceTypes } from './types.ts';
import { overloaded, type LockWaits } from './waits.ts';
import type { Workspaces } from './workspaces.ts';

/** Bounds of a branch record without its effect, and of an entry of a done record; with key and framing. */
const RECORD_BYTES = 400;
const ENDED_BYTES = 64;
/** Of the record that a branch gets when it leaves its pack. */
export const UNPACKED_BYTES = RECORD_BYTES + MOST_PACKED_BYTES;

const NO_WISHES: readonly LockWish[] = [];

export class Branches<T extends ResourceTypes> {
  private readonly state: PartitionState<T>;
  private readonly ended: EndedBranches<T>;
  private readonly waits: LockWaits<T>;
  private readonly workspaces: Workspaces<T>;
  private readonly owner: BranchOwner<T>;
  private readonly held = new Map<string, Branch<T>>();
  private readonly packs: Packs<T>;
  private recovered: { readonly record: BranchRecord<T['effect']>; readonly packed: boolean }[] = [];

  constructor(
    state: PartitionState<T>,
    ended: EndedBranches<T>,
    packs: Packs<T>,
    waits: LockWaits<T>,
    workspaces: Workspaces<T>,
    onAlarm: (branch: Branch<T>) => void,
  ) {
    this.state = state;
    this.ended = ended;
    this.packs = packs;
    this.waits = waits;
    this.workspaces = workspaces;
    this.owner = {
      evaluate: (branch) => this.evaluate(branch),
      refuse: (branch, cause) => this.refuse(branch, cause),
      onAlarm: (branch) => {
        if (branch.record === undefined) this.waits.expire(branch);
        else onAlarm(branch);
      },
    };
  }

  recover(record: BranchRecord<T['effect']>): void {
    this.recovered.push({ record, packed: false });
  }

  /** After the branches that have records of their own: those hold where a pack says otherwise. */
  recoverPack(record: PreparedRecord<T['effect']>): void {
    this.packs.recover(record);
    for (const branch of record.branches) {
      const { coordinatorPartition, attempt } = branch;
      if (!this.ended.isForgotten(coordinatorPartition, attempt)) this.recovered.push({ record: branch, packed: true });
    }
  }

  /** Takes up what was prepared: its locks (invariant K2), its reservations, its inquiries (T12). */
  lead(): void {
    const { resource, locks, alarms, nowMs, settings, bugs } = this.state;
    for (const { record, packed } of this.recovered) {
      const { transactionId, attempt, coordinatorPartition, effect } = record;
      if (this.ended.isKnown(coordinatorPartition, attempt)) continue;
      const { participant, partition } = settings;
      const id: BranchId = { transactionId, attempt, coordinatorPartition, participant, partition };
      const locked = effect !== undefined && !bugs.has('locks-dropped-at-restart');
      const wishes = locked ? resource.locksOf(effect) : NO_WISHES;
      const branch = new Branch<T>(this.owner, id, record.firstTryMs, wishes, [], false, record.trace);
      branch.record = record;
      branch.packed = packed;
      this.held.set(transactionId, branch);
      this.ended.hold(transactionId, coordinatorPartition, attempt);
      locks.restore(branch);
      if (effect !== undefined) resource.hold(effect);
      // Spread a little, so that thousands do not ask in one step.
      alarms.set(branch, nowMs + ((this.held.size * 7) % settings.urgentInquiryMs));
    }
    this.recovered = [];
  }

  get(transactionId: string): Branch<T> | undefined {
    return this.held.get(transactionId);
  }

  all(): IterableIterator<Branch<T>> {
    return this.held.values();
  }

  /** The operations to prepare; undefined where they were staged and are lost. */
  operationsOf(prepare: Prepare<T['operation']>): readonly T['operation'][] | undefined {
    if (prepare.workspace === undefined) return prepare.operations;
    return this.workspaces.find(prepare.branch.transactionId, prepare.workspace);
  }

  prepareCost(operations: readonly T['operation'][]): Cost {
    // One put; ending an older attempt may remove its record, and adds to the batch's done record.
    return { operations: 2, bytes: 2 * RECORD_BYTES + ENDED_BYTES + this.state.resource.effectBytes(operations) };
  }

  outcomeCost(transactionId: string): Cost {
    const effect = this.held.get(transactionId)?.record?.effect;
    // The branch record may be removed, or rewritten without its effect.
    if (effect === undefined) return { operations: 1, bytes: RECORD_BYTES + ENDED_BYTES };
    const { operations, bytes } = this.state.resource.applyCost(effect);
    return { operations: operations + 1, bytes: bytes + RECORD_BYTES + ENDED_BYTES };
  }

  prepare(prepare: Prepare<T['operation']>, origin: Origin): void {
    const { branch: id } = prepare;
    const { coordinatorPartition, attempt } = id;
    const ended = this.ended.outcome(coordinatorPartition, attempt);
    if (ended !== undefined) {
      if (ended.outcome === 'aborted') return this.vote(id, origin, 'no', lateAttempt(attempt));
      if (origin !== undefined) return this.vote(id, origin, 'yes');
      return this.state.send({ type: 'acknowledge', branch: id, heuristic: ended.heuristic });
    }
    const held = this.held.get(id.transactionId);
    if (held !== undefined && this.answerHeld(held, id, origin)) return;
    if (this.ended.isBelowMark(coordinatorPartition, attempt)) return this.vote(id, origin, 'no', lateAttempt(attempt));
    this.prepareNew(prepare, origin);
  }

  /** The branch, waiting or prepared, is held no more. */
  end(branch: Branch<T>, outcome: 'committed' | 'aborted'): void {
    const { id, record } = branch;
    this.held.delete(id.transactionId);
    if (record === undefined) {
      this.waits.withdraw(branch);
      // Whoever ended it expects no vote, but a unary caller waits for one.
      if (branch.origins !== undefined) this.voteAll(branch, 'no', lateAttempt(id.attempt));
      return;
    }
    const { coordinatorPartition, attempt, effect, heuristic } = record;
    this.state.alarms.cancel(branch);
    const large = !branch.packed && effect !== undefined && this.state.resource.applyCost(effect).bytes > MOST_PACKED_BYTES;
    this.ended.end({ coordinatorPartition, attempt, outcome, heuristic }, large);
    this.waits.release(branch);
  }

  durableState(): unknown {
    const prepared = [];
    for (const { record, wishes } of this.held.values()) {
      if (record === undefined) continue;
      prepared.push({ record, locks: wishes.map(({ name, exclusive }) => `${name} ${exclusive}`).sort() });
    }
    return prepared.sort((a, b) => (a.record.transactionId < b.record.transactionId ? -1 : 1));
  }

  /** What is held decides the answer (invariant T5). False: it was older and is gone. */
  private answerHeld(held: Branch<T>, id: BranchId, origin: Origin): boolean {
    if (held.id.coordinatorPartition !== id.coordinatorPartition) {
      this.vote(id, origin, 'no', otherCoordinator(held.id, id));
      return true;
    }
    const ignoreAttempt = held.record !== undefined && this.state.bugs.has('attempt-ignored-in-prepare');
    const order = ignoreAttempt ? 0 : compareAttempts(id.attempt, held.id.attempt);
    if (order < 0) {
      if (origin !== undefined) this.vote(id, origin, 'no', lateAttempt(id.attempt));
      return true;
    }
    if (order === 0) {
      if (held.record !== undefined) this.vote(id, origin, 'yes');
      else if (origin !== undefined) (held.origins ??= []).push(origin);
      return true;
    }
    if (held.record?.heuristic !== undefined) {
      this.vote(id, origin, 'no', forcedBefore(held.id));
      return true;
    }
    if (held.record?.effect !== undefined) this.state.resource.drop(held.record.effect);
    this.end(held, 'aborted');
    return false;
  }

  private prepareNew(prepare: Prepare<T['operation']>, origin: Origin): void {
    const { state } = this;
    const { settings, bugs } = state;
    const { branch: id, workspace } = prepare;
    if (this.held.size >= settings.maxPrepared) {
      return this.vote(id, origin, 'no', overloaded(`${this.held.size} branches are prepared at this partition`));
    }
    let operations = this.operationsOf(prepare);
    if (workspace !== undefined) {
      if (workspace.epoch > state.epoch) return state.out.stepDown(`epoch ${workspace.epoch} of this partition was heard of`);
      this.workspaces.close(id.transactionId);
      if (operations === undefined && bugs.has('prepare-without-workspace')) operations = [];
    }
    if (operations === undefined) return this.vote(id, origin, 'no', workspaceLost(id));
    let wishes = state.resource.locks(operations);
    if (bugs.has('validation-ignores-lock')) wishes = wishes.filter((wish) => wish.exclusive);
    const branch = new Branch<T>(this.owner, id, prepare.firstTryMs, wishes, operations, prepare.readOnly, prepare.trace);
    if (origin !== undefined) branch.origins = [origin];
    const claim = this.waits.claim(branch, prepare.deadlineMs);
    if (claim.type === 'refused') return this.voteAll(branch, 'no', claim.failure);
    if (claim.type === 'granted') return this.evaluate(branch);
    this.held.set(id.transactionId, branch);
  }

  /** The locks are held: decides the vote. */
  private evaluate(branch: Branch<T>): void {
    const { state } = this;
    const { resource, nowMs } = state;
    const { id, operations } = branch;
    const evaluation = resource.evaluate(operations, nowMs);
    if (evaluation.type === 'refusal') {
      this.waits.release(branch);
      return this.refuse(branch, evaluation.failure);
    }
    if (branch.readOnly) {
      this.waits.release(branch);
      this.held.delete(id.transactionId);
      return this.voteAll(branch, 'readOnly');
    }
    if (!this.ended.isFresh(id.coordinatorPartition, id.attempt)) {
      // The mark has passed it while it waited, or somebody uses an attempt twice, against T5.
      this.waits.release(branch);
      return this.refuse(branch, lateAttempt(id.attempt));
    }
    const { effect } = evaluation;
    this.store(branch, {
      type: 'branch',
      transactionId: id.transactionId,
      attempt: id.attempt,
      coordinatorPartition: id.coordinatorPartition,
      firstTryMs: branch.firstTryMs,
      prepareMs: nowMs,
      epoch: state.epoch,
      trace: branch.trace,
      effect,
      heuristic: undefined,
    });
    branch.operations = [];
    branch.lastInquiryMs = nowMs;
    this.held.set(id.transactionId, branch);
    this.ended.hold(id.transactionId, id.coordinatorPartition, id.attempt);
    resource.hold(effect);
    state.alarms.set(branch, nowMs + state.settings.inquiryDelayMs);
    this.voteAll(branch, 'yes');
  }

  /** Gives a branch that is in a pack a record of its own. */
  unpack(transactionId: string): void {
    const branch = this.held.get(transactionId);
    if (branch?.record === undefined || !branch.packed || this.state.bugs.has('waiting-left-in-pack')) return;
    branch.packed = false;
    this.state.out.put(branchKey(branch.record.coordinatorPartition, branch.record.attempt), branch.record);
  }

  private store(branch: Branch<T>, record: BranchRecord<T['effect']>): void {
    branch.record = record;
    const { bytes } = this.state.resource.applyCost(record.effect);
    // What that bug forgets must leave nothing behind.
    branch.packed = bytes <= MOST_PACKED_BYTES && !this.state.bugs.has('forget-below-no-mark');
    if (branch.packed) this.packs.add(record, bytes + RECORD_BYTES);
    else this.state.out.put(branchKey(record.coordinatorPartition, record.attempt), record);
  }

  /** The branch holds nothing and is not prepared. */
  private refuse(branch: Branch<T>, cause: Failure): void {
    this.held.delete(branch.transactionId);
    this.voteAll(branch, 'no', cause);
  }

  /** Tells everybody who asked, or the coordinator by a message. */
  private voteAll(branch: Branch<T>, vote: Vote, cause?: Failure): void {
    if (cause !== undefined) this.state.countRefusal(cause);
    if (branch.origins === undefined) return this.vote(branch.id, undefined, vote, cause);
    for (const origin of branch.origins) this.vote(branch.id, origin, vote, cause);
    branch.origins = undefined;
  }

  private vote(branch: BranchId, origin: Origin, vote: Vote, cause?: Failure): void {
    if (origin === undefined) this.state.send({ type: 'vote', branch, vote, cause });
    else this.state.out.reply(origin, { type: 'vote', vote, cause });
  }
}
