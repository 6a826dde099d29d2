/**
 * A service of your own as a participant: loyalty points in SQLite, crash-safe.
 *
 *   npm run example -- sqlite-participant [mesh address] [listen address] [database file]
 *
 * runs it in a checkout; where the package is installed, `node sqlite-participant.ts` does.
 */
import { DatabaseSync } from 'node:sqlite';
import { serveParticipant, type Content } from 'txmesh/participant';
import { SqliteResourceManager } from 'txmesh/participant/sqlite';

/** The content of an operation, as JSON: points are added, or taken away if the customer has them. */
export type Award = { customer: string; points: number };
export const AWARD_TYPE = 'type.googleapis.com/loyalty.Award';

export function openLoyalty(file: string) {
  const db = new DatabaseSync(file);
  db.exec('PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS account (customer TEXT PRIMARY KEY, points INTEGER, reserved INTEGER)');
  const move = db.prepare('UPDATE account SET points = points + ?, reserved = reserved + ? WHERE customer = ? AND points >= reserved + ?');
  const resourceManager = new SqliteResourceManager<Award>(db, 'loyalty', {
    parse,
    reserve({ customer, points }) {
      db.prepare('INSERT OR IGNORE INTO account VALUES (?, 0, 0)').run(customer);
      const taken = Math.max(0, -points);
      return move.run(0, taken, customer, taken).changes === 1 ? undefined : `${customer} does not have ${taken} points`;
    },
    commit: ({ customer, points }) => void move.run(points, -Math.max(0, -points), customer, 0),
    abort: ({ customer, points }) => void move.run(0, -Math.max(0, -points), customer, 0),
  });
  const points = (customer: string) => Number(db.prepare('SELECT points FROM account WHERE customer = ?').get(customer)?.['points'] ?? 0);
  return { resourceManager, points, close: () => db.close() };
}

function parse({ typeUrl, value }: Content): Award | string {
  const award = typeUrl === AWARD_TYPE ? (JSON.parse(new TextDecoder().decode(value)) as Award) : undefined;
  const valid = typeof award?.customer === 'string' && Number.isSafeInteger(award.points);
  return valid ? award : `an operation is not a ${AWARD_TYPE} with a customer and whole points`;
}

if (import.meta.main) {
  const [mesh = '127.0.0.1:50051', listen = '127.0.0.1:50061', file = 'loyalty.db'] = process.argv.slice(2);
  const { resourceManager, close } = openLoyalty(file);
  const participant = await serveParticipant({ name: 'loyalty', mesh, listen, resourceManager });
  console.log(`loyalty serves at ${participant.address} and keeps its data in ${file}; Ctrl-C stops it`);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void participant.close().then(close));
}
