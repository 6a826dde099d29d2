/**
 * A data folder as it is at one moment, under one read transaction of lmdb's. It may be read while a server
 * has the folder: lmdb's readers neither wait for its writer nor make it wait. While it is open the file
 * grows instead of using pages again that the snapshot needs.
 */
import { join, resolve } from 'node:path';
import { open } from 'lmdb';
import { StoreUnusable } from './errors.ts';
import { liveRange } from './keys.ts';
import { checkDataFile, DATA_FILE, holdsStore, lmdbOptions, reservedRevision, type LmdbDatabase } from './lmdb-environment.ts';
import type { Snapshot } from './snapshot.ts';
import type { Entry, Range } from './store.ts';

const PAGE = 1000;
/** Every key that a caller may use. */
const EVERYTHING: Range = { from: '\0', to: '\u{10ffff}' };

/** @throws StoreUnusable naming --data-dir. */
export function openLmdbSnapshot(dataDir: string): Snapshot {
  const folder = resolve(dataDir);
  if (!holdsStore(folder)) throw new StoreUnusable(`data folder ${folder} holds no store (setting --data-dir)`);
  try {
    checkDataFile(join(folder, DATA_FILE));
    const database: LmdbDatabase = open({ ...lmdbOptions(folder), readOnly: true });
    return snapshotOf(database, `lmdb at ${dataDir}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreUnusable(`data folder ${folder} can't be read (setting --data-dir): ${reason}`, { cause: error });
  }
}

function snapshotOf(database: LmdbDatabase, description: string): Snapshot {
  const transaction = database.useReadTransaction();
  function* scan({ from, to }: Range): Generator<readonly Entry[]> {
    for (let start = from, exclusiveStart = false; ; exclusiveStart = true) {
      const found = database.getRange({ start, end: to, exclusiveStart, limit: PAGE, transaction });
      const page = Array.from(found, ({ key, value }) => ({ key, value }));
      if (page.length > 0) yield page;
      if (page.length < PAGE) return;
      start = page.at(-1)!.key;
    }
  }
  return {
    engine: 'lmdb',
    description,
    revision: reservedRevision(database, transaction) - 1,
    get: async (key) => database.get(key, { transaction }),
    async *pages() {
      yield* scan({ from: EVERYTHING.from, to: liveRange.from });
      yield* scan({ from: liveRange.to, to: EVERYTHING.to });
    },
    async close() {
      transaction.done();
      await database.close();
    },
  };
}
