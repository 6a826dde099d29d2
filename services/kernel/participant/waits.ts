/**
 * Waiting for locks, bounded in number and time (invariant K2). Work that is set free is stepped as a
 * command of its own, so that its writes are within that command's cost.
 */

import type { Failure } from '../failure.ts';
import type { LockRequest } from './locks.ts';
import type { Alarm, PartitionState } from './state.ts';
import type { ResourceTypes } from './types.ts';

/** Operations that need locks: of a branch or of a local transaction. */
export interface Waiter<T extends ResourceTypes> extends LockRequest, Alarm {
  readonly operations: readonly T['operation'][];
  /** Names it in the commands that continue it. 0: it has not had to wait. */
  ticket: number;
  /** Since when it stands in line, wall time. */
  waitingSinceMs: number;
  /** It holds its locks now. */
  granted(): void;
  /** It has given up its place; the locks were not to be had in time. */
  waitedOut(failure: Failure): void;
}

export type ClaimResult =
  | { readonly type: 'granted' }
  | { readonly type: 'waiting' }
  | { readonly type: 'refused'; readonly failure: Failure };

/** Told of what happens to holders of locks. */
export interface HolderWatch {
  /** Somebody waits for what it holds. */
  onAwaited(holder: LockRequest): void;
  /** It holds nothing any more. */
  onReleased(holder: LockRequest): void;
}

const OVERLOADED_RETRY_MS = 200;

export class LockWaits<T extends ResourceTypes> {
  private readonly state: PartitionState<T>;
  private readonly watch: HolderWatch;
  private readonly tickets = new Map<number, Waiter<T>>();
  private lastTicket = 0;

  constructor(state: PartitionState<T>, watch: HolderWatch) {
    this.state = state;
    this.watch = watch;
  }

  /** What a `granted` or `waitedOut` command is about; undefined if it was withdrawn meanwhile. */
  find(ticket: number): Waiter<T> | undefined {
    return this.tickets.get(ticket);
  }

  claim(waiter: Waiter<T>, deadlineMs: number): ClaimResult {
    const { locks, settings, nowMs, alarms } = this.state;
    if (locks.heldCount + waiter.wishes.length > settings.maxLocks) {
      return { type: 'refused', failure: overloaded(`${locks.heldCount} locks are held at this partition`) };
    }
    const untilMs = Math.min(deadlineMs, nowMs + settings.lockWaitMs);
    const mayWait = untilMs > nowMs && locks.waitingCount < settings.maxLockWaiters;
    const result = locks.request(waiter, mayWait);
    if (result.type === 'refused') return { type: 'refused', failure: lockConflict(result.name, result.by) };
    if (result.type === 'granted') return result;
    waiter.ticket = ++this.lastTicket;
    waiter.waitingSinceMs = nowMs;
    this.tickets.set(waiter.ticket, waiter);
    alarms.set(waiter, untilMs);
    for (const holder of locks.holdersAgainst(waiter)) this.watch.onAwaited(holder);
    return result;
  }

  /** Ends a request, held or waiting. */
  release(request: LockRequest): void {
    if (request.wishes.length === 0) return this.watch.onReleased(request);
    for (const granted of this.state.locks.release(request)) {
      const waiter = granted as Waiter<T>;
      this.state.alarms.cancel(waiter);
      this.state.out.follow({ type: 'granted', ticket: waiter.ticket });
    }
    this.watch.onReleased(request);
  }

  /** Takes back a request that may be waiting, or granted and not yet continued. */
  withdraw(waiter: Waiter<T>): void {
    this.tickets.delete(waiter.ticket);
    this.state.alarms.cancel(waiter);
    this.release(waiter);
  }

  /** The waiter's time is over: continued by a command. */
  expire(waiter: Waiter<T>): void {
    this.state.out.follow({ type: 'waitedOut', ticket: waiter.ticket });
  }

  continue(type: 'granted' | 'waitedOut', ticket: number): void {
    const waiter = this.tickets.get(ticket);
    if (waiter === undefined) return;
    if (type === 'granted') {
      this.tickets.delete(ticket);
      this.countWait(waiter);
      waiter.granted();
    } else if (this.state.locks.isWaiting(waiter)) {
      // Not granted meanwhile.
      this.withdraw(waiter);
      this.countWait(waiter);
      waiter.waitedOut(lockTimeout(waiter));
    }
  }

  private countWait({ waitingSinceMs }: Waiter<T>): void {
    const { tally, nowMs } = this.state;
    tally?.waited(Math.max(0, nowMs - waitingSinceMs));
  }
}

export function overloaded(what: string): Failure {
  return { reason: 'OVERLOADED', message: `${what}; try again later`, retryAfterMs: OVERLOADED_RETRY_MS };
}

function lockConflict(name: string, by: string): Failure {
  return {
    reason: 'LOCK_CONFLICT',
    message: `"${name}" is locked by transaction ${by}; try again with the same first try time`,
    metadata: { lock: name, transactionId: by },
  };
}

function lockTimeout(waiter: LockRequest): Failure {
  const name = waiter.wishes[0]?.name ?? '';
  const more = waiter.wishes.length > 1 ? ` and ${waiter.wishes.length - 1} more` : '';
  return {
    reason: 'LOCK_TIMEOUT',
    message: `the locks on "${name}"${more} were not free in time; try again with the same first try time`,
    metadata: { lock: name },
  };
}
