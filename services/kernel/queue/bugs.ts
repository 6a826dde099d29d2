/**
 * Deliberate bugs, each switched on at the spot where its invariant is upheld, to prove that the
 * simulation's checkers see. Never set outside of the simulation.
 */
export type QueueBug =
  /** Q9: deadlines, negative acknowledgements, limits and seeks touch a message that a prepared transaction acknowledges. */
  | 'staged-message-touched'
  /** Q8: two transactions may both acknowledge one message. */
  | 'double-ack'
  /** Q7: a direct publish does not wait for an ordering key that a prepared transaction holds. */
  | 'publish-overtakes'
  /** Q5: after a failover nobody wakes up for the messages that were delayed before. */
  | 'delayed-lost';
