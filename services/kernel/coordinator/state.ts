import type { Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Origin, Output, StepInput } from '../kernel.ts';
import type { BranchId, ToParticipant } from '../messages.ts';
import { Outcomes } from '../outcomes/outcomes.ts';
import { Timers } from '../timers.ts';
import type { CoordinatorBugs } from './bugs.ts';
import { Journal } from './journal.ts';
import { recordSize } from './records.ts';
import type { CoordinatorTally } from './tally.ts';
import { type Branch, type Transaction, viewBranch, viewTransaction } from './transaction.ts';
import type {
  Command,
  CoordinatorSettings,
  Message,
  Reply,
  Stored,
  TransactionEvent,
  TransactionRecord,
  TransactionView,
} from './types.ts';

export type Out = Output<Command, Stored, Reply, Message>;

export const TRANSACTION_PREFIX = 'transaction/';
export const LATE_PREFIX = 'late/';
const DEFAULT_RETENTION_MS = 15 * 60_000;
export const DEFAULT_TRANSACTION_LIMIT = 20_000;

/** Everything that one coordinator partition knows; the files beside this one act on it. */
export class CoordinatorState {
  readonly partition: number;
  readonly retentionMs: number;
  readonly transactionLimit: number;
  readonly bugs: CoordinatorBugs;
  readonly tally: CoordinatorTally | undefined;
  readonly outcomes: Outcomes<TransactionRecord>;
  readonly journal: Journal;
  /** Every transaction that is not finished. */
  readonly underway = new Map<string, Transaction>();
  /** Those that are preparing or validating, the lowest attempt first (invariant T7). */
  readonly preparing = new Set<Transaction>();
  /** Deadlines and retries, one timer for each transaction. */
  readonly timers = new Timers<Transaction>();
  watched = false;
  epoch = 0;
  private counter = 0;
  private jitters = 0;

  constructor(settings: CoordinatorSettings, bugs: CoordinatorBugs) {
    this.partition = settings.partition;
    this.retentionMs = settings.retentionMs ?? DEFAULT_RETENTION_MS;
    this.transactionLimit = settings.transactionLimit ?? DEFAULT_TRANSACTION_LIMIT;
    this.bugs = bugs;
    this.journal = new Journal(settings.numbersAbove ?? 0);
    this.tally = settings.tally;
    this.outcomes = new Outcomes({
      prefix: TRANSACTION_PREFIX,
      latePrefix: LATE_PREFIX,
      retentionMs: this.retentionMs,
      sizeOf: recordSize,
      cacheBytes: settings.cacheBytes,
      expiredCountsAsAbsent: bugs.has('expired-id-executed'),
    });
  }

  /** A new start of a transaction (invariant T5). */
  newAttempt(): Attempt {
    return { epoch: this.epoch, counter: ++this.counter };
  }

  /** The lowest attempt that is still preparing, or the next one (invariant T7). */
  get lowWaterMark(): Attempt {
    for (const transaction of this.preparing) return transaction.attempt;
    return { epoch: this.epoch, counter: this.counter + 1 };
  }

  branchId(transactionId: string, attempt: Attempt, participant: string, partition: number): BranchId {
    return { transactionId, attempt, coordinatorPartition: this.partition, participant, partition };
  }

  /** In [0, 1), another one each time although a step has only one entropy. */
  jitter(input: StepInput): number {
    return (input.entropy + ++this.jitters * 0.618_033_988_75) % 1;
  }

  /** Ids whose records must not be collected (invariant T8). */
  *pinned(): Generator<string> {
    const ignoresCommitting = this.bugs.has('collect-before-acknowledged');
    for (const [id, { phase }] of this.underway) if (!(ignoresCommitting && phase === 'committing')) yield id;
  }
}

export function send(out: Out, message: ToParticipant): void {
  out.send({ to: 'participant', message });
}

export function replyFailure(out: Out, origin: Origin, failure: Failure): void {
  out.reply(origin, { type: 'failure', failure });
}

export function replyTransaction(out: Out, origin: Origin, transaction: TransactionView): void {
  out.reply(origin, { type: 'transaction', transaction });
}

/** Tells watchers, if there are any, what happened to a transaction that is under way. */
export function emit(
  state: CoordinatorState,
  type: TransactionEvent['type'],
  transaction: Transaction,
  branch: Branch | undefined,
  input: StepInput,
  out: Out,
): void {
  if (!state.watched) return;
  emitView(state, type, viewTransaction(transaction), input, out, branch);
}

export function emitView(
  state: CoordinatorState,
  type: TransactionEvent['type'],
  transaction: TransactionView,
  input: StepInput,
  out: Out,
  branch?: Branch,
): void {
  if (!state.watched) return;
  const event: TransactionEvent = {
    type,
    transaction,
    branch: branch && viewBranch(branch),
    timeMs: input.nowMs,
    sequence: state.journal.sequence,
  };
  out.emit(event);
}
