/**
 * Vocabulary of a participant partition: what may happen to it, what it answers, sends and stores.
 * Nothing here knows what is written; {@link ResourceTypes} stands for that.
 */

import type { Attempt } from '../attempt.ts';
import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { BranchId, Heuristic, Mark, ToCoordinator, ToParticipant, Vote } from '../messages.ts';
import type { LateRecord, Watermarks } from '../outcomes/outcomes.ts';

/** The types that a resource (key-value, queue, counter) brings along. */
export interface ResourceTypes {
  /** One operation of a branch, decoded and validated in form. */
  readonly operation: unknown;
  /** What a prepared branch will do, exactly, when it commits (invariant K7), and what it holds till then. Durable. */
  readonly effect: unknown;
  /** What can be read. */
  readonly query: unknown;
  readonly answer: unknown;
  /** What else may be asked for, outside of transactions: to publish, to pull, to add; `never` if nothing. */
  readonly request: unknown;
  readonly response: unknown;
  /** The resource's own durable records; `type` is none of {@link ProtocolRecord}'s. */
  readonly record: { readonly type: string };
}

/** What may happen to a participant partition. */
export type ParticipantCommand<T extends ResourceTypes = ResourceTypes> =
  /** From a coordinator. With an origin (the unary contract) it is answered instead of a message being sent. */
  | { readonly type: 'message'; readonly message: ToParticipant<T['operation']>; readonly origin?: Origin }
  /** A coordinator partition's low-water mark was heard. */
  | ({ readonly type: 'mark' } & Mark)
  /** A local transaction: no coordinator, one write. Answers `done` or `failure`. */
  | {
      readonly type: 'local';
      readonly origin?: Origin;
      readonly transactionId: string;
      /** Of the content, canonically encoded (invariant T10). */
      readonly fingerprint: string;
      readonly operations: readonly T['operation'][];
      /** Age in lock conflicts, milliseconds since 1970. */
      readonly firstTryMs: number;
      /** Wall time until which locks may be waited for. */
      readonly deadlineMs: number;
    }
  /** Answers `read` or `failure`. */
  | {
      readonly type: 'read';
      readonly origin: Origin;
      readonly query: T['query'];
      readonly consistency: 'linearizable' | 'eventual';
      readonly deadlineMs: number;
      /** Within an interactive transaction: the branch under the attempt that Begin returned. */
      readonly workspace?: BranchId;
    }
  /** Stages operations of an interactive transaction. Answers `done` with revision 0, or `failure`. */
  | {
      readonly type: 'work';
      readonly origin: Origin;
      /** Under the attempt that Begin returned. */
      readonly branch: BranchId;
      readonly operations: readonly T['operation'][];
      readonly deadlineMs: number;
    }
  /** An operator forces an outcome (invariant T14). Answers `resolved` or `failure`. */
  | {
      readonly type: 'resolve';
      readonly origin: Origin;
      readonly transactionId: string;
      /** Absent: whichever is prepared. */
      readonly attempt?: Attempt;
      readonly outcome: Heuristic;
    }
  /** Answers `prepared`, in the order of the transaction ids. */
  | { readonly type: 'listPrepared'; readonly origin: Origin; readonly after?: string; readonly limit: number }
  /** Work of the resource's own, outside of transactions. Answers `response` or `failure`. */
  | { readonly type: 'request'; readonly origin?: Origin; readonly request: T['request'] }
  /** The caller of a read, work, request or local transaction is gone: nobody is to be answered. */
  | { readonly type: 'cancel'; readonly target: Origin }
  | { readonly type: 'tick' }
  /** Of the kernel's own making: a lock request was granted, or has waited as long as it may. */
  | { readonly type: 'granted' | 'waitedOut'; readonly ticket: number }
  /** Of the kernel's own making: the resource removes what nobody needs. */
  | { readonly type: 'upkeep' }
  /** The term is handed over: requests that only wait are answered. */
  | { readonly type: 'retire' }
  /** Of the kernel's own making: the resource has work that is due. */
  | { readonly type: 'due' }
  /** Of the kernel's own making: a read has nothing to wait for any more. */
  | { readonly type: 'answerRead'; readonly ticket: number };

export type CommandOf<Type extends ParticipantCommand['type'], T extends ResourceTypes = ResourceTypes> = Extract<
  ParticipantCommand<T>,
  { readonly type: Type }
>;

/** A branch that waits for its outcome, or whose forced outcome the coordinator has not recorded. */
export interface PreparedBranch {
  readonly branch: BranchId;
  readonly prepareMs: number;
  /** How often the coordinator was asked in this term, and when it will be next. */
  readonly inquiries: number;
  readonly nextInquiryMs: number;
  readonly heuristic?: Heuristic;
  readonly trace?: string;
}

export type ParticipantReply<T extends ResourceTypes = ResourceTypes> =
  | { readonly type: 'read'; readonly answer: T['answer']; readonly revision: number }
  /** The partition's revision after the change; 0 where nothing is changed yet. */
  | { readonly type: 'done'; readonly revision: number }
  | { readonly type: 'response'; readonly response: T['response'] }
  | { readonly type: 'failure'; readonly failure: Failure }
  | { readonly type: 'vote'; readonly vote: Vote; readonly cause?: Failure }
  | { readonly type: 'acknowledged'; readonly heuristic?: Heuristic }
  | { readonly type: 'resolved'; readonly outcome: Heuristic }
  /** `next`: `after` of the next page, if there is one. */
  | { readonly type: 'prepared'; readonly branches: readonly PreparedBranch[]; readonly next?: string };

export interface ParticipantMessage {
  readonly to: 'coordinator';
  readonly message: ToCoordinator;
}

/**
 * The promise of a yes. Most are in the {@link PreparedRecord} of their batch; under
 * `branch/<coordinator partition>/<attempt>` is what is large, was forced, or outlives its pack.
 */
export interface BranchRecord<Effect> {
  readonly type: 'branch';
  readonly transactionId: string;
  readonly attempt: Attempt;
  readonly coordinatorPartition: number;
  readonly firstTryMs: number;
  readonly prepareMs: number;
  /** Epoch of this partition at prepare. */
  readonly epoch: number;
  readonly trace?: string;
  /** Absent once an outcome was forced: what it wrote is written. */
  readonly effect?: Effect;
  readonly heuristic?: Heuristic;
}

/** Under `prepared/<sequence>`: the promises of one batch. */
export interface PreparedRecord<Effect> {
  readonly type: 'prepared';
  readonly sequence: number;
  readonly branches: readonly BranchRecord<Effect>[];
}

/** How an attempt ended here. */
export interface EndedBranch {
  readonly coordinatorPartition: number;
  readonly attempt: Attempt;
  readonly outcome: 'committed' | 'aborted';
  readonly heuristic?: Heuristic;
}

/** Under `done/<sequence>`: the branches that ended in one batch. */
export interface DoneRecord {
  readonly type: 'done';
  readonly sequence: number;
  readonly ended: readonly EndedBranch[];
}

/** Under `progress`. */
export interface ProgressRecord {
  readonly type: 'progress';
  /** The highest version given out (invariant K1). */
  readonly revision: number;
  /** Of the next done record. */
  readonly doneSequence: number;
  /** Stored no later than what they permit to forget (invariant T7), by coordinator partition. */
  readonly marks: readonly Mark[];
  /** Of the local transactions' outcomes (invariant T9). */
  readonly locals: Watermarks;
}

/** Under `local/<id>`: the outcome of a local transaction, a refusal too (invariant K6). */
export interface LocalRecord {
  readonly type: 'local';
  readonly fingerprint: string;
  /** The partition's revision after it; absent if it was refused. */
  readonly revision?: number;
  readonly failure?: Failure;
}

/** Records of the branch protocol and of local transactions. */
export type ProtocolRecord<Effect> = BranchRecord<Effect> | PreparedRecord<Effect> | DoneRecord | ProgressRecord | LocalRecord | LateRecord;

export type ParticipantRecord<T extends ResourceTypes> = ProtocolRecord<T['effect']> | T['record'];

export interface ParticipantSettings {
  /** Name of the participant and number of the partition, as in branch ids. */
  readonly participant: string;
  readonly partition: number;
  /** Longest wait for a lock, milliseconds. */
  readonly lockWaitMs: number;
  /** Most lock requests that may wait. */
  readonly maxLockWaiters: number;
  /** Most locks that may be held. */
  readonly maxLocks: number;
  /** Most reads that may wait for an outcome. */
  readonly maxWaitingReads: number;
  /** Most branches that may be prepared. */
  readonly maxPrepared: number;
  /** Workspaces: how many, how many bytes of operations in all, and how long they live, milliseconds. */
  readonly maxWorkspaces: number;
  readonly maxWorkspaceBytes: number;
  readonly workspaceLifetimeMs: number;
  /** Delays between inquiries, milliseconds: the first, the cap, and the least when somebody waits. */
  readonly inquiryDelayMs: number;
  readonly inquiryCapMs: number;
  readonly urgentInquiryMs: number;
  /** Most time between two removals of ended branches, milliseconds, and how many end meanwhile at most. */
  readonly forgetIntervalMs: number;
  readonly forgetCount: number;
  /** How long outcomes of local transactions are kept, milliseconds. */
  readonly retentionMs: number;
  /** Revisions are above it (invariant P10). */
  readonly numbersAbove: number;
}

export const DEFAULT_SETTINGS: Omit<ParticipantSettings, 'participant' | 'partition'> = {
  lockWaitMs: 5_000,
  maxLockWaiters: 4_096,
  maxLocks: 200_000,
  maxWaitingReads: 4_096,
  maxPrepared: 50_000,
  maxWorkspaces: 10_000,
  maxWorkspaceBytes: 64 * 1024 * 1024,
  workspaceLifetimeMs: 60_000,
  inquiryDelayMs: 1_000,
  inquiryCapMs: 30_000,
  urgentInquiryMs: 100,
  forgetIntervalMs: 1_000,
  forgetCount: 4_096,
  retentionMs: 15 * 60_000,
  numbersAbove: 0,
};
