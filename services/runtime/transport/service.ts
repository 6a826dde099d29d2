/**
 * How a service is written: plain functions by the names of its generated definition. They throw
 * FailureError; anything else that is thrown is a defect, logged and answered INTERNAL.
 */

import type * as grpc from '@grpc/grpc-js';

/** Set on a request that a replica forwards to a partition's leader: it is not forwarded again. */
export const FORWARDED_HEADER = 'txmesh-forwarded';
/** W3C Trace Context. */
export const TRACEPARENT_HEADER = 'traceparent';

/** What is known about a call beside its request. */
export interface CallContext {
  /** Aborted when the caller has cancelled, its deadline has passed, or the connection is lost. */
  readonly signal: AbortSignal;
  /** Wall time of this process at which the caller stops waiting, milliseconds; Infinity if never. */
  readonly deadlineMs: number;
  /** W3C traceparent of the caller's span; undefined: not traced. */
  readonly traceparent: string | undefined;
  /** Another replica has forwarded the call: one that does not lead must not forward it again. */
  readonly forwarded: boolean;
  /** Address of the other end, for logs. */
  readonly peer: string;
  readonly metadata: grpc.Metadata;
}

export type UnaryHandler<Request, Response> = (request: Request, context: CallContext) => Promise<Response>;

/**
 * Each value is sent when the ones before have left, so a slow reader slows the iteration down. The
 * iteration is ended (`return()`) when the caller goes.
 */
export type StreamHandler<Request, Response> = (request: Request, context: CallContext) => AsyncIterable<Response>;

/** A call with messages in both directions. */
export interface Duplex<Request, Response> {
  /**
   * Takes the requests as they arrive. Resolves when the caller has sent its last one; rejects with
   * a FailureError when the call is cancelled or a message can't be decoded. Called once.
   */
  receive(take: (request: Request) => void): Promise<void>;
  /** Stops taking requests, for back-pressure; those already read may still come. As many times as it is resumed. */
  pause(): void;
  resume(): void;
  /** Sends. False: wait for {@link drained} before sending much more. Ignored once the call is over. */
  write(response: Response): boolean;
  /** Resolves when what was written has left, or the call is over. */
  drained(): Promise<void>;
}

/** The call ends when the returned promise does: with OK, or with the failure that was thrown. */
export type DuplexHandler<Request, Response> = (
  call: Duplex<Request, Response>,
  context: CallContext,
) => Promise<void>;

type RequestOf<Method> = Method extends { requestDeserialize(bytes: Buffer): infer Request } ? Request : never;
type ResponseOf<Method> = Method extends { responseDeserialize(bytes: Buffer): infer Response } ? Response : never;

export type HandlerOf<Method> = Method extends { requestStream: false; responseStream: false }
  ? UnaryHandler<RequestOf<Method>, ResponseOf<Method>>
  : Method extends { requestStream: false; responseStream: true }
    ? StreamHandler<RequestOf<Method>, ResponseOf<Method>>
    : Method extends { requestStream: true; responseStream: true }
      ? DuplexHandler<RequestOf<Method>, ResponseOf<Method>>
      : never;

/** A service's handlers, from its generated definition: `Handlers<typeof KeyValueServiceService>`. */
export type Handlers<Definition> = { readonly [Name in keyof Definition]: HandlerOf<Definition[Name]> };
