/**
 * Writes protobuf into one buffer that is used again and again. The links' frames are written by hand:
 * through generated code, with its BigInts and an array for each nested message, they cost several
 * times as much. frames.test.ts holds both to the same bytes.
 */

const START_BYTES = 64 * 1024;
/** A buffer that a large frame has made larger than this is not kept. */
const KEEP_BYTES = 4 * 1024 * 1024;

export class FrameWriter {
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
    this.at += this.buffer.write(text, this.at, 'utf8');
    this.end(start);
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

  /** A copy of what was written; the next frame begins. */
  finish(): Buffer {
    const frame = Buffer.allocUnsafe(this.at);
    this.buffer.copy(frame, 0, 0, this.at);
    this.at = 0;
    if (this.buffer.length > KEEP_BYTES) this.buffer = Buffer.allocUnsafeSlow(START_BYTES);
    return frame;
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
