/** What coordinator partitions and participant partitions say to each other. */

import type { Attempt } from './attempt.ts';
import type { Failure } from './failure.ts';

/** Names one attempt of one branch. */
export interface BranchId {
  readonly transactionId: string;
  readonly attempt: Attempt;
  readonly coordinatorPartition: number;
  readonly participant: string;
  readonly partition: number;
}

/** An operation that only its participant understands (google.protobuf.Any). */
export interface OpaqueOperation {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export type Heuristic = 'commit' | 'abort';

/** `Operation` is opaque where the coordinator sends and decoded where the participant receives. */
export interface Prepare<Operation = OpaqueOperation> {
  readonly type: 'prepare';
  readonly branch: BranchId;
  readonly operations: readonly Operation[];
  /** Age in lock conflicts, milliseconds since 1970. */
  readonly firstTryMs: number;
  /** Wall time of the receiver until which it may wait for locks. */
  readonly deadlineMs: number;
  /** Only validate: hold nothing, expect no outcome. */
  readonly readOnly: boolean;
  /** Of an interactive transaction: the attempt that its work was sent under, and the epoch. */
  readonly workspace?: { readonly attempt: Attempt; readonly epoch: number };
  readonly trace?: string;
}

export type ToParticipant<Operation = OpaqueOperation> =
  | Prepare<Operation>
  | { readonly type: 'commit'; readonly branch: BranchId; readonly trace?: string }
  | { readonly type: 'abort'; readonly branch: BranchId; readonly trace?: string }
  | { readonly type: 'pending'; readonly branch: BranchId }
  /** The forced outcome that the branch reported is recorded durably: it may be forgotten. */
  | { readonly type: 'forget'; readonly branch: BranchId }
  | { readonly type: 'enlistAnswer'; readonly branch: BranchId; readonly refusal?: Failure };

export type Vote = 'yes' | 'no' | 'readOnly';

export type ToCoordinator =
  | { readonly type: 'vote'; readonly branch: BranchId; readonly vote: Vote; readonly cause?: Failure }
  | { readonly type: 'acknowledge'; readonly branch: BranchId; readonly heuristic?: Heuristic }
  | { readonly type: 'inquire'; readonly branch: BranchId }
  | { readonly type: 'enlist'; readonly branch: BranchId; readonly epoch: number }
  /** The message to this branch could not be delivered; it was surely not executed. */
  | { readonly type: 'undelivered'; readonly branch: BranchId; readonly failure: Failure };

/** What a coordinator partition tells everybody: attempts below are never prepared again. */
export interface Mark {
  readonly coordinatorPartition: number;
  readonly lowWaterMark: Attempt;
}
