/**
 * txmesh/participant/sqlite: a participant that keeps its data in SQLite (node:sqlite). It keeps the
 * branches beside the data, each promise and each outcome in one transaction of the database; what is
 * left to write is what the operations mean.
 */

import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { BRANCH_TABLES_SQL, type Branch, type Content, type Mark, type PrepareContext, type Recovered, type ResourceManager, type Vote } from './participant/resource-manager.ts';

/** What the operations of one participant mean. Its statements run inside a transaction of the database. */
export interface SqliteOperations<Operation> {
  /** The operation behind the content, as a value that JSON can hold; a text: why it is refused. */
  parse(content: Content): Operation | string;
  /** Sees to it that the operation can be carried out whatever happens. A text: why it can't be. */
  reserve(operation: Operation): string | undefined;
  /** Carries out what was reserved. */
  commit(operation: Operation): void;
  /** Gives up what was reserved. */
  abort(operation: Operation): void;
}

interface Row {
  readonly coordinator_partition: number;
  readonly epoch: number;
  readonly counter: number;
  readonly transaction_id: string;
  readonly state: string;
}

const KEY = 'coordinator_partition = ? AND epoch = ? AND counter = ?';

/** Rolls a prepare back. */
class Refused extends Error {}

export class SqliteResourceManager<Operation> implements ResourceManager {
  private readonly db: DatabaseSync;
  private readonly participant: string;
  private readonly operations: SqliteOperations<Operation>;

  /**
   * @param db opened with `PRAGMA synchronous = FULL`, which is SQLite's default, and used by this
   * process only; the tables of {@link BRANCH_TABLES_SQL} are created where they are missing
   * @param participant the name under which it is served
   */
  constructor(db: DatabaseSync, participant: string, operations: SqliteOperations<Operation>) {
    this.db = db;
    this.participant = participant;
    this.operations = operations;
    db.exec(BRANCH_TABLES_SQL);
  }

  prepare(branch: Branch, contents: readonly Content[], { readOnly }: Pick<PrepareContext, 'readOnly'>): Vote {
    try {
      return this.inTransaction(() => {
        const operations = contents.map((content) => accepted(this.operations.parse(content)));
        for (const operation of operations) {
          const refusal = this.operations.reserve(operation);
          if (refusal !== undefined) throw new Refused(refusal);
        }
        // What was reserved to find out is given up with the transaction.
        if (readOnly) throw new ReadOnly();
        this.run(`INSERT INTO txmesh_branch VALUES (?, ?, ?, ?, 'prepared', ?)`, ...keyOf(branch), branch.transactionId, JSON.stringify(operations));
        return 'yes';
      });
    } catch (error) {
      if (error instanceof ReadOnly) return 'readOnly';
      if (error instanceof Refused) return { refuse: error.message };
      throw error;
    }
  }

  commit(branch: Branch): void {
    this.end(branch, (operation) => this.operations.commit(operation), `UPDATE txmesh_branch SET state = 'committed', work = NULL WHERE ${KEY}`);
  }

  abort(branch: Branch): void {
    this.end(branch, (operation) => this.operations.abort(operation), `DELETE FROM txmesh_branch WHERE ${KEY}`);
  }

  recover(): Recovered {
    const branches = this.db.prepare('SELECT * FROM txmesh_branch').all() as unknown as Row[];
    const marks = this.db.prepare('SELECT * FROM txmesh_mark').all() as unknown as Row[];
    const inState = (state: string): Branch[] => branches.filter((row) => row.state === state).map((row) => this.branchOf(row));
    return { prepared: inState('prepared'), committed: inState('committed'), marks: marks.map(markOf) };
  }

  forget({ coordinatorPartition, lowWaterMark: { epoch, counter } }: Mark): void {
    this.inTransaction(() => {
      this.run('REPLACE INTO txmesh_mark VALUES (?, ?, ?)', coordinatorPartition, epoch, counter);
      const below = `state = 'committed' AND coordinator_partition = ? AND (epoch, counter) < (?, ?)`;
      this.run(`DELETE FROM txmesh_branch WHERE ${below}`, coordinatorPartition, epoch, counter);
    });
  }

  /** The outcome of a promise; nothing where none is held, as after a prepare that threw. */
  private end(branch: Branch, outcome: (operation: Operation) => void, sql: string): void {
    this.inTransaction(() => {
      const row = this.db.prepare(`SELECT work FROM txmesh_branch WHERE state = 'prepared' AND ${KEY}`).get(...keyOf(branch));
      if (row === undefined) return;
      for (const operation of JSON.parse(String(row['work'])) as Operation[]) outcome(operation);
      this.run(sql, ...keyOf(branch));
    });
  }

  private branchOf({ coordinator_partition: coordinatorPartition, epoch, counter, transaction_id: transactionId }: Row): Branch {
    return { transactionId, attempt: { epoch, counter }, coordinatorPartition, participant: this.participant, partition: 0 };
  }

  private run(sql: string, ...values: SQLInputValue[]): void {
    this.db.prepare(sql).run(...values);
  }

  private inTransaction<Result>(work: () => Result): Result {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.db.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
      throw error;
    }
  }
}

class ReadOnly extends Error {}

function accepted<Operation>(parsed: Operation | string): Operation {
  if (typeof parsed === 'string') throw new Refused(parsed);
  return parsed;
}

function keyOf({ coordinatorPartition, attempt }: Branch): readonly [number, number, number] {
  return [coordinatorPartition, attempt.epoch, attempt.counter];
}

function markOf({ coordinator_partition: coordinatorPartition, epoch, counter }: Row): Mark {
  return { coordinatorPartition, lowWaterMark: { epoch, counter } };
}
