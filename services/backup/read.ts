/** Reads a backup file, and says what is wrong with it. */

import { createHash, type Hash } from 'node:crypto';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { clusterCodec, serviceCodec, type ClusterFacts } from '../runtime/cluster/codec.ts';
import { CLUSTER_KEY, SERVICE_PREFIX } from '../runtime/cluster/keys.ts';
import { compareKeys, contains, liveRange } from '../runtime/store/keys.ts';
import type { Entry } from '../runtime/store/store.ts';
import { validateKey } from '../runtime/store/validate.ts';
import { HASH_NAME } from '../kernel/hash.ts';
import { decodeFrame, encodeFrame } from './codec.ts';
import { BackupError, FIRST_LINE, FORMAT, LENGTH_BYTES, MAGIC, MOST_FRAME_BYTES, type Footer, type Frame, type Header } from './format.ts';

/** What is known of a backup that was found to be whole. */
export interface Verified {
  readonly header: Header;
  /** As its record says. */
  readonly cluster: ClusterFacts;
  readonly entries: number;
}

/** Longer than any first line. */
const FIRST_LINE_BYTES = 64;

export class BackupFile {
  private readonly path: string;
  private readonly handle: FileHandle;
  private at = 0;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  /** @throws BackupError */
  static async open(path: string): Promise<BackupFile> {
    try {
      if (!(await stat(path)).isFile()) throw new Error('it is read twice, and so must be a file');
      return new BackupFile(path, await open(path, 'r'));
    } catch (error) {
      throw new BackupError(`the backup ${path} can't be read (setting --input): ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  /** Reads all of it. @throws BackupError where it is no backup, not whole, or nothing that this version restores. */
  async verify(): Promise<Verified> {
    let header: Header | undefined;
    let cluster: ClusterFacts | undefined;
    let entries = 0;
    let last: string | undefined;
    let wrong: unknown;
    for await (const frame of this.frames()) {
      if (frame.type === 'header') header = frame.header;
      if (frame.type !== 'entries' || wrong !== undefined) continue;
      entries += frame.entries.length;
      try {
        for (const { key, value } of frame.entries) {
          this.checkKey(key, last);
          last = key;
          if (key === CLUSTER_KEY) cluster = clusterCodec.decode(value);
          else if (key.startsWith(SERVICE_PREFIX)) serviceCodec.decode(value);
        }
      } catch (error) {
        // Told only when the checksum holds: else the file is damaged, and what it says means nothing.
        wrong = error;
      }
    }
    if (wrong !== undefined) throw wrong;
    if (header === undefined || cluster === undefined || cluster.clusterId !== header.clusterId || cluster.restoring)
      throw this.broken('it has no record of the cluster that it says to be of');
    if (cluster.hash !== HASH_NAME)
      throw new BackupError(`the cluster in ${this.path} routes by ${cluster.hash}, this version by ${HASH_NAME}: restore it with the version that wrote it, ${header.version}`);
    return { header, cluster, entries };
  }

  /** @throws BackupError as {@link verify} does, at the end also where bytes have changed. */
  async *entries(): AsyncGenerator<readonly Entry[]> {
    for await (const frame of this.frames()) if (frame.type === 'entries') yield frame.entries;
  }

  /** A header, entries, and when everything is read and the checksum holds, the footer. */
  private async *frames(): AsyncGenerator<Frame> {
    const hash = createHash('sha256');
    await this.readFirstLine(hash);
    let entries = 0;
    for (let expected: Frame['type'] = 'header'; ; ) {
      const start = this.at;
      const length = await this.read(LENGTH_BYTES);
      const size = length.readUInt32BE();
      if (size === 0 || size > MOST_FRAME_BYTES) throw this.broken(`no frame begins at byte ${start}`);
      const content = await this.read(size);
      const frame = decodeFrame(content);
      if (frame === undefined || (frame.type === 'header') !== (expected === 'header')) throw this.broken(`what begins at byte ${start} makes no sense there`);
      if (frame.type === 'footer') {
        // No checksum covers it, and protobuf reads what it does not know without a word.
        if (!content.equals(encodeFrame(frame))) throw this.broken('its footer makes no sense');
        await this.checkEnd(frame.footer, entries, hash.digest());
        yield frame;
        return;
      }
      hash.update(length);
      hash.update(content);
      if (frame.type === 'entries') entries += frame.entries.length;
      expected = 'entries';
      yield frame;
    }
  }

  private async readFirstLine(hash: Hash): Promise<void> {
    const buffer = Buffer.alloc(FIRST_LINE_BYTES);
    const { bytesRead } = await this.handle.read(buffer, 0, buffer.length, 0);
    const line = buffer.toString('latin1', 0, bytesRead).split('\n')[0]!;
    if (!line.startsWith(MAGIC) || !/^\d+$/.test(line.slice(MAGIC.length)))
      throw new BackupError(`${this.path} is no backup of txmesh: its first line is not "${MAGIC}…" (setting --input)`);
    const format = Number(line.slice(MAGIC.length));
    if (format !== FORMAT) throw new BackupError(`${this.path} has format ${format}, this version reads ${FORMAT}: restore it with a newer version`);
    hash.update(FIRST_LINE);
    this.at = FIRST_LINE.length;
  }

  private async read(length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(length);
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await this.handle.read(buffer, filled, length - filled, this.at + filled);
      if (bytesRead === 0) throw this.broken(`it ends at byte ${this.at + filled}, before its footer: it was cut off`);
      filled += bytesRead;
    }
    this.at += length;
    return buffer;
  }

  private async checkEnd(footer: Footer, entries: number, sha256: Buffer): Promise<void> {
    if (!sha256.equals(footer.sha256)) throw this.broken('its checksum does not hold');
    if (entries !== footer.entries) throw this.broken(`it has ${entries} records, and should have ${footer.entries}`);
    const { bytesRead } = await this.handle.read(Buffer.alloc(1), 0, 1, this.at);
    if (bytesRead > 0) throw this.broken(`it goes on at byte ${this.at}, after its end`);
  }

  private checkKey(key: string, last: string | undefined): void {
    if (contains(liveRange, key)) throw this.broken(`it has the key ${JSON.stringify(key)}, which lives with a lease`);
    if (last !== undefined && compareKeys(last, key) >= 0) throw this.broken(`the key ${JSON.stringify(key)} is not in its place`);
    validateKey(key);
  }

  private broken(what: string): BackupError {
    return new BackupError(`the backup ${this.path} is damaged: ${what}; take another one`);
  }
}
