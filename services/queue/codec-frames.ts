/**
 * Frames of PublishStream and StreamingPull (proto/txmesh/queue/v1/queue.proto, whose field numbers stand
 * below), read and written by hand: a message passes as the bytes that it is (Q13), and a frame of hundreds
 * costs little more than copying it. codec-frames.test.ts holds both to the generated code.
 */

import { isUtf8 } from 'node:buffer';
import { Duration } from '../gen/google/protobuf/duration.ts';
import { Status } from '../gen/google/rpc/status.ts';
import { Message } from '../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../kernel/failure.ts';
import type { DeliveredMessage, NewMessage } from '../kernel/queue/types.ts';
import { failureToStatus } from '../runtime/errors/status.ts';
import { findFailure } from '../runtime/router/rules.ts';
import { decodeStrictly, Malformed, StrictReader } from '../runtime/transport/decode.ts';
import { durationMs } from '../runtime/transport/time.ts';
import { WireWriter } from '../runtime/wire-writer.ts';
import { formatAckId, formatMessageId } from './codec-ids.ts';
import { readPlain, toNewMessage } from './codec-messages.ts';
import { messageRule } from './handlers/validate.ts';

/** A frame of PublishStream. Arrays run side by side. */
export interface PublishFrame {
  readonly participant: string;
  readonly topic: string;
  readonly session: string;
  readonly settledBelow: number;
  readonly sequences: number[];
  /** As the kernel takes them, or what is wrong. */
  readonly messages: (NewMessage | Failure)[];
  /** Of the messages. */
  readonly bytes: number;
}

/** Reads in place; numbers are below 2^53. */
class Cursor {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  varint(): number {
    let value = 0;
    let unit = 1;
    for (let i = 0; i < 10; i++) {
      if (this.at >= this.end) throw new RangeError('premature EOF');
      const byte = this.bytes[this.at++]!;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('an integer is not below 2^53');
        return value;
      }
      unit *= 128;
    }
    throw new RangeError('a varint has more than 10 bytes');
  }

  /** The end of a field with a length; the cursor is at its beginning. */
  length(): number {
    const end = this.varint() + this.at;
    if (end > this.end) throw new RangeError('premature EOF');
    return end;
  }

  text(): string {
    const end = this.length();
    const start = this.at;
    this.at = end;
    if (!isUtf8(this.bytes.subarray(start, end))) throw new Error('a string is not valid UTF-8');
    return this.bytes.toString('utf8', start, end);
  }

  /** A field that is not known. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        while (this.at < this.end && this.bytes[this.at]! >= 0x80) this.at++;
        this.at++;
        break;
      case 1:
        this.at += 8;
        break;
      case 2:
        this.at = this.length();
        break;
      case 5:
        this.at += 4;
        break;
      default:
        throw new Error(`wire type ${tag & 7} is not used by this message`);
    }
    if (this.at > this.end || tag < 8) throw new RangeError('premature EOF');
  }
}

const LENGTH = 2;
const field = (number: number, wireType = 0): number => (number << 3) | wireType;

/** @param input bytes, or a StrictReader where the type of a deserializer says Buffer */
function bytesOf(input: Uint8Array | StrictReader): Buffer {
  return (input instanceof StrictReader ? input : new StrictReader(input)).rest();
}

/** @throws Error where the bytes are no such frame; what is wrong with one message is said in its place. */
export function decodePublishFrame(input: Uint8Array | StrictReader): PublishFrame {
  const cursor = new Cursor(bytesOf(input));
  let [participant, topic, session] = ['', '', ''];
  let settledBelow = 0;
  let total = 0;
  const sequences: number[] = [];
  const messages: (NewMessage | Failure)[] = [];
  while (cursor.at < cursor.end) {
    const tag = cursor.varint();
    switch (tag) {
      case field(1, LENGTH):
        participant = cursor.text();
        break;
      case field(2, LENGTH):
        topic = cursor.text();
        break;
      case field(3, LENGTH):
        session = cursor.text();
        break;
      case field(4):
        settledBelow = cursor.varint();
        break;
      case field(5, LENGTH): {
        const end = cursor.length();
        const call = new Cursor(cursor.bytes, cursor.at, end);
        cursor.at = end;
        let sequence = 0;
        let message: NewMessage | Failure = NO_MESSAGE;
        while (call.at < call.end) {
          const inner = call.varint();
          if (inner === field(1)) sequence = call.varint();
          else if (inner === field(2, LENGTH)) {
            const messageEnd = call.length();
            message = readMessage(call.bytes, call.at, messageEnd);
            total += messageEnd - call.at;
            call.at = messageEnd;
          } else call.skip(inner);
        }
        sequences.push(sequence);
        messages.push(message);
        break;
      }
      default:
        cursor.skip(tag);
    }
  }
  return { participant, topic, session, settledBelow, sequences, messages, bytes: total };
}

const NO_MESSAGE: Failure = {
  reason: 'INVALID_FIELD',
  message: 'message must be set',
  violations: [{ field: 'message', description: 'must be set' }],
};

function readMessage(bytes: Buffer, start: number, end: number): NewMessage | Failure {
  const plain = readPlain(bytes, start, end);
  if (plain !== undefined) return plain;
  const encoded = bytes.subarray(start, end);
  try {
    const message = decodeStrictly(Message, encoded);
    return findFailure(messageRule, message) ?? toNewMessage(message, encoded);
  } catch (error) {
    return new Malformed(error).failure;
  }
}

const writer = new WireWriter();

/** Messages that were published: each with the one before it where sequence and position go on. */
export interface Run {
  readonly sequence: number;
  count: number;
}

export interface PublishedRun extends Run {
  readonly partition: number;
  readonly incarnation: number;
  readonly position: number;
}

export interface RefusedRun extends Run {
  readonly failure: Failure;
}

export interface PublishAnswer {
  readonly published: readonly PublishedRun[];
  readonly refused: readonly RefusedRun[];
}

export function encodePublishAnswer({ published, refused }: PublishAnswer): Buffer {
  for (const run of published) {
    const start = writer.open(1);
    writer.uint(1, run.sequence);
    writer.uint(2, run.count);
    writer.text(3, formatMessageId(run));
    writer.close(start);
  }
  for (const { sequence, count, failure } of refused) {
    const start = writer.open(2);
    writer.uint(1, sequence);
    writer.uint(2, count);
    writer.bytes(3, Status.encode(failureToStatus(failure)).finish());
    writer.close(start);
  }
  return writer.finish();
}

/** A frame of what a consumer says. */
export interface ConsumerFrame {
  readonly participant: string;
  readonly subscription: string;
  /** Undefined: not said. */
  readonly ackDeadlineMs: number | undefined;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly acknowledge: string[];
  readonly modify: { readonly ackId: string; readonly deadlineMs: number }[];
  readonly sequence: number;
}

export function decodeConsumerFrame(input: Uint8Array | StrictReader): ConsumerFrame {
  const cursor = new Cursor(bytesOf(input));
  let [participant, subscription] = ['', ''];
  let ackDeadlineMs: number | undefined;
  let [maxMessages, maxBytes, sequence] = [0, 0, 0];
  const acknowledge: string[] = [];
  const modify: { ackId: string; deadlineMs: number }[] = [];
  while (cursor.at < cursor.end) {
    const tag = cursor.varint();
    switch (tag) {
      case field(1, LENGTH):
        participant = cursor.text();
        break;
      case field(2, LENGTH):
        subscription = cursor.text();
        break;
      case field(3, LENGTH):
        ackDeadlineMs = readDuration(cursor);
        break;
      case field(4):
        maxMessages = cursor.varint();
        break;
      case field(5):
        maxBytes = cursor.varint();
        break;
      case field(6, LENGTH):
        acknowledge.push(ascii(cursor));
        break;
      case field(7, LENGTH):
        modify.push(readModify(cursor));
        break;
      case field(8):
        sequence = cursor.varint();
        break;
      default:
        cursor.skip(tag);
    }
  }
  return { participant, subscription, ackDeadlineMs, maxMessages, maxBytes, acknowledge, modify, sequence };
}

/** Text of which anything but ASCII is refused later. */
function ascii(cursor: Cursor): string {
  const end = cursor.length();
  const text = cursor.bytes.toString('latin1', cursor.at, end);
  cursor.at = end;
  return text;
}

function readDuration(cursor: Cursor): number {
  const end = cursor.length();
  const bytes = cursor.bytes.subarray(cursor.at, end);
  cursor.at = end;
  return durationMs(decodeStrictly(Duration, bytes));
}

function readModify(cursor: Cursor): { ackId: string; deadlineMs: number } {
  const end = cursor.length();
  const inner = new Cursor(cursor.bytes, cursor.at, end);
  cursor.at = end;
  let ackId = '';
  let deadlineMs = 0;
  while (inner.at < inner.end) {
    const tag = inner.varint();
    if (tag === field(1, LENGTH)) ackId = ascii(inner);
    else if (tag === field(2, LENGTH)) deadlineMs = readDuration(inner);
    else inner.skip(tag);
  }
  return { ackId, deadlineMs };
}

/** Messages of one partition. */
export interface Delivered {
  readonly route: string;
  readonly partition: number;
  readonly incarnation: number;
  readonly messages: readonly DeliveredMessage[];
}

/** What a consumer gets: messages in bytes, where they were forwarded, or as the kernel gives them. */
export interface DeliveryFrame {
  readonly delivered: readonly Delivered[];
  /** Encoded txmesh.queue.v1.ReceivedMessage. */
  readonly forwarded: readonly Uint8Array[];
  readonly confirmedSequence: number;
  readonly failures: readonly { readonly ackId: string; readonly failure: Failure }[];
}

export function encodeDeliveryFrame({ delivered, forwarded, confirmedSequence, failures }: DeliveryFrame): Buffer {
  for (const each of delivered) writeMessages(each);
  for (const bytes of forwarded) writer.bytes(1, bytes);
  writer.uint(2, confirmedSequence);
  for (const { ackId, failure } of failures) {
    const start = writer.open(3);
    writer.text(1, ackId);
    writer.bytes(2, Status.encode(failureToStatus(failure)).finish());
    writer.close(start);
  }
  return writer.finish();
}

/** A PullResponse. */
export function encodePullResponse(delivered: readonly Delivered[], forwarded: readonly Uint8Array[]): Buffer {
  return encodeDeliveryFrame({ delivered, forwarded, confirmedSequence: 0, failures: [] });
}

function writeMessages({ route, partition, incarnation, messages }: Delivered): void {
  for (const { position, generation, attempt, publishMs, encoded } of messages) {
    const start = writer.open(1);
    writer.text(1, formatAckId(route, { generation, position, attempt, incarnation }));
    writer.message(2, encoded);
    writer.text(3, formatMessageId({ partition, incarnation, position }));
    const time = writer.open(4);
    const seconds = Math.floor(publishMs / 1000);
    writer.uint(1, seconds);
    writer.uint(2, Math.floor(publishMs - seconds * 1000) * 1_000_000);
    writer.close(time);
    writer.uint(5, attempt);
    writer.close(start);
  }
}

/** The messages of a PullResponse that another replica has sent, as they are. */
export function splitPullResponse(input: Uint8Array | StrictReader): Uint8Array[] {
  const cursor = new Cursor(bytesOf(input));
  const messages: Uint8Array[] = [];
  while (cursor.at < cursor.end) {
    const tag = cursor.varint();
    if (tag !== field(1, LENGTH)) {
      cursor.skip(tag);
      continue;
    }
    const end = cursor.length();
    messages.push(cursor.bytes.subarray(cursor.at, end));
    cursor.at = end;
  }
  return messages;
}

/** What flow control must know of a received message in bytes. */
export function peekReceived(bytes: Uint8Array): { readonly ackId: string; readonly bytes: number } {
  const cursor = new Cursor(bytesOf(bytes));
  let ackId = '';
  let size = 0;
  while (cursor.at < cursor.end) {
    const tag = cursor.varint();
    if (tag === field(1, LENGTH)) ackId = ascii(cursor);
    else if (tag === field(2, LENGTH)) {
      const end = cursor.length();
      size = end - cursor.at;
      cursor.at = end;
    } else cursor.skip(tag);
  }
  return { ackId, bytes: size };
}
