/**
 * Writes protobuf into one buffer that is used again and again. The links' frames and the records that
 * every transaction has are written by hand: through generated code, with its BigInts, an object and an
 * array for each nested message, they cost several times as much. Fields that have their default value
 * are left out. frames.test.ts and the tests of the codecs hold both to the same bytes.
 */

const START_BYTES = 64 * 1024;
/** A buffer that a large frame has made larger than this is not kept. */
const KEEP_BYTES = 4 * 1024 * 1024;

/** Longer text is faster written by Node. */
const SHORT_TEXT = 48;

export class WireWriter {
  private buffer = Buffer.allocUnsafeSlow(START_BYTES);
  private at = 0;

  uint(field: number, value: number): void {
    if (value === 0) return;
    this.reserve(16);
    this.varint(field << 3);
    this.varint(value);
  }

  text(field: number, text: string): void {
    if (text.length === 0) return;
    this.reserve(text.length * 3 + 16);
    this.varint((field << 3) | 2);
    const start = this.begin();
    if (text.length > SHORT_TEXT || !this.ascii(text)) this.at = start + this.buffer.write(text, start, 'utf8');
    this.end(start);
  }

  /** One of a repeated field, written though it be empty. */
  item(field: number, text: string): void {
    if (text.length === 0) this.close(this.open(field));
    else this.text(field, text);
  }

  flag(field: number, value: boolean): void {
    if (value) this.uint(field, 1);
  }

  double(field: number, value: number): void {
    if (value === 0) return;
    this.reserve(16);
    this.varint((field << 3) | 1);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  /** Repeated numbers, packed. */
  uints(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const start = this.open(field);
    for (const value of values) {
      this.reserve(16);
      this.varint(value);
    }
    this.close(start);
  }

  /** Repeated doubles, packed. */
  doubles(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const length = 8 * values.length;
    this.reserve(length + 16);
    this.varint((field << 3) | 2);
    this.varint(length);
    for (const value of values) this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  bytes(field: number, bytes: Uint8Array): void {
    if (bytes.length > 0) this.message(field, bytes);
  }

  /** A nested message that is encoded; written also where it is empty. */
  message(field: number, bytes: Uint8Array): void {
    this.reserve(bytes.length + 16);
    this.varint((field << 3) | 2);
    this.varint(bytes.length);
    this.buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Begins a nested message; {@link close} with what is returned ends it. */
  open(field: number): number {
    this.reserve(16);
    this.varint((field << 3) | 2);
    return this.begin();
  }

  close(start: number): void {
    this.reserve(8);
    this.end(start);
  }

  /** A copy of what was written, in Node's pool where it is small; the next message begins. */
  finish(): Buffer {
    const frame = Buffer.allocUnsafe(this.at);
    this.buffer.copy(frame, 0, 0, this.at);
    this.at = 0;
    if (this.buffer.length > KEEP_BYTES) this.buffer = Buffer.allocUnsafeSlow(START_BYTES);
    return frame;
  }

  /** Drops what was written of a message that can't be finished. */
  reset(): void {
    this.at = 0;
  }

  /** False if there is other than ASCII in it; what was written then counts for nothing. */
  private ascii(text: string): boolean {
    const { buffer, at } = this;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return false;
      buffer[at + i] = code;
    }
    this.at = at + text.length;
    return true;
  }

  /** Leaves one byte for the length, which is enough for most. */
  private begin(): number {
    return ++this.at;
  }

  private end(start: number): void {
    const length = this.at - start;
    if (length < 0x80) {
      this.buffer[start - 1] = length;
      return;
    }
    let more = 0;
    for (let rest = length; rest >= 0x80; rest = Math.floor(rest / 128)) more++;
    this.buffer.copyWithin(start + more, start, this.at);
    const end = this.at + more;
    this.at = start - 1;
    this.varint(length);
    this.at = end;
  }

  private varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[this.at++] = (rest % 128) | 0x80;
      rest = rest > 0x7fff_ffff ? Math.floor(rest / 128) : rest >>> 7;
    }
    this.buffer[this.at++] = rest;
  }

  private reserve(bytes: number): void {
    const needed = this.at + bytes;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }
}
