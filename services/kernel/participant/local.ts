/**
 * Local transactions: all operations in this partition, no coordinator, one write. The outcome is
 * remembered by the transaction's id, a refusal too, so that a late copy can't commit after its caller
 * has heard no (invariants K6, T9, T10). Only what was surely not executed and says so (a bound was
 * reached) is not remembered, because the caller is told to try again with the same id.
 */

import type { Failure } from '../failure.ts';
import type { Cost, Origin } from '../kernel.ts';
import { COLLECT_OPERATIONS, FINISH_OPERATIONS, Outcomes, RECORD_OPERATIONS } from '../outcomes/outcomes.ts';
import { FUTURE_BOUND_MS, isInFuture } from '../transaction-id.ts';
import { LATE_PREFIX, LOCAL_PREFIX } from './keys.ts';
import type { LockWish } from './locks.ts';
import type { PartitionState } from './state.ts';
import type { CommandOf, LocalRecord, ParticipantReply, ResourceTypes } from './types.ts';
import type { LockWaits, Waiter } from './waits.ts';

/** A remembered refusal leaves out a detail that is larger. */
const DETAIL_BYTES = 2048;
/** Bounds of an outcome record, with a refusal and without. */
const REFUSAL_BYTES = 16_384;
const OUTCOME_BYTES = 400;
const COLLECT_BYTES = 200;

class Local<T extends ResourceTypes> implements Waiter<T> {
  private readonly locals: Locals<T>;
  readonly transactionId: string;
  readonly firstTryMs: number;
  readonly fingerprint: string;
  readonly operations: readonly T['operation'][];
  readonly wishes: readonly LockWish[];
  origins: Origin[];
  ticket = 0;
  waitingSinceMs = 0;
  dueMs = 0;
  timerIndex = -1;

  constructor(locals: Locals<T>, command: CommandOf<'local', T>, wishes: readonly LockWish[]) {
    this.locals = locals;
    this.transactionId = command.transactionId;
    this.firstTryMs = command.firstTryMs;
    this.fingerprint = command.fingerprint;
    this.operations = command.operations;
    this.wishes = wishes;
    this.origins = [command.origin];
  }

  granted(): void {
    this.locals.execute(this);
  }

  waitedOut(failure: Failure): void {
    this.locals.refuse(this, failure);
  }

  ring(): void {
    this.locals.onAlarm(this);
  }
}

export class Locals<T extends ResourceTypes> {
  readonly outcomes: Outcomes<LocalRecord>;
  private readonly state: PartitionState<T>;
  private readonly waits: LockWaits<T>;
  /** Those that wait for locks. */
  private readonly waiting = new Map<string, Local<T>>();
  private collectAtMs = 0;

  constructor(state: PartitionState<T>, waits: LockWaits<T>) {
    this.state = state;
    this.waits = waits;
    this.outcomes = new Outcomes<LocalRecord>({
      prefix: LOCAL_PREFIX,
      latePrefix: LATE_PREFIX,
      retentionMs: state.settings.retentionMs,
      sizeOf: ({ failure }) => (failure === undefined ? OUTCOME_BYTES : 2 * OUTCOME_BYTES + DETAIL_BYTES),
    });
  }

  /** The key of the outcome that must be looked up, if it must. */
  missing(transactionId: string): string | undefined {
    if (this.waiting.has(transactionId)) return undefined;
    return this.outcomes.lookup(transactionId) === 'unread' ? this.outcomes.keyOf(transactionId) : undefined;
  }

  cost(operations: readonly T['operation'][]): Cost {
    const { operations: count, bytes } = this.state.resource.localCost(operations);
    return { operations: count + RECORD_OPERATIONS + FINISH_OPERATIONS, bytes: Math.max(bytes, REFUSAL_BYTES) + OUTCOME_BYTES };
  }

  run(command: CommandOf<'local', T>): void {
    const { transactionId, origin, fingerprint } = command;
    const waiting = this.waiting.get(transactionId);
    if (waiting !== undefined) {
      if (waiting.fingerprint !== fingerprint) return this.fail(origin, reused(transactionId));
      waiting.origins.push(origin);
      return;
    }
    const { nowMs, resource } = this.state;
    const known = this.outcomes.lookup(transactionId);
    if (typeof known === 'object') {
      if (known.fingerprint !== fingerprint) return this.fail(origin, reused(transactionId));
      return this.state.out.reply(origin, replyOf(known));
    }
    if (known === 'expired') return this.fail(origin, expired(transactionId));
    if (known === 'unread') throw new Error(`local transaction ${transactionId} was stepped before its record was admitted`);
    if (isInFuture(transactionId, nowMs)) return this.fail(origin, inFuture(transactionId));
    const local = new Local<T>(this, command, resource.locks(command.operations));
    const claim = this.waits.claim(local, command.deadlineMs);
    if (claim.type === 'granted') return this.execute(local);
    if (claim.type === 'waiting') this.waiting.set(transactionId, local);
    else if (claim.failure.reason === 'OVERLOADED') this.fail(origin, claim.failure);
    else this.refuse(local, claim.failure);
  }

  /** The locks are held: commits or refuses, in this one step. */
  execute(local: Local<T>): void {
    const { resource, nowMs } = this.state;
    const evaluation = resource.evaluate(local.operations, nowMs);
    if (evaluation.type === 'effect') {
      const revision = this.state.apply(evaluation.effect, false);
      this.finish(local, { type: 'local', fingerprint: local.fingerprint, revision });
    } else {
      this.refuse(local, evaluation.failure);
    }
    this.waits.release(local);
  }

  refuse(local: Local<T>, failure: Failure): void {
    this.state.countRefusal(failure);
    if (this.state.bugs.has('local-refusal-forgotten')) {
      this.waiting.delete(local.transactionId);
      for (const origin of local.origins) this.fail(origin, failure);
      return;
    }
    this.finish(local, { type: 'local', fingerprint: local.fingerprint, failure });
  }

  onAlarm(local: Local<T>): void {
    this.waits.expire(local);
  }

  cancel(target: Origin): void {
    for (const local of this.waiting.values()) local.origins = local.origins.filter((origin) => origin !== target);
  }

  /** When the next collection is worth a try; undefined: there is nothing to collect. */
  get collectDueMs(): number | undefined {
    return this.outcomes.collectable ? this.collectAtMs : undefined;
  }

  get collectCost(): Cost {
    return { operations: COLLECT_OPERATIONS, bytes: COLLECT_OPERATIONS * COLLECT_BYTES };
  }

  collect(): void {
    const { nowMs, out } = this.state;
    const more = this.outcomes.collect(nowMs, this.waiting.keys(), out);
    this.collectAtMs = more ? nowMs : nowMs + this.outcomes.collectEveryMs;
  }

  private finish(local: Local<T>, outcome: LocalRecord): void {
    const { out, nowMs } = this.state;
    this.waiting.delete(local.transactionId);
    this.outcomes.record(local.transactionId, trimmed(outcome), out);
    this.outcomes.finish(local.transactionId, nowMs, out);
    this.state.progressChanged = true;
    const reply = replyOf<T>(outcome);
    for (const origin of local.origins) out.reply(origin, reply);
  }

  private fail(origin: Origin, failure: Failure): void {
    this.state.out.reply(origin, { type: 'failure', failure });
  }
}

function replyOf<T extends ResourceTypes>({ failure, revision }: LocalRecord): ParticipantReply<T> {
  return failure !== undefined ? { type: 'failure', failure } : { type: 'done', revision: revision! };
}

function trimmed(outcome: LocalRecord): LocalRecord {
  const { failure } = outcome;
  if (failure?.detail === undefined || failure.detail.value.length <= DETAIL_BYTES) return outcome;
  return { ...outcome, failure: { ...failure, detail: undefined } };
}

function reused(id: string): Failure {
  return {
    reason: 'TRANSACTION_ID_REUSED',
    message: `transaction id ${id} was used with other content; use a new id for a new transaction`,
  };
}

function expired(id: string): Failure {
  return {
    reason: 'TRANSACTION_EXPIRED',
    message: `transaction id ${id} is older than the outcomes that are kept, so it can't be known whether it was used`,
  };
}

function inFuture(id: string): Failure {
  return {
    reason: 'TRANSACTION_ID_IN_FUTURE',
    message: `the time of transaction id ${id} is more than ${FUTURE_BOUND_MS} ms in the future; check the client's clock`,
  };
}
