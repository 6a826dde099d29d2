/**
 * Strict decoding. Generated code turns invalid UTF-8 into replacement characters, so that two keys
 * could become one, and grpc-js ends a call INTERNAL when a deserializer throws. Here a request that
 * is not what it should be decodes to {@link Malformed}, which the server answers INVALID_ARGUMENT.
 */

import { isUtf8 } from 'node:buffer';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { Failure } from '../../kernel/failure.ts';

/** Up to here a loop over the bytes is cheaper than the calls into native code. */
const SHORT_BYTES = 64;

/** Reads strings as they are or not at all. */
export class StrictReader extends BinaryReader {
  private readonly bytesOfFrame: Buffer;

  constructor(bytes: Uint8Array) {
    super(bytes);
    this.bytesOfFrame = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** @throws Error where the bytes are not UTF-8. */
  override string(): string {
    const length = this.uint32();
    const start = this.pos;
    const end = (this.pos = start + length);
    if (end > this.len) throw new RangeError('premature EOF');
    const bytes = this.bytesOfFrame;
    if (length <= SHORT_BYTES) {
      let i = start;
      while (i < end && bytes[i]! < 0x80) i++;
      if (i === end) return bytes.toString('latin1', start, end);
    }
    // Valid UTF-8 decodes to what it was, a leading byte-order mark included.
    if (!isUtf8(bytes.subarray(start, end))) throw new Error('a string is not valid UTF-8');
    return bytes.toString('utf8', start, end);
  }

  /** What has not been read, as a view: for messages that are read in a way of their own. */
  rest(): Buffer {
    const rest = this.bytesOfFrame.subarray(this.pos, this.len);
    this.pos = this.len;
    return rest;
  }

  /**
   * An unsigned varint as a number, without the detour over BigInt.
   * @throws Error from 2^53 on.
   */
  safeInteger(): number {
    let value = 0;
    let unit = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.bytesOfFrame[this.pos++];
      if (byte === undefined) throw new RangeError('premature EOF');
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('an integer is not below 2^53');
        return value;
      }
      unit *= 128;
    }
    throw new RangeError('a varint has more than 10 bytes');
  }
}

interface Decoder<T> {
  decode(input: BinaryReader | Uint8Array, length?: number): T;
}

/** @throws Error where the bytes are no message of this type, or a string is not UTF-8. */
export function decodeStrictly<T>(type: Decoder<T>, bytes: Uint8Array): T {
  const reader = new StrictReader(bytes);
  const message = type.decode(reader);
  // Generated code stops without a word at a zero tag and at the end of a group that never began.
  if (reader.pos !== reader.len) throw new Error(`the message ends after ${reader.pos} of ${reader.len} bytes`);
  return message;
}

/** What stands where a request should be. */
export class Malformed {
  readonly failure: Failure;

  constructor(error: unknown) {
    this.failure = {
      reason: 'MALFORMED_MESSAGE',
      message:
        `the message can't be decoded: ${error instanceof Error ? error.message : String(error)}; ` +
        'send protobuf of the declared type, with text as UTF-8',
    };
  }
}

/**
 * A generated `(bytes) => Type.decode(bytes)` made strict: generated decoders use a reader that they
 * are handed, and make one of their own only from plain bytes.
 */
export function strict<T>(deserialize: (bytes: Buffer) => T): (bytes: Buffer) => T {
  const type: Decoder<T> = { decode: (input) => deserialize(input as Buffer) };
  return (bytes) => decodeStrictly(type, bytes);
}

/** The same for a server: what can't be decoded is handed on as {@link Malformed}. */
export function tolerant<T>(deserialize: (bytes: Buffer) => T): (bytes: Buffer) => T | Malformed {
  const decode = strict(deserialize);
  return (bytes) => {
    try {
      return decode(bytes);
    } catch (error) {
      return new Malformed(error);
    }
  };
}
