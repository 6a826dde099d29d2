/** Told of what a coordinator partition does, to be counted: nothing here depends on who counts. */

import type { Reason } from '../failure.ts';

/**
 * What an abort counts as: its reason; or, of a timeout that is its caller's own doing, `left` (it was begun, and
 * nobody asked to commit it in time) or `short_timeout` (it had too little time to be decided, and nothing failed).
 */
export type AbortLabel = Reason | 'left' | 'short_timeout';

export interface CoordinatorTally {
  /** An outcome is decided; durable with the batch. */
  committed(): void;
  aborted(as: AbortLabel): void;
  /** From the first prepare to the decision, milliseconds. */
  prepared(durationMs: number): void;
  /** From the decision to the last acknowledgement, milliseconds. */
  completed(durationMs: number): void;
}

/** What is under way at a partition. */
export interface CoordinatorSurvey {
  /** Interactive transactions whose participants are working. */
  readonly active: number;
  readonly preparing: number;
  readonly committing: number;
  /** When the oldest commit that is not acknowledged by all was decided, wall time in milliseconds. */
  readonly oldestDecideMs: number | undefined;
}
