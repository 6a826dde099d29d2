/** The vocabulary of the coordinator's kernel: what happens to it, what it stores, answers and sends. */

import type { Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { BranchId, Heuristic, Mark, OpaqueOperation, ToCoordinator, ToParticipant } from '../messages.ts';
import type { LateRecord } from '../outcomes/outcomes.ts';
import type { CoordinatorTally } from './tally.ts';

/** How a transaction is carried out. The rules of each are in modes.ts. */
export type Mode = 'two-phase-commit';

// Commands

/** All operations of a transaction at one partition of one participant. */
export interface BranchRequest {
  readonly participant: string;
  readonly partition: number;
  /** Only reads: validated after every writing branch has voted yes (invariant T11). */
  readonly readOnly: boolean;
  readonly operations: readonly OpaqueOperation[];
}

/** Carries out a transaction in one call. Replies 'transaction', without branches. */
export interface Execute {
  readonly type: 'execute';
  readonly origin: Origin;
  readonly transactionId: string;
  /** Hash of the canonical content: the same id with another one is refused (invariant T10). */
  readonly fingerprint: string;
  readonly mode: Mode;
  /** At least one, at most {@link MAX_BRANCHES}, each participant's partition once. */
  readonly branches: readonly BranchRequest[];
  /** Age in lock conflicts, milliseconds since 1970. */
  readonly firstTryMs: number;
  /** Wall time until which it may stay undecided, milliseconds since 1970. */
  readonly deadlineMs: number;
  /** W3C traceparent, handed on with every message. */
  readonly trace?: string;
}

/** Starts an interactive transaction; again for the same id: the same attempt. Replies 'begun'. */
export interface Begin {
  readonly type: 'begin';
  readonly origin: Origin;
  readonly transactionId: string;
  readonly mode: Mode;
  readonly firstTryMs: number;
  readonly deadlineMs: number;
  readonly trace?: string;
}

export type Command =
  | Execute
  | Begin
  /** Prepares and decides an interactive transaction. Replies 'transaction', without branches. */
  | {
      readonly type: 'commit';
      readonly origin: Origin;
      readonly transactionId: string;
      /** The one that 'begun' told. */
      readonly attempt: Attempt;
      readonly trace?: string;
    }
  /** Replies 'transaction' with branches, once an outcome is durable. */
  | { readonly type: 'abort'; readonly origin: Origin; readonly transactionId: string }
  /** Replies 'transaction' with branches. */
  | { readonly type: 'get'; readonly origin: Origin; readonly transactionId: string }
  /**
   * Unfinished transactions in the order of their ids. Replies 'transactions'. The finished ones are in
   * the store: {@link recordView} of every record whose id is not among the unfinished.
   */
  | {
      readonly type: 'list-active';
      readonly origin: Origin;
      /** Only ids above it; '' for all. */
      readonly afterId: string;
      readonly limit: number;
    }
  /** Sends again what unfinished branches have not answered. Replies 'transaction' with branches. */
  | { readonly type: 'retry'; readonly origin: Origin; readonly transactionId: string }
  /** The unary form of the message. Replies 'inquiry'. */
  | { readonly type: 'inquire'; readonly origin: Origin; readonly branch: BranchId }
  /** The unary form of the message. Replies 'enlisted'. */
  | { readonly type: 'enlist'; readonly origin: Origin; readonly branch: BranchId; readonly epoch: number }
  | { readonly type: 'message'; readonly message: ToCoordinator }
  | { readonly type: 'tick' }
  /** The kernel's own: the transaction's deadline has passed. */
  | { readonly type: 'expire'; readonly transactionId: string; readonly attempt: Attempt };

// Answers

export type TransactionState = 'ACTIVE' | 'PREPARING' | 'COMMITTING' | 'COMMITTED' | 'ABORTED';

export type BranchState = 'ENLISTED' | 'PREPARING' | 'PREPARED' | 'COMPLETING' | 'COMPLETED' | 'REFUSED';

export interface BranchView {
  readonly participant: string;
  readonly partition: number;
  readonly state: BranchState;
  readonly readOnly: boolean;
  /** How often the message that is waited for was sent. */
  readonly tries: number;
  readonly lastError?: Failure;
  /** Wall time, milliseconds since 1970. Absent if none is due. */
  readonly nextTryMs?: number;
  readonly heuristic?: Heuristic;
}

export interface TransactionView {
  readonly transactionId: string;
  readonly state: TransactionState;
  readonly mode: Mode;
  /** The current one, or the one that was decided; absent where an id was aborted that had none. */
  readonly attempt?: Attempt;
  readonly branches: readonly BranchView[];
  readonly cause?: Failure;
  /** Wall time, milliseconds since 1970. Absent before the decision. */
  readonly decideMs?: number;
  readonly mixed: boolean;
}

/** What an attempt's branch is to do; 'pending': keep the promise and ask again. */
export type InquiryOutcome = 'committed' | 'aborted' | 'pending';

export type Reply =
  | { readonly type: 'transaction'; readonly transaction: TransactionView }
  | { readonly type: 'transactions'; readonly transactions: readonly TransactionView[] }
  | { readonly type: 'begun'; readonly transactionId: string; readonly attempt: Attempt }
  | { readonly type: 'inquiry'; readonly outcome: InquiryOutcome }
  | { readonly type: 'enlisted' }
  | { readonly type: 'failure'; readonly failure: Failure };

export type Message =
  | { readonly to: 'participant'; readonly message: ToParticipant }
  /** A changed low-water mark; a lost one is made good by the next (invariant T7). */
  | { readonly to: 'everybody'; readonly mark: Mark };

/** What watchers are told, while {@link CoordinatorKernel.watched}. */
export interface TransactionEvent {
  readonly type: 'request' | 'acknowledge' | 'commit' | 'fail';
  readonly transaction: TransactionView;
  /** The branch that voted or acknowledged. */
  readonly branch?: BranchView;
  readonly timeMs: number;
  /** Number of the log record that holds the decision; for other events of the one being filled. */
  readonly sequence: number;
}

// Records

export interface BranchRecord {
  readonly participant: string;
  readonly partition: number;
  /** Holds nothing and needs no outcome. */
  readonly readOnly: boolean;
  readonly heuristic?: Heuristic;
}

/** At `transaction/<id>`: a durable outcome (invariants T1, T2). */
export interface TransactionRecord {
  readonly type: 'transaction';
  readonly mode: Mode;
  readonly outcome: 'commit' | 'abort';
  /** Absent where an id was aborted that had none. */
  readonly attempt?: Attempt;
  /** Of a one-shot transaction; {@link INTERACTIVE} of an interactive one; absent if never known. */
  readonly fingerprint?: string;
  readonly branches: readonly BranchRecord[];
  readonly cause?: Failure;
  readonly decideMs: number;
  /** Branches ended differently because one was forced (invariant T14). */
  readonly mixed: boolean;
}

export interface Decision {
  readonly transactionId: string;
  readonly outcome: 'commit' | 'abort';
  readonly attempt?: Attempt;
}

/** At `log/<sequence>`: what one batch decided, for replay to watchers and for recovery. */
export interface LogRecord {
  readonly type: 'log';
  readonly timeMs: number;
  readonly decisions: readonly Decision[];
}

/** At `progress`: how far the log is done with, and the watermarks of the outcomes. */
export interface ProgressRecord {
  readonly type: 'progress';
  /** Commits of log records up to this one are acknowledged by every branch, or have an open record. */
  readonly finishedThrough: number;
  readonly floor: string;
  readonly highestId: string;
}

/** At `open/<id>`: a commit that is still not acknowledged while the log goes on without it. */
export interface OpenRecord {
  readonly type: 'open';
}

export type Stored = TransactionRecord | LogRecord | ProgressRecord | OpenRecord | LateRecord;

/** In place of a fingerprint: an interactive transaction has no content to compare. */
export const INTERACTIVE = 'interactive';

/** Most branches of one transaction. */
export const MAX_BRANCHES = 128;

// Settings

export interface CoordinatorSettings {
  /** Sequence numbers of the log are above it (invariant P10). Default 0. */
  readonly numbersAbove?: number;
  /** This coordinator partition's number. */
  readonly partition: number;
  /** How long outcomes are kept, milliseconds. Default 15 minutes. */
  readonly retentionMs?: number;
  /** Most unfinished transactions; more are refused as OVERLOADED. Default 20,000. */
  readonly transactionLimit?: number;
  /** Bound of the cache of recent outcomes, bytes. */
  readonly cacheBytes?: number;
  /** Absent: nobody counts. */
  readonly tally?: CoordinatorTally;
}
