/** What the bench writes at the beginning of a message: when it was sent, by whom, and its number. */

const SENT_AT = 0;
const PRODUCER_AT = 8;
const SEQUENCE_AT = 12;
export const STAMP_BYTES = 16;

export interface Stamp {
  sentMs: number;
  producer: number;
  sequence: number;
}

export function writeStamp(bytes: Buffer, at: number, sentMs: number, producer: number, sequence: number): void {
  bytes.writeDoubleLE(sentMs, at + SENT_AT);
  bytes.writeUInt32LE(producer, at + PRODUCER_AT);
  bytes.writeUInt32LE(sequence, at + SEQUENCE_AT);
}

/** Reads into an object that is used again and again. */
export function readStamp(bytes: Buffer, at: number, stamp: Stamp): void {
  stamp.sentMs = bytes.readDoubleLE(at + SENT_AT);
  stamp.producer = bytes.readUInt32LE(at + PRODUCER_AT);
  stamp.sequence = bytes.readUInt32LE(at + SEQUENCE_AT);
}
