/** One consumer: a StreamingPull that acknowledges in frames too, what has come within a short time with one. */

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
const MOST_ACKS_IN_A_FRAME = 4_096;
/** Acknowledgements are not urgent: they wait so long for company. */
const ACK_DELAY_MS = 2;

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
  /** Fields of the next frame of acknowledgements. */
  private readonly acks = Buffer.allocUnsafe(MOST_ACKS_IN_A_FRAME * (2 + MAX_ACK_ID_BYTES));
  private ackBytes = 0;
  private ackCount = 0;
  private readonly producers = new Uint32Array(MOST_ACKS_IN_A_FRAME);
  private fresh = 0;
  private scheduled = false;

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
    while (reader.position < frame.length) {
      const field = reader.next();
      if (field === RESPONSE.messages) {
        this.readMessage(frame, reader);
        if (this.ports.onMessage(this.stamp, nowMs)) this.producers[this.fresh++] = this.stamp.producer;
        if (++this.ackCount === MOST_ACKS_IN_A_FRAME) this.acknowledge();
      } else if (field === RESPONSE.confirmedSequence) this.confirm(reader.varint());
      else if (field === RESPONSE.failures) return this.ports.fail(new Error(`an acknowledgement failed: ${printable(frame)}`));
      else reader.skip();
    }
    if (this.ackCount === 0 || this.scheduled) return;
    this.scheduled = true;
    setTimeout(() => {
      this.scheduled = false;
      this.acknowledge();
    }, ACK_DELAY_MS);
  }

  /** Takes the stamp, and puts the ack id among the acknowledgements as it stands in the frame. */
  private readMessage(frame: Buffer, reader: Reader): void {
    const end = reader.end();
    while (reader.position < end) {
      const field = reader.next();
      if (field === RECEIVED.ackId) {
        const ackEnd = reader.end();
        const length = ackEnd - reader.position;
        if (length > MAX_ACK_ID_BYTES) return this.ports.fail(new Error(`an ack id of ${length} bytes`));
        this.acks[this.ackBytes++] = ACKNOWLEDGE_TAG;
        this.acks[this.ackBytes++] = length;
        this.ackBytes += frame.copy(this.acks, this.ackBytes, reader.position, ackEnd);
        reader.position = ackEnd;
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

  private acknowledge(): void {
    if (this.ackCount === 0) return;
    const sequence = varintField(REQUEST.sequence, ++this.sequence);
    this.unconfirmed.push({ sequence: this.sequence, producers: this.producers.slice(0, this.fresh) });
    this.stream.write(Buffer.concat([this.acks.subarray(0, this.ackBytes), sequence]));
    this.ackBytes = this.ackCount = this.fresh = 0;
  }

  private confirm(sequence: number): void {
    while (this.unconfirmed.length > 0 && this.unconfirmed[0]!.sequence <= sequence) this.ports.onConfirmed(this.unconfirmed.shift()!.producers);
  }
}
