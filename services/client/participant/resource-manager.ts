/** What a service implements to take part in transactions, and what it must keep durably. */

import type { Attempt } from '../../kernel/attempt.ts';
import type { BranchId, Mark } from '../../kernel/messages.ts';
import type { Content } from '../operations.ts';

export type { Attempt, Content, Mark };

/** One attempt of one transaction's work at this participant. (coordinatorPartition, attempt) identifies it. */
export type Branch = BranchId;

/**
 * `yes`: the branch can be committed, whatever happens until then, crashes included. `readOnly`: there
 * is nothing to commit, and nothing is held. `refuse`: it can't be committed, and nothing is held.
 */
export type Vote = 'yes' | 'readOnly' | { readonly refuse: string };

export interface PrepareContext {
  /** Fires when the vote is of no use any more: give up waiting, and refuse. */
  readonly signal: AbortSignal;
  /** Only validate: hold nothing. No outcome will be told. */
  readonly readOnly: boolean;
  /** Age of the transaction in lock conflicts: the older one may wait for the younger, not the other way round. */
  readonly firstTryTime: Date;
}

/** All that was stored, at start. */
export interface Recovered {
  /** Promises: voted yes, outcome unknown. */
  readonly prepared: readonly Branch[];
  /** Committed and not forgotten. */
  readonly committed: readonly Branch[];
  /** As given to `forget`, the latest of each coordinator partition. */
  readonly marks: readonly Mark[];
}

/**
 * A user's own resource: it stores what the library tells it to, and knows what the operations mean.
 * The library calls one method at a time for each transaction, never twice for the same thing, and
 * deals with repetitions, late messages, restarts and branches in doubt.
 *
 * What must be durable when (a table of branches does it; {@link BRANCH_TABLES_SQL} is one):
 * - `prepare` that answers `yes`: the branch, and all that its commit needs, before it returns.
 * - `commit`: its changes and the fact that the branch is committed, in ONE transaction of the store.
 * - `abort`: nothing needs to be forced; a promise that reappears after a crash is asked about again.
 * - `forget`: the mark, no later than the removal of the committed branches below it, in one
 *   transaction. Without the memory of committed branches, a late copy of a prepare would have its
 *   work done twice.
 *
 * A method that throws is tried again (commit, abort, forget) or counts as a refusal (prepare).
 */
export interface ResourceManager {
  prepare(branch: Branch, operations: readonly Content[], context: PrepareContext): Vote | Promise<Vote>;
  commit(branch: Branch): void | Promise<void>;
  /** Gives up the promise and whatever is held for it. Also called after a `prepare` that threw. */
  abort(branch: Branch): void | Promise<void>;
  /** Called once, before anything else, when the participant has its name: nobody else has it then. */
  recover(): Recovered | Promise<Recovered>;
  /** Stores the mark and removes the committed branches of its coordinator partition with a lower attempt. */
  forget(mark: Mark): void | Promise<void>;
}

/**
 * Tables of SQLite that hold what a resource manager must remember. `work` is what the manager needs to commit.
 * Another database needs the same tables in its own dialect: with a type for `work` that holds all operations
 * of a branch, and its own form of REPLACE. The statements that go with them:
 *
 * ```sql
 * -- prepare
 * INSERT INTO txmesh_branch VALUES (:coordinator_partition, :epoch, :counter, :transaction_id, 'prepared', :work)
 * -- commit, in the transaction that carries out the work
 * UPDATE txmesh_branch SET state = 'committed' WHERE coordinator_partition = :coordinator_partition AND epoch = :epoch AND counter = :counter
 * -- abort
 * DELETE FROM txmesh_branch WHERE coordinator_partition = :coordinator_partition AND epoch = :epoch AND counter = :counter
 * -- recover
 * SELECT * FROM txmesh_branch; SELECT * FROM txmesh_mark
 * -- forget, in one transaction
 * REPLACE INTO txmesh_mark VALUES (:coordinator_partition, :epoch, :counter)
 * DELETE FROM txmesh_branch WHERE state = 'committed' AND coordinator_partition = :coordinator_partition
 *   AND (epoch < :epoch OR epoch = :epoch AND counter < :counter)
 * ```
 */
export const BRANCH_TABLES_SQL = `
CREATE TABLE IF NOT EXISTS txmesh_branch (
  coordinator_partition INTEGER NOT NULL, epoch BIGINT NOT NULL, counter BIGINT NOT NULL,
  transaction_id CHAR(36) NOT NULL, state VARCHAR(9) NOT NULL, work TEXT,
  PRIMARY KEY (coordinator_partition, epoch, counter));
CREATE TABLE IF NOT EXISTS txmesh_mark (
  coordinator_partition INTEGER PRIMARY KEY, epoch BIGINT NOT NULL, counter BIGINT NOT NULL);
`;
