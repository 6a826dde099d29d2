/**
 * A bidirectional stream to one server that carries many calls. All calls of an event-loop turn go out
 * in as few frames as the bounds allow: batching is what makes the difference between a unary call's
 * cost and a fraction of it.
 */

import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import type * as grpc from '@grpc/grpc-js';
import { strict } from '../runtime/transport/decode.ts';
import { encode } from '../runtime/encode.ts';
import { makeError, type TxmeshError } from './errors.ts';

const FRAME_CALLS = 4_096;
const FRAME_BYTES = 1024 * 1024;

/** A call that can be put on a stream. */
export interface Sendable<Wire> {
  /** About how long it is when encoded. */
  readonly bytes: number;
  /** Called when it is about to be sent. Undefined: it is not wanted any more. */
  encodable(): Wire | undefined;
}

/** What a stream carries, and how. */
export interface StreamKind<Wire, Request, Response> {
  /** Full name of the method, from its generated definition. */
  readonly path: string;
  readonly request: { encode(message: Request, writer: BinaryWriter): BinaryWriter };
  readonly responseDeserialize: (bytes: Buffer) => Response;
  /** The frame that carries these. */
  frame(calls: Wire[], isFirst: boolean): Request;
}

export interface StreamOwner<Stream, Response> {
  onResponse(response: Response, stream: Stream): void;
  /** The stream is over; the error is absent if the server ended it without one. */
  onEnd(stream: Stream, error: grpc.ServiceError | undefined): void;
}

export class BatchedStream<Wire, Request, Response> {
  readonly address: string;
  /** Whether the server has answered anything on it. */
  answered = false;
  private readonly kind: StreamKind<Wire, Request, Response>;
  private readonly owner: StreamOwner<BatchedStream<Wire, Request, Response>, Response>;
  private readonly stream: grpc.ClientDuplexStream<Request, Response>;
  private queue: Sendable<Wire>[] = [];
  private isFirst = true;
  private flushScheduled = false;
  private blocked = false;
  private ended = false;

  constructor(
    address: string,
    client: grpc.Client,
    kind: StreamKind<Wire, Request, Response>,
    owner: StreamOwner<BatchedStream<Wire, Request, Response>, Response>,
  ) {
    this.address = address;
    this.kind = kind;
    this.owner = owner;
    const serialize = (request: Request): Buffer => {
      const bytes = encode(kind.request, request);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    };
    this.stream = client.makeBidiStreamRequest(kind.path, serialize, strict(kind.responseDeserialize));
    this.stream.on('data', (response: Response) => {
      if (this.ended) return;
      this.answered = true;
      owner.onResponse(response, this);
    });
    this.stream.on('drain', () => {
      this.blocked = false;
      this.flush();
    });
    this.stream.on('error', (error: grpc.ServiceError) => this.end(error));
    this.stream.on('end', () => this.end(undefined));
  }

  enqueue(call: Sendable<Wire>): void {
    this.queue.push(call);
    if (this.flushScheduled || this.blocked) return;
    this.flushScheduled = true;
    setImmediate(this.flush);
  }

  /** Cancels it; the owner hears no more of it. */
  close(): void {
    this.ended = true;
    this.queue = [];
    this.stream.cancel();
  }

  private readonly flush = (): void => {
    this.flushScheduled = false;
    const { queue } = this;
    let next = 0;
    while (next < queue.length && !this.blocked && !this.ended) {
      const calls: Wire[] = [];
      for (let bytes = 0; next < queue.length && calls.length < FRAME_CALLS; next++) {
        const call = queue[next]!;
        bytes += call.bytes;
        if (bytes > FRAME_BYTES && calls.length > 0) break;
        const encodable = call.encodable();
        if (encodable !== undefined) calls.push(encodable);
      }
      if (calls.length === 0) continue;
      this.blocked = !this.stream.write(this.kind.frame(calls, this.isFirst));
      this.isFirst = false;
    }
    this.queue = next === queue.length ? [] : queue.slice(next);
  };

  private end(error: grpc.ServiceError | undefined): void {
    if (this.ended) return;
    this.close();
    this.owner.onEnd(this, error);
  }
}

/** The server has ended a stream without saying why: nothing is known of what was unanswered. */
export function streamEnded(address: string): TxmeshError {
  return makeError({ reason: 'OUTCOME_UNKNOWN', message: `${address} ended the stream`, metadata: { status: 'UNAVAILABLE' } });
}
