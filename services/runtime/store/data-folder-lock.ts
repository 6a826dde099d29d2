/**
 * One process a data folder. lmdb would let two processes open one folder and write. The lock is an
 * exclusive transaction on an SQLite file: the kernel frees it however the process ends.
 */
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { StoreUnusable } from './errors.ts';

const LOCK_FILE = 'txmesh.lock';
/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;

/** @returns what frees the lock. @throws StoreUnusable when another process holds it. */
export function lockDataFolder(dataDir: string): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(dataDir, LOCK_FILE));
    database.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) {
      throw new StoreUnusable(
        `data folder ${dataDir} is in use by another process: stop it, or choose another folder (setting --data-dir)`,
        { cause: error },
      );
    }
    throw new StoreUnusable(`data folder ${dataDir} can't be locked (setting --data-dir): ${String(error)}`, { cause: error });
  }
  const held = database;
  return () => held.close();
}
