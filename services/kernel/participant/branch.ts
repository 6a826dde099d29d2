/** One branch that is held at this partition: waiting for locks, prepared, or resolved by force. */

import type { Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { BranchId } from '../messages.ts';
import type { LockWish } from './locks.ts';
import type { BranchRecord, ResourceTypes } from './types.ts';
import type { Waiter } from './waits.ts';

/** Who continues a branch. */
export interface BranchOwner<T extends ResourceTypes> {
  evaluate(branch: Branch<T>): void;
  refuse(branch: Branch<T>, cause: Failure): void;
  onAlarm(branch: Branch<T>): void;
}

export class Branch<T extends ResourceTypes> implements Waiter<T> {
  private readonly owner: BranchOwner<T>;
  readonly id: BranchId;
  readonly transactionId: string;
  readonly firstTryMs: number;
  wishes: readonly LockWish[];
  readonly readOnly: boolean;
  readonly trace: string | undefined;
  /** Empty once it is prepared. */
  operations: readonly T['operation'][];
  ticket = 0;
  waitingSinceMs = 0;
  dueMs = 0;
  timerIndex = -1;
  /** Unary callers that wait for the vote. */
  origins: Origin[] | undefined;
  /** What is durable: set once it is prepared. */
  record: BranchRecord<T['effect']> | undefined;
  /** The record is in a pack. */
  packed = false;
  inquiries = 0;
  /** When it was last asked for the outcome, or prepared. */
  lastInquiryMs = 0;

  constructor(
    owner: BranchOwner<T>,
    id: BranchId,
    firstTryMs: number,
    wishes: readonly LockWish[],
    operations: readonly T['operation'][],
    readOnly: boolean,
    trace: string | undefined,
  ) {
    this.owner = owner;
    this.id = id;
    this.transactionId = id.transactionId;
    this.firstTryMs = firstTryMs;
    this.wishes = wishes;
    this.operations = operations;
    this.readOnly = readOnly;
    this.trace = trace;
  }

  granted(): void {
    this.owner.evaluate(this);
  }

  waitedOut(failure: Failure): void {
    this.owner.refuse(this, failure);
  }

  ring(): void {
    this.owner.onAlarm(this);
  }
}

export function lateAttempt(attempt: Attempt): Failure {
  return {
    reason: 'WRONG_ATTEMPT',
    message: `attempt ${attempt.epoch}.${attempt.counter} is over: it has ended here, was replaced or used before, or is below the low-water mark`,
  };
}

export function otherCoordinator(held: BranchId, id: BranchId): Failure {
  return {
    reason: 'PARTITION_MISMATCH',
    message:
      `transaction ${id.transactionId} is held for coordinator partition ${held.coordinatorPartition}, ` +
      `not ${id.coordinatorPartition}; check that all replicas use the same cluster map`,
  };
}

export function forcedBefore(id: BranchId): Failure {
  return {
    reason: 'WRONG_ATTEMPT',
    message:
      `an outcome was forced on attempt ${id.attempt.epoch}.${id.attempt.counter} of transaction ${id.transactionId}, ` +
      'and its coordinator has not recorded it yet',
  };
}

export function workspaceLost(id: BranchId): Failure {
  return {
    reason: 'WORKSPACE_LOST',
    message: `the work of transaction ${id.transactionId} at this partition was lost in a failover or expired; run it again`,
  };
}
