/**
 * One ExecuteStream to one server. All calls of an event-loop turn go out in as few frames as the
 * bounds allow: batching is what makes the difference between a unary call's cost and a fraction of it.
 */

import type * as grpc from '@grpc/grpc-js';
import {
  CoordinatorServiceService,
  ExecuteStreamRequest,
  ExecuteStreamResponse,
  type ExecuteCall,
  type ExecuteResult,
} from '../gen/txmesh/coordinator/v1/coordinator.ts';
import { strict } from '../runtime/transport/decode.ts';
import { encode } from '../runtime/encode.ts';

const FRAME_CALLS = 4_096;
const FRAME_BYTES = 1024 * 1024;

/** A call that can be put on a stream. */
export interface Sendable {
  /** About how long it is when encoded. */
  readonly bytes: number;
  /** Called when it is about to be sent. Undefined: it is not wanted any more. */
  encodable(): ExecuteCall | undefined;
}

export interface StreamOwner<Call extends Sendable> {
  onResult(result: ExecuteResult): void;
  /** The stream is over; the error is absent if the server ended it without one. */
  onEnd(stream: ExecuteStream<Call>, error: grpc.ServiceError | undefined): void;
}

const { path, responseDeserialize } = CoordinatorServiceService.executeStream;

function serialize(request: ExecuteStreamRequest): Buffer {
  const bytes = encode(ExecuteStreamRequest, request);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

export class ExecuteStream<Call extends Sendable> {
  readonly address: string;
  private readonly owner: StreamOwner<Call>;
  private readonly stream: grpc.ClientDuplexStream<ExecuteStreamRequest, ExecuteStreamResponse>;
  private queue: Call[] = [];
  private flushScheduled = false;
  private blocked = false;
  private ended = false;

  constructor(address: string, client: grpc.Client, owner: StreamOwner<Call>) {
    this.address = address;
    this.owner = owner;
    this.stream = client.makeBidiStreamRequest(path, serialize, strict(responseDeserialize));
    this.stream.on('data', ({ results }: ExecuteStreamResponse) => {
      for (const result of results) owner.onResult(result);
    });
    this.stream.on('drain', () => {
      this.blocked = false;
      this.flush();
    });
    this.stream.on('error', (error: grpc.ServiceError) => this.end(error));
    this.stream.on('end', () => this.end(undefined));
  }

  enqueue(call: Call): void {
    this.queue.push(call);
    if (this.flushScheduled || this.blocked) return;
    this.flushScheduled = true;
    setImmediate(this.flush);
  }

  /** Cancels it; the owner hears no more of it. */
  close(): void {
    this.ended = true;
    this.stream.cancel();
  }

  private readonly flush = (): void => {
    this.flushScheduled = false;
    const { queue } = this;
    let next = 0;
    while (next < queue.length && !this.blocked && !this.ended) {
      const calls: ExecuteCall[] = [];
      for (let bytes = 0; next < queue.length && calls.length < FRAME_CALLS; next++) {
        const call = queue[next]!;
        bytes += call.bytes;
        if (bytes > FRAME_BYTES && calls.length > 0) break;
        const encodable = call.encodable();
        if (encodable !== undefined) calls.push(encodable);
      }
      if (calls.length > 0) this.blocked = !this.stream.write({ calls });
    }
    this.queue = next === queue.length ? [] : queue.slice(next);
  };

  private end(error: grpc.ServiceError | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.stream.cancel();
    this.queue = [];
    this.owner.onEnd(this, error);
  }
}
