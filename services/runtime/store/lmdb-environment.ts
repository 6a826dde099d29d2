/**
 * Opens a data folder: creates it, locks it, opens lmdb in it with the options that make a resolved
 * write durable, and raises the open counter.
 */
import { accessSync, closeSync, constants, existsSync, fsyncSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { lockDataFolder } from './data-folder-lock.ts';
import { StoreUnusable } from './errors.ts';

export type LmdbDatabase = RootDatabase<Uint8Array, string>;

export interface LmdbEnvironment {
  readonly database: LmdbDatabase;
  readonly dataFile: string;
  /** How many times this data has been opened, this time included; durable before anyone sees it. */
  readonly openCounter: number;
  close(): Promise<void>;
}

/**
 * Address space for the map, not disk or memory: the file grows as it is written. Growing the map
 * instead would mean remapping it under the readers.
 */
const MAP_SIZE_BYTES = 2 ** 40;
const DATA_FILE = 'data.mdb';
/** More than lmdb's reader table takes. */
const LOCK_FILE_BYTES = 64 * 1024;
/** Where lmdb.h's MDB_MAGIC lies in the first page, and what follows it: the version of the format. */
const MAGIC_OFFSET = 24;
const MAGIC = Buffer.from([0xde, 0xc0, 0xef, 0xbe, 0x02, 0x00]);
/** Half a surrogate pair: no key that a caller may use. On disk it is a byte that UTF-8 never has. */
const OPEN_COUNTER_KEY = '\udfff';
const OPEN_COUNTER_BYTE = 0xff;

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
  if (key !== OPEN_COUNTER_KEY) return start + target.write(key, start);
  target[start] = OPEN_COUNTER_BYTE;
  return start + 1;
}

/** @throws StoreUnusable naming --data-dir. */
export async function openLmdb(dataDir: string): Promise<LmdbEnvironment> {
  const folder = resolve(dataDir);
  const undo: (() => void)[] = [];
  try {
    const made = mkdirSync(folder, { recursive: true });
    undo.push(lockDataFolder(folder));
    checkDataFile(join(folder, DATA_FILE));
    // lmdb maps its reader table: on a full disk a hole in that file is a SIGBUS, a write an error.
    writeFileSync(join(folder, 'lock.mdb'), Buffer.alloc(LOCK_FILE_BYTES));
    const database: LmdbDatabase = open({
      path: folder,
      noSubdir: false,
      maxDbs: 1,
      mapSize: MAP_SIZE_BYTES,
      encoding: 'binary',
      keyEncoder,
      // A commit is: write pages, fdatasync, write the meta page synchronously; then its promise
      // resolves. With overlappingSync (the default) it resolves earlier, and a failed flush is lost.
      overlappingSync: false,
      // With it lmdb makes promises of its own, whose rejections nobody can handle.
      eventTurnBatching: false,
    });
    const openCounter = raiseOpenCounter(database);
    syncFolder(folder);
    if (made !== undefined) syncFolder(dirname(made));
    return {
      database,
      openCounter,
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
function checkDataFile(path: string): void {
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

function raiseOpenCounter(database: LmdbDatabase): number {
  return database.transactionSync(() => {
    const before = database.getBinary(OPEN_COUNTER_KEY);
    const counter = (before === undefined ? 0 : Number(Buffer.from(before).readBigUInt64BE())) + 1;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(counter));
    void database.put(OPEN_COUNTER_KEY, bytes);
    return counter;
  });
}

/** A new file is durable only once its folder is. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
