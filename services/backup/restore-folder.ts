/**
 * Restores a backup into a data folder: into a folder inside it, whose one file is moved to its place when
 * it is whole and on disk. Inside, because the data folder may be a volume's root, which can't be renamed.
 */

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Clock } from '../runtime/clock.ts';
import { lockDataFolder } from '../runtime/store/data-folder-lock.ts';
import { openLmdbStore } from '../runtime/store/lmdb.ts';
import { DATA_FILE, holdsStore, RESTORING_FOLDER, syncFolder } from '../runtime/store/lmdb-environment.ts';
import { BackupError } from './format.ts';
import type { BackupFile, Verified } from './read.ts';
import { restoreInto, type Restored } from './restore.ts';

/** @throws BackupError where the folder holds a store, StoreUnusable where a server has it, and what a store throws. */
export async function restoreIntoFolder(dataDir: string, backup: BackupFile, verified: Verified, clock: Clock): Promise<Restored> {
  const folder = resolve(dataDir);
  const made = mkdirSync(folder, { recursive: true });
  if (made !== undefined) syncFolder(dirname(made));
  const unlock = lockDataFolder(folder);
  try {
    if (holdsStore(folder)) throw new BackupError(`data folder ${folder} holds a store: restore into an empty folder (setting --data-dir)`);
    const aside = join(folder, RESTORING_FOLDER);
    // Of a restore that was cut off.
    rmSync(aside, { recursive: true, force: true });
    const restored = await restoreAside(aside, backup, verified, clock);
    renameSync(join(aside, DATA_FILE), join(folder, DATA_FILE));
    syncFolder(folder);
    rmSync(aside, { recursive: true, force: true });
    return restored;
  } finally {
    unlock();
  }
}

async function restoreAside(folder: string, backup: BackupFile, verified: Verified, clock: Clock): Promise<Restored> {
  const store = await openLmdbStore(folder, clock);
  try {
    return await restoreInto(store, backup, verified, clock);
  } finally {
    await store.close();
  }
}
