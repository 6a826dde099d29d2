/**
 * Deliberate bugs. They exist only to prove that the simulation's checkers see what they claim to
 * see: a test switches one on and the simulation must find it. Nothing else may ever set them.
 */
export type CoordinatorBug =
  /** T6: an inquiry about another attempt is answered with the outcome of the decided one. */
  | 'attempt-ignored-in-inquiry'
  /** P5: an epoch above its own does not make a leader step down. */
  | 'later-epoch-ignored'
  /** T11: read-only branches are validated together with the writing ones. */
  | 'read-only-with-writers'
  /** T8: outcomes are collected although branches have not acknowledged. */
  | 'collect-before-acknowledged'
  /** T9: an id at or below the floor is executed as if it were new. */
  | 'expired-id-executed'
  /** T2: a client is told ABORTED without a record. */
  | 'abort-not-durable';

export type CoordinatorBugs = ReadonlySet<CoordinatorBug>;

export const NO_BUGS: CoordinatorBugs = new Set();
