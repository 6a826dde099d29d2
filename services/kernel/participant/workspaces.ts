/**
 * Work of interactive transactions that is staged here until they prepare (invariant T13). Volatile:
 * a workspace that is lost, in a failover or because it was left alone too long, is never mistaken for
 * one that is still whole. Bounded in number, bytes and lifetime.
 */

import { compareAttempts, type Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { BranchId } from '../messages.ts';
import { backoffMs } from '../timers.ts';
import { lateAttempt, workspaceLost } from './branch.ts';
import type { Alarm, PartitionState } from './state.ts';
import type { CommandOf, ResourceTypes } from './types.ts';
import { overloaded } from './waits.ts';

const ENLIST_AGAIN = { baseMs: 500, capMs: 5_000 };

/** What waits for the enlistment: stepped again after it. */
type Entering<T extends ResourceTypes> = CommandOf<'work', T> | CommandOf<'read', T>;

export class Workspace<T extends ResourceTypes> implements Alarm {
  private readonly workspaces: Workspaces<T>;
  readonly id: BranchId;
  /** Validate what was read; evaluated first. */
  checks: readonly T['operation'][] = [];
  operations: readonly T['operation'][] = [];
  bytes = 0;
  enlisted = false;
  enlistments = 0;
  entering: Entering<T>[] = [];
  untilMs = 0;
  dueMs = 0;
  timerIndex = -1;

  constructor(workspaces: Workspaces<T>, id: BranchId) {
    this.workspaces = workspaces;
    this.id = id;
  }

  ring(): void {
    this.workspaces.onAlarm(this);
  }
}

export class Workspaces<T extends ResourceTypes> {
  private readonly state: PartitionState<T>;
  private readonly open = new Map<string, Workspace<T>>();
  private bytes = 0;
  /** Attempts whose work was lost in this term: later work must not look like the whole of it. */
  private readonly lost = new Map<string, BranchId>();
  /** By coordinator partition: no workspace is opened for this attempt or an older one any more. */
  private readonly closedThrough = new Map<number, Attempt>();

  constructor(state: PartitionState<T>) {
    this.state = state;
  }

  /** What was staged under the attempt and epoch; undefined if that is not all here. */
  find(
    transactionId: string,
    { attempt, epoch }: { readonly attempt: Attempt; readonly epoch: number },
  ): readonly T['operation'][] | undefined {
    const workspace = this.open.get(transactionId);
    if (workspace === undefined || !workspace.enlisted || epoch !== this.state.epoch) return undefined;
    if (compareAttempts(workspace.id.attempt, attempt) !== 0) return undefined;
    return workspace.checks.length > 0 ? [...workspace.checks, ...workspace.operations] : workspace.operations;
  }

  /** The workspace, if it is enlisted. Otherwise the command is answered, or stepped again once it is. */
  enter(command: Entering<T>, branch: BranchId): Workspace<T> | undefined {
    let workspace = this.open.get(branch.transactionId);
    if (workspace !== undefined) {
      const order = compareAttempts(branch.attempt, workspace.id.attempt);
      if (order < 0) return this.fail(command.origin, lateAttempt(branch.attempt));
      if (order > 0) {
        this.discard(workspace, lateAttempt(workspace.id.attempt));
        workspace = undefined;
      }
    }
    if (workspace === undefined) {
      if (this.isLost(branch)) return this.fail(command.origin, workspaceLost(branch));
      const { maxWorkspaces } = this.state.settings;
      if (this.open.size >= maxWorkspaces) {
        return this.fail(command.origin, overloaded(`${maxWorkspaces} interactive transactions are open at this partition`));
      }
      workspace = new Workspace<T>(this, branch);
      this.open.set(branch.transactionId, workspace);
      this.touch(workspace);
      this.enlist(workspace);
    }
    if (workspace.enlisted) {
      this.touch(workspace);
      return workspace;
    }
    workspace.entering.push(command);
    return undefined;
  }

  work(command: CommandOf<'work', T>): void {
    const workspace = this.enter(command, command.branch);
    if (workspace === undefined) return;
    const operations = [...workspace.operations, ...command.operations];
    const failure = this.stage(workspace, workspace.checks, operations);
    if (failure !== undefined) return void this.fail(command.origin, failure);
    this.state.out.reply(command.origin, { type: 'done', revision: 0 });
  }

  /** Replaces what is staged, within the limits. */
  stage(
    workspace: Workspace<T>,
    checks: readonly T['operation'][],
    operations: readonly T['operation'][],
  ): Failure | undefined {
    const { resource, settings } = this.state;
    const all = [...checks, ...operations];
    const failure = resource.check(all);
    if (failure !== undefined) return failure;
    const bytes = resource.sizeOf(all);
    if (this.bytes + bytes - workspace.bytes > settings.maxWorkspaceBytes) {
      return overloaded(`interactive transactions have staged ${this.bytes} bytes at this partition`);
    }
    this.bytes += bytes - workspace.bytes;
    workspace.bytes = bytes;
    workspace.checks = checks;
    workspace.operations = operations;
    return undefined;
  }

  onEnlistAnswer(branch: BranchId, refusal: Failure | undefined): void {
    const workspace = this.open.get(branch.transactionId);
    if (workspace === undefined || workspace.enlisted) return;
    if (compareAttempts(workspace.id.attempt, branch.attempt) !== 0) return;
    if (refusal !== undefined) return this.discard(workspace, refusal);
    workspace.enlisted = true;
    this.touch(workspace);
    for (const command of workspace.entering) this.state.out.follow(command);
    workspace.entering = [];
  }

  /** The transaction prepares: what is staged is the branch's now. */
  close(transactionId: string): void {
    const workspace = this.open.get(transactionId);
    if (workspace !== undefined) this.discard(workspace, workspaceLost(workspace.id));
  }

  /** The attempt was aborted. */
  abort(branch: BranchId): void {
    const workspace = this.open.get(branch.transactionId);
    if (workspace !== undefined && compareAttempts(workspace.id.attempt, branch.attempt) === 0) {
      this.discard(workspace, lateAttempt(branch.attempt));
    }
  }

  cancel(target: Origin): void {
    for (const workspace of this.open.values()) {
      if (!workspace.enlisted) workspace.entering = workspace.entering.filter(({ origin }) => origin !== target);
    }
  }

  onAlarm(workspace: Workspace<T>): void {
    if (this.state.nowMs < workspace.untilMs) return this.enlist(workspace);
    if (workspace.enlisted) this.rememberLost(workspace.id);
    this.discard(workspace, workspaceLost(workspace.id));
  }

  private enlist(workspace: Workspace<T>): void {
    const { nowMs, epoch, entropy, alarms } = this.state;
    this.state.send({ type: 'enlist', branch: workspace.id, epoch });
    const delayMs = 100 + backoffMs(ENLIST_AGAIN, ++workspace.enlistments, entropy);
    alarms.set(workspace, Math.min(workspace.untilMs, nowMs + delayMs));
  }

  /** It is in use: its lifetime begins again. */
  private touch(workspace: Workspace<T>): void {
    workspace.untilMs = this.state.nowMs + this.state.settings.workspaceLifetimeMs;
    if (workspace.enlisted) this.state.alarms.set(workspace, workspace.untilMs);
  }

  private discard(workspace: Workspace<T>, failure: Failure): void {
    this.open.delete(workspace.id.transactionId);
    this.bytes -= workspace.bytes;
    this.state.alarms.cancel(workspace);
    for (const { origin } of workspace.entering) this.fail(origin, failure);
  }

  private isLost({ transactionId, coordinatorPartition, attempt }: BranchId): boolean {
    const lost = this.lost.get(transactionId);
    if (lost !== undefined && compareAttempts(attempt, lost.attempt) <= 0) return true;
    const closed = this.closedThrough.get(coordinatorPartition);
    return closed !== undefined && compareAttempts(attempt, closed) <= 0;
  }

  private rememberLost(id: BranchId): void {
    this.lost.set(id.transactionId, id);
    if (this.lost.size <= this.state.settings.maxWorkspaces) return;
    for (const [oldest, { coordinatorPartition, attempt }] of this.lost) {
      this.lost.delete(oldest);
      const closed = this.closedThrough.get(coordinatorPartition);
      if (closed === undefined || compareAttempts(attempt, closed) > 0) this.closedThrough.set(coordinatorPartition, attempt);
      return;
    }
  }

  private fail(origin: Origin, failure: Failure): undefined {
    this.state.out.reply(origin, { type: 'failure', failure });
  }
}
