/** Told of what a participant partition does, to be counted: nothing here depends on who counts. */

import type { Reason } from '../failure.ts';
import type { Heuristic } from '../messages.ts';

/** Refusals that come of what others do or have done, so that trying again is worth it, or of a bound. */
export const CONFLICTS: ReadonlySet<Reason> = new Set<Reason>([
  'LOCK_CONFLICT',
  'LOCK_TIMEOUT',
  'PRECONDITION_FAILED',
  'MERGE_CONFLICT',
  'BOUND_EXCEEDED',
]);

export interface ParticipantTally {
  /** A branch or a local transaction was refused for one of {@link CONFLICTS}. */
  conflicted(reason: Reason): void;
  /** An operator has forced an outcome on a prepared branch. */
  forced(outcome: Heuristic): void;
  /** A request has stood in line for its locks, in vain or not, milliseconds. */
  waited(durationMs: number): void;
}

/** What is under way at a partition. */
export interface ParticipantSurvey {
  /** Branches that are prepared and wait for their outcome. */
  readonly prepared: number;
  /** When the oldest of them was prepared, wall time in milliseconds. */
  readonly oldestPrepareMs: number | undefined;
  /** Requests that stand in line for locks. */
  readonly waiting: number;
}
