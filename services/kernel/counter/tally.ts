/** Told of what a counter partition does, to be counted: nothing here depends on who counts. */

export interface CounterTally {
  /** An add was counted, by itself or with a transaction; durable with the batch. */
  added(kind: 'strong' | 'sharded' | 'queued' | 'replicated'): void;
}
