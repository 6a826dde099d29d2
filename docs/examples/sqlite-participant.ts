/**
 * A service of your own as a participant: loyalty points in SQLite, crash-safe.
 *
 *   node sqlite-participant.ts [mesh address] [listen address] [database file]
 */
import { DatabaseSync } from 'node:sqlite';
import { BRANCH_TABLES_SQL, serveParticipant, type Branch, type Content, type Mark, type Participant, type ResourceManager } from 'txmesh/participant';

/** The content of an operation, as JSON: points are added, or taken away if the customer has them. */
export interface Award {
  readonly customer: string;
  readonly points: number;
}
export const AWARD_TYPE = 'type.googleapis.com/loyalty.Award';

export class Loyalty implements ResourceManager {
  private readonly db: DatabaseSync;

  constructor(file: string) {
    this.db = new DatabaseSync(file);
    this.db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${BRANCH_TABLES_SQL}
      CREATE TABLE IF NOT EXISTS account (customer TEXT PRIMARY KEY, points INTEGER NOT NULL, reserved INTEGER NOT NULL, CHECK (reserved <= points));`);
  }

  prepare(branch: Branch, operations: readonly Content[], { readOnly }: { readOnly: boolean }) {
    const awards = operations.map(parseAward);
    if (awards.includes(undefined)) return { refuse: `an operation is not a ${AWARD_TYPE} with a customer and whole points` };
    if (readOnly) return 'readOnly' as const;
    try {
      return this.inTransaction(() => {
        for (const { customer, points } of awards as Award[]) {
          this.run('INSERT OR IGNORE INTO account VALUES (?, 0, 0)', customer);
          this.run('UPDATE account SET reserved = reserved + ? WHERE customer = ?', Math.max(0, -points), customer);
        }
        this.run(`INSERT INTO txmesh_branch VALUES (?, ?, ?, ?, 'prepared', ?)`, ...keyOf(branch), branch.transactionId, JSON.stringify(awards));
        return 'yes' as const;
      });
    } catch (error) {
      if (String(error).includes('CHECK constraint')) return { refuse: 'not enough points' };
      throw error;
    }
  }

  commit(branch: Branch) {
    this.end(branch, `UPDATE txmesh_branch SET state = 'committed' WHERE ${KEY}`, 1);
  }

  abort(branch: Branch) {
    this.end(branch, `DELETE FROM txmesh_branch WHERE ${KEY}`, 0);
  }

  recover() {
    const branches = this.db.prepare('SELECT * FROM txmesh_branch').all() as unknown as BranchRow[];
    const marks = this.db.prepare('SELECT * FROM txmesh_mark').all() as unknown as BranchRow[];
    const inState = (state: string) => branches.filter((row) => row.state === state).map(toBranch);
    return { prepared: inState('prepared'), committed: inState('committed'), marks: marks.map(toMark) };
  }

  forget({ coordinatorPartition, lowWaterMark: { epoch, counter } }: Mark) {
    this.inTransaction(() => {
      this.run('REPLACE INTO txmesh_mark VALUES (?, ?, ?)', coordinatorPartition, epoch, counter);
      this.run(`DELETE FROM txmesh_branch WHERE state = 'committed' AND coordinator_partition = ? AND (epoch, counter) < (?, ?)`, coordinatorPartition, epoch, counter);
    });
  }

  points(customer: string): number {
    return Number(this.db.prepare('SELECT points FROM account WHERE customer = ?').get(customer)?.['points'] ?? 0);
  }

  close() {
    this.db.close();
  }

  /** Takes back what was reserved, and carries out `share` (all or nothing) of the awards. */
  private end(branch: Branch, sql: string, share: 0 | 1) {
    this.inTransaction(() => {
      const row = this.db.prepare(`SELECT work FROM txmesh_branch WHERE state = 'prepared' AND ${KEY}`).get(...keyOf(branch));
      for (const { customer, points } of JSON.parse(String(row?.['work'] ?? '[]')) as Award[])
        this.run('UPDATE account SET reserved = reserved - ?, points = points + ? WHERE customer = ?', Math.max(0, -points), share * points, customer);
      this.run(sql, ...keyOf(branch));
    });
  }

  private run(sql: string, ...values: (string | number)[]) {
    this.db.prepare(sql).run(...values);
  }

  private inTransaction<Result>(work: () => Result): Result {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.db.exec('COMMIT');
      return result;
    } catch (error) {
      this.db.exec('ROLLBACK');
      throw error;
    }
  }
}

interface BranchRow { coordinator_partition: number; epoch: number; counter: number; transaction_id: string; state: string }

const KEY = 'coordinator_partition = ? AND epoch = ? AND counter = ?';
const keyOf = ({ coordinatorPartition, attempt }: Branch) => [coordinatorPartition, attempt.epoch, attempt.counter] as const;
const toMark = ({ coordinator_partition, epoch, counter }: BranchRow): Mark => ({ coordinatorPartition: coordinator_partition, lowWaterMark: { epoch, counter } });
const toBranch = ({ coordinator_partition, epoch, counter, transaction_id }: BranchRow): Branch => ({
  transactionId: transaction_id, attempt: { epoch, counter }, coordinatorPartition: coordinator_partition, participant: 'loyalty', partition: 0,
});

function parseAward({ typeUrl, value }: Content): Award | undefined {
  try {
    const award = JSON.parse(new TextDecoder().decode(value)) as Award;
    return typeUrl === AWARD_TYPE && typeof award.customer === 'string' && Number.isSafeInteger(award.points) ? award : undefined;
  } catch {
    return undefined;
  }
}

export async function serveLoyalty(mesh: string, listen: string, file: string): Promise<{ loyalty: Loyalty; participant: Participant }> {
  const loyalty = new Loyalty(file);
  const participant = await serveParticipant({ name: 'loyalty', mesh, listen, resourceManager: loyalty });
  return { loyalty, participant };
}

if (import.meta.main) {
  const [mesh = '127.0.0.1:50051', listen = '127.0.0.1:50061', file = 'loyalty.db'] = process.argv.slice(2);
  const { participant, loyalty } = await serveLoyalty(mesh, listen, file);
  console.log(`loyalty serves at ${participant.address} and keeps its data in ${file}; Ctrl-C stops it`);
  process.once('SIGINT', () => void participant.close().then(() => loyalty.close()));
  process.once('SIGTERM', () => void participant.close().then(() => loyalty.close()));
}
