/**
 * Deliberate bugs, each switched on at the spot where its invariant is upheld, to prove that the
 * simulation's checkers see. Never set outside of the simulation.
 */
export type ParticipantBug =
  /** T5: any attempt's prepare is answered for the one that is held. */
  | 'attempt-ignored-in-prepare'
  /** K2: a new leader does not take the prepared branches' locks. */
  | 'locks-dropped-at-restart'
  /** K4: checks take no lock. */
  | 'validation-ignores-lock'
  /** K5: a linearizable read does not wait. */
  | 'read-ignores-lock'
  /** K3: the last waiter is granted first. */
  | 'waiters-out-of-order'
  /** K6: the refusal of a local transaction is not remembered. */
  | 'local-refusal-forgotten'
  /** T13: votes yes although the work was lost. */
  | 'prepare-without-workspace'
  /** T7: a committed branch is forgotten at once, whatever the mark. */
  | 'forget-below-no-mark'
  /** T12: a branch that still waits goes with its pack. */
  | 'waiting-left-in-pack';
