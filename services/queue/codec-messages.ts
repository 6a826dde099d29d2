/**
 * Messages as they are published and delivered. A message is stored and delivered in the bytes in which it
 * came, so on the way through it is looked at once: by a reader of our own, which takes what is plain
 * and leaves the rest to the generated code and the rules, for an answer that names what is wrong.
 */

import { isUtf8 } from 'node:buffer';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Message } from '../gen/txmesh/queue/v1/queue.ts';
import type { MessagePort, NewMessage } from '../kernel/queue/types.ts';
import { encode } from '../runtime/encode.ts';
import { durationMs, timestampMs } from '../runtime/transport/time.ts';

/** Limits of a message's parts; see queue.proto. */
export const MESSAGE_LIMITS = {
  dataBytes: 1024 * 1024,
  attributes: 100,
  attributeKeyBytes: 256,
  attributeValueBytes: 1024,
  attributesBytes: 32 * 1024,
  orderingKeyBytes: 1024,
  priority: 9,
  deduplicationIdBytes: 256,
  traceparentBytes: 256,
  /** Longest delay and time to live, milliseconds. */
  durationMs: 366 * 86_400_000,
} as const;

/** What the kernel asks about messages. */
export const messagePort: MessagePort = {
  attributesOf: (encoded) => new Map(Object.entries(Message.decode(encoded).attributes)),
  annotate(encoded, attributes) {
    const message = Message.decode(encoded);
    return encode(Message, { ...message, attributes: { ...message.attributes, ...Object.fromEntries(attributes) } });
  },
};

/** A message that keeps the rules. @param encoded undefined: it is encoded here, always the same way */
export function toNewMessage(message: Message, encoded = encodeMessage(message)): NewMessage {
  const { orderingKey, priority, deliverTime, delay, timeToLive, deduplicationId } = message;
  const timeToLiveMs = timeToLive === undefined ? 0 : durationMs(timeToLive);
  const deliverAtMs = deliverTime === undefined ? 0 : timestampMs(deliverTime);
  const delayMs = delay === undefined ? 0 : durationMs(delay);
  return { encoded, orderingKey, priority, deliverAtMs, delayMs, timeToLiveMs, deduplicationId };
}

/** The same content gives the same bytes. */
function encodeMessage(message: Message): Uint8Array {
  const keys = Object.keys(message.attributes);
  const sorted = keys.length > 1 ? Object.fromEntries(keys.sort().map((key) => [key, message.attributes[key]!])) : message.attributes;
  return Message.encode({ ...message, attributes: sorted }, new BinaryWriter()).finish();
}

const DATA = (1 << 3) | 2;
const ATTRIBUTES = (2 << 3) | 2;
const ORDERING_KEY = (3 << 3) | 2;
const PRIORITY = 4 << 3;
const TRACEPARENT = (9 << 3) | 2;

/**
 * What the kernel must know of an encoded message; undefined where it is not plain: it breaks a rule, is
 * delayed or deduplicated, or has a field that is not known. What is returned holds on to the bytes.
 */
export function readPlain(bytes: Buffer, start: number, end: number): NewMessage | undefined {
  let at = start;
  let orderingKey = '';
  let priority = 0;
  let attributes = 0;
  let attributeBytes = 0;
  while (at < end) {
    const tag = bytes[at++]!;
    if (tag === PRIORITY) {
      priority = bytes[at++]!;
      if (priority > MESSAGE_LIMITS.priority) return undefined;
      continue;
    }
    let length = bytes[at++]!;
    if (length >= 0x80) {
      let shift = 7;
      length &= 0x7f;
      for (;;) {
        if (at >= end || shift > 21) return undefined;
        const byte = bytes[at++]!;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
        shift += 7;
      }
    }
    const next = at + length;
    if (next > end) return undefined;
    switch (tag) {
      case DATA:
        if (length > MESSAGE_LIMITS.dataBytes) return undefined;
        break;
      case ATTRIBUTES:
        attributes++;
        attributeBytes += length;
        // Its lengths and its text are held to the rules together, and one by one where they are not short.
        if (attributes > MESSAGE_LIMITS.attributes || attributeBytes > MESSAGE_LIMITS.attributesBytes) return undefined;
        if (!isPlainAttribute(bytes, at, next)) return undefined;
        break;
      case ORDERING_KEY:
        if (length > MESSAGE_LIMITS.orderingKeyBytes || !isPlainText(bytes, at, next)) return undefined;
        orderingKey = bytes.toString('latin1', at, next);
        break;
      case TRACEPARENT:
        if (length > MESSAGE_LIMITS.traceparentBytes || !isPlainText(bytes, at, next)) return undefined;
        break;
      default:
        return undefined;
    }
    at = next;
  }
  if (at !== end) return undefined;
  return { encoded: bytes.subarray(start, end), orderingKey, priority, deliverAtMs: 0, delayMs: 0, timeToLiveMs: 0, deduplicationId: '' };
}

/** A key and a value, both there, once, in order, and short enough to have one byte of length. */
function isPlainAttribute(bytes: Buffer, start: number, end: number): boolean {
  if (bytes[start] !== 0x0a) return false;
  const keyLength = bytes[start + 1]!;
  if (keyLength === 0 || keyLength >= 0x80) return false;
  const valueAt = start + 2 + keyLength;
  if (valueAt + 2 > end || bytes[valueAt] !== 0x12) return false;
  const valueLength = bytes[valueAt + 1]!;
  if (valueLength >= 0x80 || valueAt + 2 + valueLength !== end) return false;
  return isUtf8(bytes.subarray(start + 2, valueAt)) && isUtf8(bytes.subarray(valueAt + 2, end));
}

/** Printable ASCII. */
function isPlainText(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i]! < 0x20 || bytes[i]! >= 0x7f) return false;
  return true;
}

/** The traceparent of an encoded message; empty: none. */
export function traceparentOf(encoded: Uint8Array): string {
  const reader = new BinaryReader(encoded);
  let found = '';
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 9 && wireType === WireType.LengthDelimited) found = reader.string();
    else reader.skip(wireType);
  }
  return found;
}
