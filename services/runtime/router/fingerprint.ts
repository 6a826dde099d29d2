/**
 * What makes two requests under one id the same (invariants T10, K6): a hash of their content, from an
 * encoding of our own, so that the same content in another wire form is the same.
 */

import { hash } from 'node:crypto';

/** 132 bits, as base64url. */
const FINGERPRINT_CHARACTERS = 22;
const LENGTH_BYTES = 4;
const LARGEST_SCRATCH_BYTES = 1024 * 1024;

let scratch = Buffer.allocUnsafe(16 * 1024);

/** @param parts in their order, each told apart from the next by its length. */
export function fingerprint(parts: readonly (string | Uint8Array)[]): string {
  let bound = 0;
  // UTF-8 takes at most three bytes for a UTF-16 code unit.
  for (const part of parts) bound += LENGTH_BYTES + (typeof part === 'string' ? 3 * part.length : part.length);
  let buffer = scratch;
  if (bound > buffer.length) {
    buffer = Buffer.allocUnsafe(bound);
    if (bound <= LARGEST_SCRATCH_BYTES) scratch = buffer;
  }
  let at = 0;
  for (const part of parts) {
    const start = at + LENGTH_BYTES;
    let length = part.length;
    if (typeof part === 'string') length = buffer.write(part, start);
    else buffer.set(part, start);
    buffer.writeUInt32LE(length, at);
    at = start + length;
  }
  return hash('sha256', buffer.subarray(0, at), 'base64url').slice(0, FINGERPRINT_CHARACTERS);
}
