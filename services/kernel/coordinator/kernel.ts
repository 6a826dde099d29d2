/**
 * The coordinator of one partition: decides transactions, tells branches, remembers outcomes. This
 * file only dispatches; what happens is in requests.ts (clients), modes.ts and two-phase.ts (how a
 * transaction is carried out), decisions.ts, inquiries.ts and heuristics.ts (participants), journal.ts
 * and recovery.ts (what is durable). Pure: see {@link Kernel}.
 */

import type { Attempt } from '../attempt.ts';
import type { Cost, Kernel, KeyRange, StepInput } from '../kernel.ts';
import type { BranchId, ToCoordinator } from '../messages.ts';
import { type CoordinatorBugs, NO_BUGS } from './bugs.ts';
import { costOf, SEAL_COST } from './costs.ts';
import { recordHeuristic } from './heuristics.ts';
import { enlist, inquire } from './inquiries.ts';
import { MODES } from './modes.ts';
import { Recovery } from './recovery.ts';
import { abort, begin, commit, execute, expire, get, listActive, retry, wrongAttempt } from './requests.ts';
import { CoordinatorState, type Out, replyFailure, send, TRANSACTION_PREFIX } from './state.ts';
import type { CoordinatorSurvey } from './tally.ts';
import { findBranch, isOutstanding, sameAttempt } from './transaction.ts';
import type { Command, CoordinatorSettings, Message, Reply, Stored, TransactionRecord } from './types.ts';

/** Most due timers that one tick handles. */
const TIMERS_PER_TICK = 1024;
/** After a failover, commits are told again at this distance from each other, milliseconds. */
const RESUME_EVERY_MS = 0.1;
/** A clock that steps back by more than this takes the timers with it, milliseconds. */
const BACKWARD_JUMP_MS = 1000;

const NOTHING: readonly string[] = [];

export class CoordinatorKernel implements Kernel<Command, Stored, Reply, Message> {
  readonly tick: Command = { type: 'tick' };
  readonly retire = undefined;
  readonly sealCost: Cost = SEAL_COST;
  private readonly state: CoordinatorState;
  private readonly recovering: Recovery;
  private lowWaterMark: Attempt = { epoch: 0, counter: 0 };
  private nowMs = 0;
  private collectAtMs = 0;

  constructor(settings: CoordinatorSettings, bugs: CoordinatorBugs = NO_BUGS) {
    this.state = new CoordinatorState(settings, bugs);
    this.recovering = new Recovery(this.state);
  }

  /** Whether anybody watches: events are only made while it is set. The driver's side sets it. */
  get watched(): boolean {
    return this.state.watched;
  }

  set watched(watched: boolean) {
    this.state.watched = watched;
  }

  /** Number of the log record that is being filled; what is below can be read from the store. */
  get sequence(): number {
    return this.state.journal.sequence;
  }

  /** Unfinished transactions. */
  get size(): number {
    return this.state.underway.size;
  }

  /** Looks at every unfinished transaction, at most as many as the settings allow. */
  survey(): CoordinatorSurvey {
    const { underway, preparing } = this.state;
    let committing = 0;
    let oldestDecideMs: number | undefined;
    for (const { phase, record } of underway.values()) {
      if (phase !== 'committing' || record === undefined) continue;
      committing++;
      if (oldestDecideMs === undefined || record.decideMs < oldestDecideMs) oldestDecideMs = record.decideMs;
    }
    return { active: underway.size - preparing.size - committing, preparing: preparing.size, committing, oldestDecideMs };
  }

  /** The W3C traceparent that an unfinished transaction was started with. */
  traceOf(transactionId: string): string | undefined {
    return this.state.underway.get(transactionId)?.trace;
  }

  recovery(): KeyRange | readonly string[] | undefined {
    return this.recovering.next();
  }

  recover(key: string, record: Stored): void {
    this.recovering.recover(key, record);
  }

  lead(epoch: number, input: StepInput, out: Out): void {
    const { state } = this;
    state.epoch = epoch;
    this.nowMs = input.nowMs;
    let dueMs = input.nowMs;
    for (const transaction of state.underway.values()) {
      for (const branch of transaction.branches) branch.nextTryMs = dueMs;
      state.timers.set(transaction, dueMs);
      dueMs += RESUME_EVERY_MS;
    }
    this.sendMark(out);
  }

  missing(command: Command): readonly string[] {
    const id = lookedUp(command);
    if (id === undefined || this.state.underway.has(id)) return NOTHING;
    return this.state.outcomes.lookup(id) === 'unread' ? [this.state.outcomes.keyOf(id)] : NOTHING;
  }

  admit(key: string, record: Stored | undefined): void {
    if (key.startsWith(TRANSACTION_PREFIX)) this.state.outcomes.admit(key, record as TransactionRecord | undefined);
  }

  cost(command: Command): Cost {
    return costOf(this.state, command);
  }

  canWait(command: Command): boolean {
    return command.type === 'message' && command.message.type === 'acknowledge' && command.message.heuristic === undefined;
  }

  step(command: Command, input: StepInput, out: Out): void {
    const { state } = this;
    if (input.nowMs < this.nowMs - BACKWARD_JUMP_MS) this.turnBack(this.nowMs - input.nowMs);
    this.nowMs = input.nowMs;
    switch (command.type) {
      case 'execute':
        return execute(state, command, input, out);
      case 'begin':
        return begin(state, command, input, out);
      case 'commit':
        return commit(state, command, input, out);
      case 'abort':
        return abort(state, command.origin, command.transactionId, input, out);
      case 'get':
        return get(state, command.origin, command.transactionId, out);
      case 'list-active':
        return listActive(state, command.origin, command.afterId, command.limit, out);
      case 'retry':
        return retry(state, command.origin, command.transactionId, input, out);
      case 'inquire': {
        const { transactionId, attempt } = command.branch;
        // Only participants' messages are believed about epochs: with a valid lease there is no later one.
        if (attempt.epoch > state.epoch) return replyFailure(out, command.origin, wrongAttempt(transactionId, attempt));
        return out.reply(command.origin, { type: 'inquiry', outcome: inquire(state, transactionId, attempt) });
      }
      case 'enlist': {
        const refusal = enlist(state, command.branch, command.epoch, input);
        if (refusal !== undefined) return replyFailure(out, command.origin, refusal);
        return out.reply(command.origin, { type: 'enlisted' });
      }
      case 'message':
        return this.receive(command.message, input, out);
      case 'tick':
        return this.ticked(input, out);
      case 'expire':
        return expire(state, command.transactionId, command.attempt, input, out);
    }
  }

  seal(input: StepInput, out: Out): void {
    const { outcomes, journal } = this.state;
    journal.seal(outcomes.watermarks, outcomes.floorChanged, out);
    outcomes.seal(input.nowMs);
    if (!sameAttempt(this.lowWaterMark, this.state.lowWaterMark)) this.sendMark(out);
  }

  wakeAtMs(): number | undefined {
    const { timers, outcomes, journal } = this.state;
    const timerMs = timers.nextMs();
    if (!outcomes.collectable && !journal.unsettled) return timerMs;
    return timerMs === undefined ? this.collectAtMs : Math.min(timerMs, this.collectAtMs);
  }

  durableState(): unknown {
    const { outcomes, journal } = this.state;
    const hasRecord = (id: string): boolean => this.state.underway.has(id) || outcomes.lookup(id) !== 'expired';
    return { outcomes: outcomes.durableState(), journal: journal.durableState(hasRecord) };
  }

  private receive(message: ToCoordinator, input: StepInput, out: Out): void {
    const { state } = this;
    const { branch: id } = message;
    if (id.attempt.epoch > state.epoch && !state.bugs.has('later-epoch-ignored')) {
      out.stepDown(`participant ${id.participant} holds an attempt of epoch ${id.attempt.epoch}, above ${state.epoch}`);
      return;
    }
    switch (message.type) {
      case 'inquire':
        return answerInquiry(state, id, out);
      case 'enlist':
        return send(out, { type: 'enlistAnswer', branch: id, refusal: enlist(state, id, message.epoch, input) });
      case 'acknowledge':
        if (message.heuristic !== undefined) return recordHeuristic(state, id, message.heuristic, input, out);
        break;
      case 'vote':
      case 'undelivered':
        break;
    }
    // What is left answers the message that an outstanding branch of the current attempt was sent last (T5).
    const transaction = state.underway.get(id.transactionId);
    if (transaction === undefined || !sameAttempt(transaction.attempt, id.attempt)) return;
    const branch = findBranch(transaction, id.participant, id.partition);
    if (branch === undefined || !isOutstanding(branch)) return;
    const rules = MODES[transaction.mode];
    const decided = transaction.phase === 'committing';
    if (message.type === 'undelivered') rules.undelivered(state, transaction, branch, message.failure, input);
    else if (message.type === 'acknowledge' && decided) rules.acknowledge(state, transaction, branch, input, out);
    else if (message.type === 'vote' && !decided) {
      rules.vote(state, transaction, branch, message.vote, message.cause, input, out);
    }
  }

  private ticked(input: StepInput, out: Out): void {
    const { state } = this;
    for (let handled = 0; handled < TIMERS_PER_TICK; handled++) {
      const transaction = state.timers.takeDue(input.nowMs);
      if (transaction === undefined) break;
      if (transaction.phase !== 'committing' && transaction.deadlineMs <= input.nowMs) {
        out.follow({ type: 'expire', transactionId: transaction.id, attempt: transaction.attempt });
      } else MODES[transaction.mode].retry(state, transaction, false, input, out);
    }
    if (input.nowMs >= this.collectAtMs) this.collect(input.nowMs, out);
  }

  private collect(nowMs: number, out: Out): void {
    const { outcomes, journal, underway, retentionMs } = this.state;
    const stuck = journal.openStuck((id) => underway.get(id), nowMs, out);
    const more = outcomes.collect(nowMs, this.state.pinned(), out);
    journal.compact(nowMs, retentionMs, out);
    journal.noteProgress();
    this.collectAtMs = stuck || more ? nowMs : nowMs + outcomes.collectEveryMs;
  }

  private sendMark(out: Out): void {
    this.lowWaterMark = this.state.lowWaterMark;
    out.send({ to: 'everybody', mark: { coordinatorPartition: this.state.partition, lowWaterMark: this.lowWaterMark } });
  }

  /** The wall clock went back: what was so long from now still is. */
  private turnBack(byMs: number): void {
    this.collectAtMs -= byMs;
    this.state.timers.shift(-byMs);
    for (const transaction of this.state.underway.values()) {
      transaction.deadlineMs -= byMs;
      if (transaction.prepareMs !== undefined) transaction.prepareMs -= byMs;
      for (const branch of transaction.branches) branch.nextTryMs -= byMs;
    }
  }
}

function answerInquiry(state: CoordinatorState, branch: BranchId, out: Out): void {
  const outcome = inquire(state, branch.transactionId, branch.attempt);
  const type = outcome === 'committed' ? 'commit' : outcome === 'aborted' ? 'abort' : 'pending';
  send(out, { type, branch });
}

/** The id whose outcome a command may have to know. */
function lookedUp(command: Command): string | undefined {
  switch (command.type) {
    case 'execute':
    case 'begin':
    case 'commit':
    case 'abort':
    case 'get':
    case 'retry':
      return command.transactionId;
    case 'inquire':
    case 'enlist':
      return command.branch.transactionId;
    case 'message': {
      const { message } = command;
      const asks = message.type === 'inquire' || message.type === 'enlist' || (message.type === 'acknowledge' && message.heuristic !== undefined);
      return asks ? message.branch.transactionId : undefined;
    }
    case 'list-active':
    case 'tick':
    case 'expire':
      return undefined;
  }
}
