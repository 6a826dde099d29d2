/**
 * The records that every batch of a queue has, written by hand
 * (proto/txmesh/record/v1/{participant_record,queue_record}.proto, whose field numbers stand below).
 * codec-hot.test.ts holds them to the generated code.
 */

import type { AckGroup, QueueRecord, SegmentRecord } from '../kernel/queue/types.ts';
import type { TokenGroup, TokenRecord } from '../kernel/sessions/types.ts';
import { WireWriter } from '../runtime/wire-writer.ts';

const writer = new WireWriter();

const FORMAT = 1;
const SEGMENT = 33;
const MESSAGES = 34;
const ACKS = 39;
const TOKENS = 41;

/** Undefined: a record of another kind. */
export function encodeHot(record: { readonly type: string }, format: number): Uint8Array | undefined {
  const { type } = record as QueueRecord;
  switch (type) {
    case 'payload':
      return encodePayload((record as Extract<QueueRecord, { type: 'payload' }>).messages, format);
    case 'segment':
      return finish(SEGMENT, format, () => writeSegment(record as SegmentRecord));
    case 'acks':
      return finish(ACKS, format, () => {
        for (const group of (record as Extract<QueueRecord, { type: 'acks' }>).groups) writeGroup(group);
      });
    case 'tokens':
      return finish(TOKENS, format, () => writeTokens(record as TokenRecord<number>));
    default:
      return undefined;
  }
}

function finish(field: number, format: number, write: () => void): Uint8Array {
  try {
    writer.uint(FORMAT, format);
    const start = writer.open(field);
    write();
    writer.close(start);
    return writer.finish();
  } catch (error) {
    writer.reset();
    throw error;
  }
}

const varintBytes = (value: number): number => (value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5);

/** Copied once, into memory of its own. */
function encodePayload(messages: readonly Uint8Array[], format: number): Uint8Array {
  let inner = 0;
  for (const { length } of messages) inner += 1 + varintBytes(length) + length;
  const tag = (MESSAGES << 3) | 2;
  const bytes = Buffer.allocUnsafe(1 + varintBytes(format) + varintBytes(tag) + varintBytes(inner) + inner);
  let at = 0;
  const varint = (value: number): void => {
    let rest = value;
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
  };
  varint(FORMAT << 3);
  varint(format);
  varint(tag);
  varint(inner);
  for (const message of messages) {
    bytes[at++] = (1 << 3) | 2;
    varint(message.length);
    bytes.set(message, at);
    at += message.length;
  }
  return bytes;
}

function writeSegment({ first, publishMs, kept, sizes, keys, priorities, deliverAtMs, expireAtMs }: SegmentRecord): void {
  writer.uint(1, first);
  writer.double(2, publishMs);
  writer.flag(3, kept);
  writer.uints(4, sizes);
  if (keys !== undefined) for (const key of keys) writer.item(5, key);
  if (priorities !== undefined) writer.uints(6, priorities);
  if (deliverAtMs !== undefined) writer.doubles(7, deliverAtMs);
  if (expireAtMs !== undefined) writer.doubles(8, expireAtMs);
}

function writeGroup({ owner, generation, acknowledged, delivered, attempts, longestDeadlineMs }: AckGroup): void {
  const start = writer.open(1);
  writer.text(1, owner);
  writer.uint(2, generation);
  writePositions(3, acknowledged);
  writePositions(4, delivered);
  if (attempts.length > 0) {
    const counts = writer.open(5);
    writer.doubles(1, attempts.filter((_, i) => i % 2 === 0));
    writer.uints(2, attempts.filter((_, i) => i % 2 === 1));
    writer.close(counts);
  }
  writer.double(6, longestDeadlineMs);
  writer.close(start);
}

function writePositions(field: number, positions: readonly number[]): void {
  if (positions.length === 0) return;
  const start = writer.open(field);
  writer.uint(1, positions[0]!);
  writer.uints(2, distances(positions, positions[0]!));
  writer.close(start);
}

function distances(numbers: readonly number[], from: number): number[] {
  let last = from;
  return numbers.map((number) => {
    const distance = number - last;
    last = number;
    return distance;
  });
}

function writeTokens({ floor, ended, groups }: TokenRecord<number>): void {
  writer.text(1, floor);
  for (const { session } of ended) writer.item(2, session);
  for (const group of groups) writeTokenGroup(group);
}

function writeTokenGroup({ session, mark, sequences, results }: TokenGroup<number>): void {
  const start = writer.open(3);
  writer.text(1, session);
  writer.uint(2, mark);
  // As protobuf's sint32 has it.
  writer.uints(3, distances(sequences, mark).map((distance) => (distance < 0 ? -2 * distance - 1 : 2 * distance)));
  writer.doubles(4, results);
  writer.close(start);
}
