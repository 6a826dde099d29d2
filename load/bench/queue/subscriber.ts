/** One consumer: a StreamingPull that acknowledges every frame of messages with one frame. */

import type * as grpc from '@grpc/grpc-js';
import { QueueServiceService } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import { closeStream, openStream, type RawStream } from '../streams.ts';
import { bytesField, Reader, varint, varintField } from '../wire.ts';
import { printable } from './publisher.ts';
import { readStamp, type Stamp } from './stamp.ts';

/** Fields of StreamingPullRequest, StreamingPullResponse, ReceivedMessage, Message. */
const REQUEST = { subscription: 2, maxOutstandingMessages: 4, acknowledgeIds: 6, sequence: 8 };
const RESPONSE = { messages: 1, confirmedSequence: 2, failures: 3 };
const RECEIVED = { ackId: 1, message: 2 };
const MESSAGE_DATA = 1;
const ACKNOWLEDGE_TAG = varint((REQUEST.acknowledgeIds << 3) | 2)[0]!;
/** An ack id's length fits one byte of a varint. */
const MAX_ACK_ID_BYTES = 127;
const MOST_ACKS_IN_A_FRAME = 10_000;

export interface SubscriberPorts {
  readonly client: grpc.Client;
  readonly subscription: string;
  readonly maxOutstandingMessages: number;
  /** A message has come. False: it came before. */
  onMessage(stamp: Stamp, nowMs: number): boolean;
  /** Acknowledged for good: the producers of these messages. */
  onConfirmed(producers: Uint32Array): void;
  fail(error: Error): void;
}

export class Subscriber {
  private readonly ports: SubscriberPorts;
  private readonly stream: RawStream;
  private readonly stamp: Stamp = { sentMs: 0, producer: 0, sequence: 0 };
  /** Producers of the messages in each frame of acknowledgements that is not confirmed, oldest first. */
  private readonly unconfirmed: { readonly sequence: number; readonly producers: Uint32Array }[] = [];
  private sequence = 0;
  private readonly starts = new Uint32Array(MOST_ACKS_IN_A_FRAME);
  private readonly ends = new Uint32Array(MOST_ACKS_IN_A_FRAME);
  private readonly producers = new Uint32Array(MOST_ACKS_IN_A_FRAME);

  constructor(ports: SubscriberPorts) {
    this.ports = ports;
    this.stream = openStream(ports.client, QueueServiceService.streamingPull.path, (frame) => this.onFrame(frame), ports.fail);
    this.stream.write(
      Buffer.concat([bytesField(REQUEST.subscription, ports.subscription), varintField(REQUEST.maxOutstandingMessages, ports.maxOutstandingMessages)]),
    );
  }

  close(): void {
    closeStream(this.stream);
  }

  private onFrame(frame: Buffer): void {
    const nowMs = performance.now();
    const reader = new Reader(frame);
    let messages = 0;
    let fresh = 0;
    while (reader.position < frame.length) {
      const field = reader.next();
      if (field === RESPONSE.messages) {
        this.readMessage(frame, reader, messages++);
        if (this.ports.onMessage(this.stamp, nowMs)) this.producers[fresh++] = this.stamp.producer;
      } else if (field === RESPONSE.confirmedSequence) this.confirm(reader.varint());
      else if (field === RESPONSE.failures) return this.ports.fail(new Error(`an acknowledgement failed: ${printable(frame)}`));
      else reader.skip();
    }
    if (messages > 0) this.acknowledge(frame, messages, fresh);
  }

  private readMessage(frame: Buffer, reader: Reader, index: number): void {
    const end = reader.end();
    while (reader.position < end) {
      const field = reader.next();
      if (field === RECEIVED.ackId) {
        const ackEnd = reader.end();
        this.starts[index] = reader.position;
        this.ends[index] = reader.position = ackEnd;
      } else if (field === RECEIVED.message) {
        const messageEnd = reader.end();
        while (reader.position < messageEnd) {
          if (reader.next() === MESSAGE_DATA) {
            const dataEnd = reader.end();
            readStamp(frame, reader.position, this.stamp);
            reader.position = dataEnd;
          } else reader.skip();
        }
      } else reader.skip();
    }
  }

  /** Sends the ack ids back as they stand in the frame. */
  private acknowledge(frame: Buffer, messages: number, fresh: number): void {
    const sequence = varintField(REQUEST.sequence, ++this.sequence);
    let size = sequence.length;
    for (let i = 0; i < messages; i++) size += 2 + this.ends[i]! - this.starts[i]!;
    const answer = Buffer.allocUnsafe(size);
    let at = 0;
    for (let i = 0; i < messages; i++) {
      const length = this.ends[i]! - this.starts[i]!;
      if (length > MAX_ACK_ID_BYTES) return this.ports.fail(new Error(`an ack id of ${length} bytes`));
      answer[at++] = ACKNOWLEDGE_TAG;
      answer[at++] = length;
      at += frame.copy(answer, at, this.starts[i]!, this.ends[i]!);
    }
    sequence.copy(answer, at);
    this.unconfirmed.push({ sequence: this.sequence, producers: this.producers.slice(0, fresh) });
    this.stream.write(answer);
  }

  private confirm(sequence: number): void {
    while (this.unconfirmed.length > 0 && this.unconfirmed[0]!.sequence <= sequence) this.ports.onConfirmed(this.unconfirmed.shift()!.producers);
  }
}
