/** One producer: a PublishStream with a session, so that what it repeats would be published once. */

import { randomUUIDv7 } from 'node:crypto';
import type * as grpc from '@grpc/grpc-js';
import { QueueServiceService } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import type { Latencies } from '../latencies.ts';
import { closeStream, openStream, type RawStream } from '../streams.ts';
import { Unanswered } from '../unanswered.ts';
import { bytesField, Reader, SEQUENCE_BYTES, varint, varintField, writeSequence } from '../wire.ts';
import { STAMP_BYTES, writeStamp } from './stamp.ts';

/** Fields of PublishStreamRequest, PublishCall, Message, PublishStreamResponse, PublishedRun. */
const REQUEST = { topic: 2, session: 3, settledBelow: 4, calls: 5 };
const CALL = { sequence: 1, message: 2 };
const MESSAGE_DATA = 1;
const RESPONSE = { published: 1, refused: 2 };
const RUN = { sequence: 1, count: 2 };

const MOST_CALLS_IN_A_FRAME = 512;

export interface PublisherPorts {
  readonly client: grpc.Client;
  readonly topic: string;
  readonly messageBytes: number;
  /** Messages wait until there is room for so many, and go together. */
  readonly batch: number;
  /** From sending to the answer, while it measures. */
  readonly latencies: Latencies;
  isMeasuring(): boolean;
  onAnswered?(messages: number): void;
  fail(error: Error): void;
}

export class Publisher {
  private readonly messages = new Unanswered();
  private readonly ports: PublisherPorts;
  private readonly index: number;
  private readonly stream: RawStream;
  /** A call whose sequence and stamp are still to be filled in. */
  private readonly template: Buffer;
  private readonly sequenceAt: number;
  private credit = 0;
  private flushScheduled = false;
  private stopped = false;

  constructor(index: number, ports: PublisherPorts) {
    this.index = index;
    this.ports = ports;
    const data = Buffer.alloc(Math.max(STAMP_BYTES, ports.messageBytes), 'm');
    const message = bytesField(CALL.message, bytesField(MESSAGE_DATA, data));
    const sequence = Buffer.concat([Buffer.from(varint(CALL.sequence << 3)), Buffer.alloc(SEQUENCE_BYTES)]);
    this.template = bytesField(REQUEST.calls, Buffer.concat([sequence, message]));
    this.sequenceAt = this.template.length - message.length - SEQUENCE_BYTES;
    this.stream = openStream(ports.client, QueueServiceService.publishStream.path, (frame) => this.onAnswers(frame), ports.fail);
    this.stream.write(Buffer.concat([bytesField(REQUEST.topic, ports.topic), bytesField(REQUEST.session, randomUUIDv7())]));
  }

  get sent(): number {
    return this.messages.sent;
  }

  /** So many more may be sent. */
  allow(messages: number): void {
    this.credit += messages;
    if (this.flushScheduled || this.credit < this.ports.batch) return;
    this.flushScheduled = true;
    setImmediate(() => {
      this.flushScheduled = false;
      while (this.credit > 0 && !this.stopped) this.send(Math.min(this.credit, MOST_CALLS_IN_A_FRAME));
    });
  }

  /** Sends no more. */
  stop(): void {
    this.stopped = true;
  }

  close(): void {
    closeStream(this.stream);
  }

  private send(count: number): void {
    const settled = varintField(REQUEST.settledBelow, this.messages.lowest);
    const { template, sequenceAt } = this;
    const frame = Buffer.allocUnsafe(settled.length + count * template.length);
    settled.copy(frame);
    const nowMs = performance.now();
    let at = settled.length;
    for (let i = 0; i < count; i++, at += template.length) {
      const sequence = this.messages.send(nowMs);
      template.copy(frame, at);
      writeSequence(frame, at + sequenceAt, sequence);
      writeStamp(frame, at + template.length - this.ports.messageBytes, nowMs, this.index, sequence);
    }
    this.credit -= count;
    this.stream.write(frame);
  }

  private onAnswers(frame: Buffer): void {
    const nowMs = performance.now();
    const measuring = this.ports.isMeasuring();
    const reader = new Reader(frame);
    const before = this.messages.answered;
    while (reader.position < frame.length) {
      const field = reader.next();
      if (field === RESPONSE.refused) return this.ports.fail(new Error(`a message was refused: ${printable(frame)}`));
      if (field !== RESPONSE.published) {
        reader.skip();
        continue;
      }
      const end = reader.end();
      let sequence = 0;
      let count = 0;
      while (reader.position < end) {
        const part = reader.next();
        if (part === RUN.sequence) sequence = reader.varint();
        else if (part === RUN.count) count = reader.varint();
        else reader.skip();
      }
      for (let i = sequence; i < sequence + count; i++) {
        const tookMs = this.messages.answer(i, nowMs);
        if (measuring) this.ports.latencies.add(tookMs);
      }
    }
    this.ports.onAnswered?.(this.messages.answered - before);
  }
}

/** The words in a frame that was not expected. */
export function printable(frame: Buffer): string {
  return frame.toString('latin1').replaceAll(/[^ -~]+/g, ' ').slice(0, 500);
}
