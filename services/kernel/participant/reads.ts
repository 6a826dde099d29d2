/**
 * Reads. A linearizable one waits for the outcome of whoever may change what it asks for and holds a
 * lock on it when it arrives (invariant K5), bounded in number and by its deadline; later locks do not hold
 * it up. An eventual one answers at once.
 */

import type { Origin } from '../kernel.ts';
import type { LockRequest } from './locks.ts';
import type { Alarm, PartitionState } from './state.ts';
import type { CommandOf, ResourceTypes } from './types.ts';
import { overloaded } from './waits.ts';
import type { Workspaces } from './workspaces.ts';

class WaitingRead<T extends ResourceTypes> implements Alarm {
  private readonly reads: Reads<T>;
  readonly command: CommandOf<'read', T>;
  readonly ticket: number;
  readonly holders: Set<LockRequest>;
  dueMs = 0;
  timerIndex = -1;

  constructor(reads: Reads<T>, command: CommandOf<'read', T>, ticket: number, holders: Set<LockRequest>) {
    this.reads = reads;
    this.command = command;
    this.ticket = ticket;
    this.holders = holders;
  }

  ring(): void {
    this.reads.onDeadline(this);
  }
}

export class Reads<T extends ResourceTypes> {
  private readonly state: PartitionState<T>;
  private readonly workspaces: Workspaces<T>;
  private readonly onAwaited: (holder: LockRequest) => void;
  private readonly waiting = new Map<number, WaitingRead<T>>();
  private readonly byHolder = new Map<LockRequest, Set<WaitingRead<T>>>();
  private lastTicket = 0;

  constructor(state: PartitionState<T>, workspaces: Workspaces<T>, onAwaited: (holder: LockRequest) => void) {
    this.state = state;
    this.workspaces = workspaces;
    this.onAwaited = onAwaited;
  }

  /** The query behind an `answerRead` command. */
  queryOf(ticket: number): T['query'] | undefined {
    return this.waiting.get(ticket)?.command.query;
  }

  get anyWaits(): boolean {
    return this.waiting.size > 0;
  }

  read(command: CommandOf<'read', T>): void {
    if (command.workspace !== undefined && this.workspaces.enter(command, command.workspace) === undefined) return;
    const { bugs, nowMs, settings, alarms } = this.state;
    const immediate = command.consistency === 'eventual' && command.workspace === undefined;
    if (immediate || bugs.has('read-ignores-lock')) return this.answer(command);
    const holders = this.holders(command.query);
    if (holders === undefined) return this.answer(command);
    if (this.waiting.size >= settings.maxWaitingReads) {
      const failure = overloaded(`${this.waiting.size} reads wait for outcomes at this partition`);
      return this.state.out.reply(command.origin, { type: 'failure', failure });
    }
    const read = new WaitingRead<T>(this, command, ++this.lastTicket, holders);
    this.waiting.set(read.ticket, read);
    for (const holder of holders) {
      const reads = this.byHolder.get(holder);
      if (reads === undefined) this.byHolder.set(holder, new Set([read]));
      else reads.add(read);
      this.onAwaited(holder);
    }
    alarms.set(read, Math.max(nowMs, command.deadlineMs));
  }

  onReleased(holder: LockRequest): void {
    const reads = this.byHolder.get(holder);
    if (reads === undefined) return;
    this.byHolder.delete(holder);
    for (const read of reads) {
      read.holders.delete(holder);
      if (read.holders.size > 0) continue;
      this.state.alarms.cancel(read);
      this.state.out.follow({ type: 'answerRead', ticket: read.ticket });
    }
  }

  /** Nothing is waited for any more. */
  continue(ticket: number): void {
    const read = this.waiting.get(ticket);
    if (read === undefined) return;
    this.waiting.delete(ticket);
    this.answer(read.command);
  }

  onDeadline(read: WaitingRead<T>): void {
    this.drop(read);
    const holder = read.holders.values().next().value;
    const message = `the read waited for the outcome of transaction ${holder?.transactionId} until its deadline`;
    this.state.out.reply(read.command.origin, { type: 'failure', failure: { reason: 'DEADLINE_EXCEEDED', message } });
  }

  cancel(target: Origin): void {
    for (const read of this.waiting.values()) if (read.command.origin === target) this.drop(read);
  }

  private drop(read: WaitingRead<T>): void {
    this.waiting.delete(read.ticket);
    this.state.alarms.cancel(read);
    for (const holder of read.holders) {
      const reads = this.byHolder.get(holder);
      reads?.delete(read);
      if (reads?.size === 0) this.byHolder.delete(holder);
    }
  }

  private holders(query: T['query']): Set<LockRequest> | undefined {
    const { locks, resource } = this.state;
    if (locks.heldCount === 0) return undefined;
    const { awaitsShared } = resource;
    const awaited = resource.awaited(query);
    const holders = new Set<LockRequest>();
    if (typeof awaited === 'string') locks.addHoldersOf(awaited, awaitsShared, holders);
    else for (const name of awaited) locks.addHolders(name, awaitsShared, holders);
    return holders.size > 0 ? holders : undefined;
  }

  private answer(command: CommandOf<'read', T>): void {
    const { resource, revision, out, nowMs } = this.state;
    const { origin, query } = command;
    if (command.workspace === undefined) {
      return out.reply(origin, { type: 'read', answer: resource.answer(query, nowMs), revision });
    }
    // Entered before it waited; it may have closed since, and then says so.
    const workspace = this.workspaces.enter(command, command.workspace);
    if (workspace === undefined) return;
    const result = resource.answerStaged(query, workspace.operations, nowMs);
    if ('failure' in result) return out.reply(origin, { type: 'failure', failure: result.failure });
    const checks = result.checks.length > 0 ? [...workspace.checks, ...result.checks] : workspace.checks;
    const failure = this.workspaces.stage(workspace, checks, workspace.operations);
    if (failure !== undefined) return out.reply(origin, { type: 'failure', failure });
    out.reply(origin, { type: 'read', answer: result.answer, revision });
  }
}
