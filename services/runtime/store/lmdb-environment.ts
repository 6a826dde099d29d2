/**
 * Opens a data folder: creates it, locks it, opens lmdb in it with the options that make a resolved
 * write durable, and reserves revisions.
 */
import { accessSync, closeSync, constants, existsSync, fsyncSync, mkdirSync, openSync, readSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { open, type RootDatabase, type Transaction } from 'lmdb';
import { lockDataFolder } from './data-folder-lock.ts';
import { StoreUnusable } from './errors.ts';

export type LmdbDatabase = RootDatabase<Uint8Array, string>;

export interface LmdbEnvironment {
  readonly database: LmdbDatabase;
  readonly dataFile: string;
  /** No opening before has given out a revision from here on. */
  readonly firstRevision: number;
  /** The revisions below are this opening's: durable before anyone sees one. */
  readonly reservedRevision: number;
  /** Reserves revisions, as part of the batch that is being written. */
  putReservation(reservedRevision: number): void;
  close(): Promise<void>;
}

/**
 * Address space for the map, not disk or memory: the file grows as it is written. Growing the map
 * instead would mean remapping it under the readers.
 */
const MAP_SIZE_BYTES = 2 ** 40;
export const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';
/** Inside a data folder, while a backup is restored into it. */
export const RESTORING_FOLDER = 'restoring';
const BLOCK_BYTES = 512;
const COUNT_BYTES = 8;
/** More than lmdb's reader table takes. */
const LOCK_FILE_BYTES = 64 * 1024;
/** Where lmdb.h's MDB_MAGIC lies in the first page, and what follows it: the version of the format. */
const MAGIC_OFFSET = 24;
const MAGIC = Buffer.from([0xde, 0xc0, 0xef, 0xbe, 0x02, 0x00]);
/** Half a surrogate pair: no key that a caller may use. On disk it is a byte that UTF-8 never has. */
const RESERVATION_KEY = '\udfff';
const RESERVATION_BYTE = 0xff;
/** How many revisions are reserved at a time. */
export const REVISIONS_RESERVED = 2 ** 16;
/** Release 0.1.0 counts openings, and each has so many revisions. */
const REVISIONS_PER_COUNT = 2 ** 32;

/** Keys are their UTF-8 bytes, so that lmdb's order is the port's and a dump can be read. */
const keyEncoder = {
  writeKey(key: string, target: Buffer, start: number): number {
    const length = key.length;
    for (let index = 0; index < length; index++) {
      const unit = key.charCodeAt(index);
      if (unit > 0x7f) return writeOtherKey(key, target, start);
      target[start + index] = unit;
    }
    return start + length;
  },
  readKey(source: Buffer, start: number, end: number): string {
    return source.toString('utf8', start, end);
  },
};

function writeOtherKey(key: string, target: Buffer, start: number): number {
  if (key !== RESERVATION_KEY) return start + target.write(key, start);
  target[start] = RESERVATION_BYTE;
  return start + 1;
}

/** Whether there is a store in the folder. */
export function holdsStore(dataDir: string): boolean {
  return existsSync(join(dataDir, DATA_FILE));
}

/** @throws StoreUnusable naming --data-dir. */
export async function openLmdb(dataDir: string): Promise<LmdbEnvironment> {
  const folder = resolve(dataDir);
  const undo: (() => void)[] = [];
  try {
    const made = mkdirSync(folder, { recursive: true });
    undo.push(lockDataFolder(folder));
    if (existsSync(join(folder, RESTORING_FOLDER)) && !holdsStore(folder))
      throw new StoreUnusable(
        `a restore into data folder ${folder} was cut off (setting --data-dir): run txmesh restore again, or remove ${join(folder, RESTORING_FOLDER)}`,
      );
    checkDataFile(join(folder, DATA_FILE));
    prepareLockFile(join(folder, LOCK_FILE));
    const database: LmdbDatabase = open({
      ...lmdbOptions(folder),
      // A commit is: write pages, fdatasync, write the meta page synchronously; then its promise
      // resolves. With overlappingSync (the default) it resolves earlier, and a failed flush is lost.
      overlappingSync: false,
      // With it lmdb makes promises of its own, whose rejections nobody can handle.
      eventTurnBatching: false,
    });
    const [firstRevision, reservedRevision] = database.transactionSync(() => reserve(database));
    syncFolder(folder);
    if (made !== undefined) syncFolder(dirname(made));
    return {
      database,
      firstRevision,
      reservedRevision,
      putReservation: (reserved) => putReservation(database, reserved),
      dataFile: join(folder, DATA_FILE),
      async close() {
        await database.close();
        for (const step of undo) step();
      },
    };
  } catch (error) {
    for (const step of undo) step();
    if (error instanceof StoreUnusable) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreUnusable(`data folder ${folder} can't be used (setting --data-dir): ${reason}`, { cause: error });
  }
}

/** The lmdb package ends the process by a segmentation fault when it can't open a file. */
export function checkDataFile(path: string): void {
  if (!existsSync(path)) return;
  accessSync(path, constants.R_OK | constants.W_OK);
  const descriptor = openSync(path, 'r');
  try {
    const head = Buffer.alloc(MAGIC.length);
    const length = readSync(descriptor, head, 0, head.length, MAGIC_OFFSET);
    const empty = length === 0 && readSync(descriptor, head, 0, 1, 0) === 0;
    if (!empty && !head.equals(MAGIC)) throw new Error(`${path} is not an lmdb file of this version`);
  } finally {
    closeSync(descriptor);
  }
}

/** How every process opens lmdb. */
export function lmdbOptions(folder: string) {
  return { path: folder, noSubdir: false, maxDbs: 1, mapSize: MAP_SIZE_BYTES, encoding: 'binary', keyEncoder } as const;
}

/**
 * lmdb maps its reader table: on a full disk a hole in that file is a SIGBUS, a write an error. A table
 * that is whole is left alone, because a backup may be reading under it.
 */
function prepareLockFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined && found.size >= LOCK_FILE_BYTES && found.blocks * BLOCK_BYTES >= LOCK_FILE_BYTES) return;
  writeFileSync(path, Buffer.alloc(LOCK_FILE_BYTES));
}

/** The first revision of this opening, and the first one that is not reserved. */
function reserve(database: LmdbDatabase): [first: number, reserved: number] {
  const first = reservedRevision(database);
  const reserved = first + REVISIONS_RESERVED;
  putReservation(database, reserved);
  return [first, reserved];
}

/** The first revision that nobody has reserved. */
export function reservedRevision(database: LmdbDatabase, transaction?: Transaction): number {
  const found = database.get(RESERVATION_KEY, transaction === undefined ? {} : { transaction });
  if (found === undefined) return 0;
  const bytes = Buffer.from(found);
  // A release that counts has opened it last: all revisions of its count may be used up.
  if (bytes.length === COUNT_BYTES) return (Number(bytes.readBigUInt64BE()) + 1) * REVISIONS_PER_COUNT;
  return Number(bytes.readBigUInt64BE(COUNT_BYTES));
}

/** A count from which a release that counts goes on above it, then the revision. */
function putReservation(database: LmdbDatabase, reserved: number): void {
  const bytes = Buffer.alloc(2 * COUNT_BYTES);
  bytes.writeBigUInt64BE(BigInt(Math.floor(reserved / REVISIONS_PER_COUNT)));
  bytes.writeBigUInt64BE(BigInt(reserved), COUNT_BYTES);
  void database.put(RESERVATION_KEY, bytes);
}

/** A new file is durable only once its folder is. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
