/** Sizes of what is written: upper bounds, counted before anything is encoded (invariant K7). */

import type { KeyValueEffect, KeyWrite } from './types.ts';

/** Key prefixes, the partition's too, numbers, tags and lengths of one write's records. */
const WRITE_BYTES = 320;
const HISTORY_ENTRY_BYTES = 9;

/** Bytes of UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // A surrogate pair is two code units and four bytes.
    if (code >= 0x80) bytes += code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 1 : 2;
  }
  return bytes;
}

/** In how many keys and records of one write the name stands: its own and the change record; with versions more. */
export const PLAIN_NAMES = 2;
export const VERSIONED_NAMES = 5;

/** Of one write: its key record, version record, the keys of both, and its part of the change record. */
export function writeBytes(nameBytes: number, names: number, valueBytes: number, contentTypeBytes: number, versions: number): number {
  return WRITE_BYTES + names * nameBytes + valueBytes + 2 * contentTypeBytes + versions * HISTORY_ENTRY_BYTES;
}

export function effectOf(writes: readonly KeyWrite[], reads: readonly string[]): KeyValueEffect {
  let commitOperations = 0;
  let commitBytes = 0;
  for (const write of writes) {
    if (write.type !== 'none') commitOperations += 1 + (write.apart ? 1 : 0) + (write.drop === undefined ? 0 : 1);
    commitBytes += writeBytes(
      utf8Length(write.name),
      write.apart || write.drop !== undefined ? VERSIONED_NAMES : PLAIN_NAMES,
      write.value?.length ?? 0,
      utf8Length(write.contentType),
      write.history.length,
    );
  }
  for (const name of reads) commitBytes += 8 + utf8Length(name);
  return { writes, reads, commitOperations, commitBytes };
}
