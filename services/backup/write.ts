/** Writes a backup file from a snapshot. */

import { createHash } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { clusterCodec } from '../runtime/cluster/codec.ts';
import { CLUSTER_KEY } from '../runtime/cluster/keys.ts';
import { syncFolder } from '../runtime/store/lmdb-environment.ts';
import type { Snapshot } from '../runtime/store/snapshot.ts';
import type { Entry } from '../runtime/store/store.ts';
import { version } from '../version.ts';
import { encodeFrame } from './codec.ts';
import { BackupError, FIRST_LINE, LENGTH_BYTES, type Frame, type Header } from './format.ts';

/** Stands for standard output. */
export const STANDARD_OUTPUT = '-';
/** A frame of entries ends when it has so much. */
const FRAME_BYTES = 256 * 1024;

export interface Written extends Header {
  readonly entries: number;
  readonly bytes: number;
}

/** Where a backup goes. */
interface Sink {
  write(bytes: Uint8Array): Promise<void> | void;
  /** What was written is kept. */
  finish(): void;
  /** What was written is no backup. */
  drop(): void;
}

/** @throws BackupError, StoreUnavailable; then there is no file. */
export async function writeBackup(snapshot: Snapshot, output: string, nowMs: number): Promise<Written> {
  const record = await snapshot.get(CLUSTER_KEY);
  if (record === undefined) throw new BackupError(`${snapshot.description} holds no cluster: there is nothing to back up`);
  const { clusterId, numbersAbove, restoring } = clusterCodec.decode(record);
  if (restoring) throw new BackupError(`${snapshot.description} holds a restore that is under way or was cut off: there is nothing to back up`);
  const { engine, revision } = snapshot;
  const header: Header = { clusterId, createMs: nowMs, engine, revision, highestEpoch: numbersAbove + revision, version };
  const sink = output === STANDARD_OUTPUT ? standardOutput() : fileSink(output);
  try {
    const counts = await writeFrames(snapshot, header, sink);
    sink.finish();
    return { ...header, ...counts };
  } catch (error) {
    try {
      sink.drop();
    } catch (left) {
      throw new BackupError(`${error instanceof Error ? error.message : String(error)}; and what was written can't be removed: ${String(left)}`, { cause: error });
    }
    throw error;
  }
}

async function writeFrames(snapshot: Snapshot, header: Header, sink: Sink): Promise<{ entries: number; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const put = async (chunk: Uint8Array): Promise<void> => {
    hash.update(chunk);
    bytes += chunk.length;
    await sink.write(chunk);
  };
  await put(Buffer.from(FIRST_LINE));
  await put(framed({ type: 'header', header }));
  let entries = 0;
  for await (const page of snapshot.pages()) {
    for (const part of partsOf(page)) await put(framed({ type: 'entries', entries: part }));
    entries += page.length;
  }
  const footer = framed({ type: 'footer', footer: { entries, sha256: hash.digest() } });
  await sink.write(footer);
  return { entries, bytes: bytes + footer.length };
}

function framed(frame: Frame): Uint8Array {
  const content = encodeFrame(frame);
  const bytes = Buffer.alloc(LENGTH_BYTES + content.length);
  bytes.writeUInt32BE(content.length);
  bytes.set(content, LENGTH_BYTES);
  return bytes;
}

function* partsOf(page: readonly Entry[]): Generator<readonly Entry[]> {
  let part: Entry[] = [];
  let bytes = 0;
  for (const entry of page) {
    part.push(entry);
    bytes += entry.value.length;
    if (bytes < FRAME_BYTES) continue;
    yield part;
    part = [];
    bytes = 0;
  }
  if (part.length > 0) yield part;
}

/** Under another name until it is whole and on disk. */
function fileSink(output: string): Sink {
  const path = resolve(output);
  const aside = `${path}.part`;
  if (existsSync(path)) throw new BackupError(`${path} exists already: choose another name (setting --output)`);
  const attempt = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      const left = (error as NodeJS.ErrnoException).code === 'EEXIST';
      const reason = left ? `${aside} is there, of a backup that is under way or was cut off: remove it if none is under way` : String(error);
      throw new BackupError(`no backup can be written to ${path} (setting --output): ${reason}`, { cause: error });
    }
  };
  let descriptor: number | undefined = attempt(() => openSync(aside, 'wx', 0o600));
  /** Where what was written is. */
  let name = aside;
  return {
    write(bytes) {
      attempt(() => {
        for (let at = 0; at < bytes.length; ) at += writeSync(descriptor!, bytes, at);
      });
    },
    finish() {
      attempt(() => {
        fsyncSync(descriptor!);
        close();
        renameSync(aside, path);
        name = path;
        syncFolder(dirname(path));
      });
    },
    drop() {
      close();
      rmSync(name);
    },
  };

  function close(): void {
    if (descriptor !== undefined) closeSync(descriptor);
    descriptor = undefined;
  }
}

/** Whoever reads it finds out by the footer whether it is whole. */
function standardOutput(): Sink {
  const { stdout } = process;
  if (stdout.isTTY) throw new BackupError('a backup is not for a terminal: redirect standard output, or name a file (setting --output)');
  return {
    // Each chunk is waited for, so that an error has somebody who hears it.
    write: (bytes) =>
      new Promise((resolve, reject) => {
        const failed = (error: Error): void => reject(new BackupError(`standard output takes no more of the backup: ${error.message}`));
        stdout.once('error', failed);
        stdout.write(bytes, (error) => {
          if (error == null) stdout.off('error', failed);
          if (error == null) resolve();
        });
      }),
    finish() {},
    drop() {},
  };
}
