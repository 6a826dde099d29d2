/**
 * Protobuf by hand, for loads that must cost little beside the servers on the same cores: frames are
 * copied from a template and read in place, without an object for each message.
 */

/** Wire types of the protobuf encoding. */
const VARINT = 0;
const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;

/** Bytes of a number that {@link writeSequence} has written. */
export const SEQUENCE_BYTES = 5;

/** Writes a whole number below 2^31 as a varint that is always as long, so that what follows stays in place. */
export function writeSequence(bytes: Buffer, at: number, value: number): void {
  for (let i = 0; i < SEQUENCE_BYTES - 1; i++) {
    bytes[at + i] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  bytes[at + SEQUENCE_BYTES - 1] = value;
}

export function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

export function varintField(field: number, value: number): Buffer {
  return Buffer.from([...varint(field << 3), ...varint(value)]);
}

export function bytesField(field: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([...varint((field << 3) | LENGTH_DELIMITED), ...varint(bytes.length)]), bytes]);
}

/** Walks over fields. After {@link next}, read the value or {@link skip} it. */
export class Reader {
  position: number;
  private readonly bytes: Buffer;
  private wireType = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.position = 0;
  }

  /** The number of the field that comes next. */
  next(): number {
    const tag = this.varint();
    this.wireType = tag & 7;
    return tag >>> 3;
  }

  /** For values below 2^53. */
  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.bytes[this.position++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }

  /** Where the field's bytes end; they begin at the position. */
  end(): number {
    const length = this.varint();
    return this.position + length;
  }

  skip(): void {
    if (this.wireType === VARINT) this.varint();
    else if (this.wireType === LENGTH_DELIMITED) this.position = this.end();
    else if (this.wireType === FIXED_64) this.position += 8;
    else if (this.wireType === FIXED_32) this.position += 4;
    else throw new Error(`wire type ${this.wireType} at byte ${this.position}`);
  }
}
