/**
 * The participant's side of the protocol around a user's resource manager: attempts (invariant T5),
 * marks (T7), repetitions, and promises that are kept until their outcome is known (T12).
 */

import { compareAttempts } from '../../kernel/attempt.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Timer } from '../../runtime/clock.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { sleep } from '../deadline.ts';
import type { Environment } from '../options.ts';
import { keyOf } from './branch-key.ts';
import { Inquiries, type Inquire } from './inquiries.ts';
import type { Branch, Content, Mark, PrepareContext, ResourceManager, Vote } from './resource-manager.ts';

/** Most promises at a time; more are refused. */
export const MAX_PREPARED = 10_000;
/** Aborted attempts that are remembered to refuse late prepares at once; forgetting them costs an inquiry. */
const MAX_ABORTED = 10_000;
/** Committed branches are forgotten together, this long after a mark has moved, milliseconds. */
const FORGET_MS = 1_000;

export interface Prepared {
  readonly branch: Branch;
  /** By this process's clock, milliseconds since 1970; after a restart, that of the restart. */
  readonly prepareMs: number;
}

export type Answer = { readonly vote: 'yes' | 'readOnly' } | { readonly vote: 'no'; readonly cause: Failure };

export interface KeeperOptions {
  readonly manager: ResourceManager;
  readonly environment: Environment;
  readonly inquire: Inquire;
  /** Something failed that will be tried again. */
  onProblem(message: string, error: unknown): void;
}

export class BranchKeeper {
  private readonly manager: ResourceManager;
  private readonly options: KeeperOptions;
  private readonly inquiries: Inquiries;
  /** By transaction: the newest attempt that is prepared. */
  private readonly held = new Map<string, Prepared>();
  private readonly committed = new Map<string, Branch>();
  private readonly aborted = new Set<string>();
  private readonly marks = new Map<number, Mark>();
  /** By transaction: the end of what is under way. */
  private readonly tails = new Map<string, Promise<unknown>>();
  /** By branch: ends a prepare that is under way. */
  private readonly preparing = new Map<string, AbortController>();
  private forgetTimer: Timer | undefined;
  private forgetting: Promise<void> = Promise.resolve();
  private closed = false;
  /** The manager was not done in time: by now it may be somebody else's. */
  private left = false;

  constructor(options: KeeperOptions) {
    this.options = options;
    this.manager = options.manager;
    const { environment, inquire, onProblem } = options;
    const settle = (branch: Branch, outcome: 'committed' | 'aborted'): Promise<void> => (outcome === 'committed' ? this.commit(branch) : this.abort(branch));
    this.inquiries = new Inquiries({ environment, inquire, onProblem, settle });
  }

  /** Takes up what was stored; to be called first. */
  async recover(): Promise<void> {
    const { prepared, committed, marks } = await this.manager.recover();
    for (const mark of marks) this.marks.set(mark.coordinatorPartition, mark);
    for (const branch of committed) this.committed.set(keyOf(branch), branch);
    for (const branch of prepared) this.hold(branch);
  }

  prepare(branch: Branch, operations: readonly Content[], context: PrepareContext): Promise<Answer> {
    return this.inTurn(branch, async () => {
      const answer = await this.answerKnown(branch);
      return answer ?? this.prepareNew(branch, operations, context);
    });
  }

  /** Resolves when the branch is durably committed. */
  commit(branch: Branch): Promise<void> {
    return this.inTurn(branch, async () => {
      this.requireOpen();
      if (!this.holds(branch)) return; // It was committed before, and may be forgotten by now.
      await this.carryOut('commit', branch);
      this.release(branch);
      this.committed.set(keyOf(branch), branch);
      this.forgetSoon();
    });
  }

  abort(branch: Branch): Promise<void> {
    this.preparing.get(keyOf(branch))?.abort();
    return this.inTurn(branch, async () => {
      this.requireOpen();
      if (this.committed.has(keyOf(branch))) return;
      if (this.holds(branch)) {
        await this.carryOut('abort', branch);
        this.release(branch);
      }
      this.rememberAborted(branch);
    });
  }

  /** Nothing below the mark will be prepared any more. */
  takeMark(mark: Mark): void {
    const known = this.marks.get(mark.coordinatorPartition);
    if (known !== undefined && compareAttempts(mark.lowWaterMark, known.lowWaterMark) <= 0) return;
    this.marks.set(mark.coordinatorPartition, mark);
    if (this.committed.size > 0) this.forgetSoon();
  }

  /** By transaction id in ascending order. */
  listPrepared(after: string, limit: number): { readonly prepared: Prepared[]; readonly more: boolean } {
    const all = [...this.held.values()].filter(({ branch }) => branch.transactionId > after);
    all.sort((a, b) => (a.branch.transactionId < b.branch.transactionId ? -1 : 1));
    return { prepared: all.slice(0, limit), more: all.length > limit };
  }

  inquiriesOf(branch: Branch): { readonly count: number; readonly nextMs: number | undefined } {
    return this.inquiries.of(branch);
  }

  /** Resolves when nothing is under way, or after the bound, milliseconds: a manager may never answer. */
  async close(boundMs: number): Promise<void> {
    this.closed = true;
    this.inquiries.close();
    this.forgetTimer?.cancel();
    for (const controller of this.preparing.values()) controller.abort();
    const over = new AbortController();
    let isDone = false;
    const done = Promise.allSettled([...this.tails.values(), this.forgetting]).then(() => (isDone = true));
    await Promise.race([done, sleep(this.options.environment.clock, boundMs, over.signal)]);
    over.abort();
    this.left = !isDone;
    if (this.left) this.options.onProblem(`the resource manager is left while it works at ${this.tails.size} transactions`, new Error(`it has not ended within ${boundMs} ms`));
  }

  /** The answer that what is known gives (invariants T5, T7); undefined: the branch is new. */
  private async answerKnown(branch: Branch): Promise<Answer | undefined> {
    const { transactionId, attempt, coordinatorPartition } = branch;
    if (this.committed.has(keyOf(branch))) return { vote: 'yes' };
    if (this.aborted.has(keyOf(branch))) return no(late(branch));
    const held = this.held.get(transactionId)?.branch;
    if (held !== undefined) {
      if (held.coordinatorPartition !== coordinatorPartition) return no(otherCoordinator(branch, held));
      const order = compareAttempts(attempt, held.attempt);
      if (order === 0) return { vote: 'yes' };
      if (order < 0) return no(late(branch));
    }
    if (this.isBelowMark(branch)) return no(late(branch));
    if (held === undefined) return undefined;
    if (this.closed) return no(STOPPING);
    try {
      await this.carryOut('abort', held);
    } catch (error) {
      // It is still held, and asked about.
      return no(refused(`the attempt before could not be given up: ${error instanceof Error ? error.message : String(error)}`));
    }
    this.release(held);
    this.rememberAborted(held);
    return undefined;
  }

  private async prepareNew(branch: Branch, operations: readonly Content[], context: PrepareContext): Promise<Answer> {
    if (this.closed) return no(STOPPING);
    if (this.held.size >= MAX_PREPARED)
      return no({ reason: 'OVERLOADED', message: `${MAX_PREPARED} branches are prepared at this participant` });
    const controller = new AbortController();
    this.preparing.set(keyOf(branch), controller);
    try {
      const signal = AbortSignal.any([context.signal, controller.signal]);
      const vote = await this.manager.prepare(branch, operations, { ...context, signal });
      return await this.take(vote, branch, context.readOnly);
    } catch (error) {
      this.options.onProblem(`prepare of transaction ${branch.transactionId} failed`, error);
      await this.giveUp(branch);
      return no(refused(error instanceof Error ? error.message : String(error)));
    } finally {
      this.preparing.delete(keyOf(branch));
    }
  }

  private async take(vote: Vote, branch: Branch, readOnly: boolean): Promise<Answer> {
    if (vote === 'readOnly') return { vote };
    if (vote !== 'yes') return no(refused(vote.refuse));
    if (readOnly) {
      // Nobody will tell an outcome: what the manager holds none the less is given up.
      await this.giveUp(branch);
      return { vote: 'readOnly' };
    }
    this.hold(branch);
    return { vote };
  }

  /** Gives up what may be promised or not; where that fails, it is asked about like a promise, and so aborted later. */
  private async giveUp(branch: Branch): Promise<void> {
    if (this.left) return;
    try {
      await this.manager.abort(branch);
    } catch (error) {
      this.options.onProblem(`abort of transaction ${branch.transactionId} failed`, error);
      this.hold(branch);
    }
  }

  /** Whoever asked for it asks again, but does not say so to the user. */
  private async carryOut(outcome: 'commit' | 'abort', branch: Branch): Promise<void> {
    try {
      await this.manager[outcome](branch);
    } catch (error) {
      this.options.onProblem(`${outcome} of transaction ${branch.transactionId} failed`, error);
      throw error;
    }
  }

  private hold(branch: Branch): void {
    this.held.set(branch.transactionId, { branch, prepareMs: this.options.environment.clock.nowMs() });
    this.inquiries.add(branch);
  }

  private release(branch: Branch): void {
    this.held.delete(branch.transactionId);
    this.inquiries.remove(branch);
  }

  private holds(branch: Branch): boolean {
    const held = this.held.get(branch.transactionId)?.branch;
    return held !== undefined && keyOf(held) === keyOf(branch);
  }

  /** By the time that this one is closed, another one may have the resource manager. */
  private requireOpen(): void {
    if (this.closed) throw new FailureError(STOPPING);
  }

  private rememberAborted(branch: Branch): void {
    this.aborted.add(keyOf(branch));
    if (this.aborted.size <= MAX_ABORTED) return;
    const [oldest] = this.aborted;
    this.aborted.delete(oldest!);
  }

  private isBelowMark({ coordinatorPartition, attempt }: Branch): boolean {
    const mark = this.marks.get(coordinatorPartition);
    return mark !== undefined && compareAttempts(attempt, mark.lowWaterMark) < 0;
  }

  private forgetSoon(): void {
    if (this.closed || this.forgetTimer !== undefined) return;
    this.forgetTimer = this.options.environment.clock.setTimer(FORGET_MS, () => {
      this.forgetTimer = undefined;
      this.forgetting = this.forget().catch((error: unknown) => {
        this.options.onProblem('forgetting committed branches failed', error);
        this.forgetSoon();
      });
    });
  }

  /** Lets the manager store each mark that allows to forget something, and forget it (invariant T7). */
  private async forget(): Promise<void> {
    const below = [...this.committed.values()].filter((branch) => this.isBelowMark(branch));
    const partitions = new Set(below.map(({ coordinatorPartition }) => coordinatorPartition));
    const marks = [...partitions].map((partition) => this.marks.get(partition)!);
    for (const mark of marks) {
      if (this.closed) return;
      await this.manager.forget(mark);
    }
    for (const branch of below) this.committed.delete(keyOf(branch));
  }

  /** One thing at a time for each transaction. */
  private inTurn<Result>({ transactionId }: Branch, work: () => Promise<Result>): Promise<Result> {
    const before = this.tails.get(transactionId) ?? Promise.resolve();
    const result = before.then(work, work);
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.tails.set(transactionId, tail);
    void tail.then(() => {
      if (this.tails.get(transactionId) === tail) this.tails.delete(transactionId);
    });
    return result;
  }
}

const STOPPING: Failure = { reason: 'DRAINING', message: 'the participant is stopping' };

function no(cause: Failure): Answer {
  return { vote: 'no', cause };
}

function late({ transactionId, attempt }: Branch): Failure {
  return {
    reason: 'WRONG_ATTEMPT',
    message: `attempt ${attempt.epoch}.${attempt.counter} of transaction ${transactionId} is over: it has ended here, was replaced, or is below the low-water mark`,
  };
}

function otherCoordinator({ transactionId, coordinatorPartition }: Branch, held: Branch): Failure {
  return {
    reason: 'PARTITION_MISMATCH',
    message: `transaction ${transactionId} is held for coordinator partition ${held.coordinatorPartition}, not ${coordinatorPartition}`,
  };
}

function refused(message: string): Failure {
  return { reason: 'REFUSED_BY_PARTICIPANT', message };
}
