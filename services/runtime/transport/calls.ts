/** Between grpc-js's callbacks and events and the handlers of service.ts. */

import type * as grpc from '@grpc/grpc-js';
import type { Failure } from '../../kernel/failure.ts';
import { FailureError } from '../errors/failure-error.ts';
import { failureToServiceError } from '../errors/status.ts';
import { isControl, type Admission, type Admitted } from './admission.ts';
import { ServerCallContext, type ServerCall } from './context.ts';
import { Malformed } from './decode.ts';
import type { Duplex, DuplexHandler, StreamHandler, UnaryHandler } from './service.ts';

/** What the calls of one server share. */
export interface CallEnvironment {
  readonly admission: Admission;
  /** Open streams, to be ended when the server stops. */
  readonly streams: Set<OpenStream>;
  log(message: string, fields: Record<string, unknown>): void;
}

export interface OpenStream {
  end(failure: Failure): void;
}

type Unary = grpc.handleUnaryCall<unknown, unknown>;
type ServerStream = grpc.ServerWritableStream<unknown, unknown>;
type BidiStream = grpc.ServerDuplexStream<unknown, unknown>;

export function unaryCall(path: string, handler: UnaryHandler<unknown, unknown>, env: CallEnvironment): Unary {
  const kind: Admitted = isControl(path) ? 'control call' : 'call';
  return (call, callback) => {
    if (call.request instanceof Malformed) return callback(failureToServiceError(call.request.failure));
    const refusal = env.admission.enter(kind);
    if (refusal !== undefined) return callback(failureToServiceError(refusal));
    run(() => handler(call.request, new ServerCallContext(call))).then(
      (response) => {
        callback(null, response);
        env.admission.leave(kind);
      },
      (error: unknown) => {
        callback(failureToServiceError(failureOf(error, path, env)));
        env.admission.leave(kind);
      },
    );
  };
}

export function streamCall(
  path: string,
  handler: StreamHandler<unknown, unknown>,
  env: CallEnvironment,
): grpc.handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    if (call.request instanceof Malformed) return endStream(call, call.request.failure);
    void serveStream(path, call, env, async (context) => {
      const iterator = handler(call.request, context)[Symbol.asyncIterator]();
      const over = new Promise<undefined>((resolve) => onAbort(context.signal, () => resolve(undefined)));
      for (;;) {
        // The caller may go while the next value is waited for, and the handler may not notice.
        const next = await Promise.race([iterator.next(), over]);
        if (next === undefined || call.cancelled) {
          void Promise.resolve(iterator.return?.()).catch((error: unknown) => failureOf(error, path, env));
          throw context.signal.reason;
        }
        if (next.done) return;
        if (!call.write(next.value)) await drained(call);
      }
    });
  };
}

export function duplexCall(
  path: string,
  handler: DuplexHandler<unknown, unknown>,
  env: CallEnvironment,
): grpc.handleBidiStreamingCall<unknown, unknown> {
  return (call) => void serveStream(path, call, env, (context) => handler(new ServerDuplex(call, context), context));
}

/** Runs a stream's handler and ends the call as the handler ends, or as the server says. */
async function serveStream(
  path: string,
  call: ServerStream | BidiStream,
  env: CallEnvironment,
  serve: (context: ServerCallContext) => Promise<void>,
): Promise<void> {
  const kind: Admitted = isControl(path) ? 'control stream' : 'stream';
  const refusal = env.admission.enter(kind);
  if (refusal !== undefined) return endStream(call, refusal);
  const context = new ServerCallContext(call as unknown as ServerCall);
  const open: OpenStream = {
    end(failure) {
      // Handlers that listen end by themselves, in this turn and after their last words.
      context.abort(failure);
      setImmediate(() => {
        if (env.streams.has(open)) endStream(call, failure);
      });
    },
  };
  env.streams.add(open);
  try {
    await serve(context);
    if (!call.writableEnded) call.end();
  } catch (error) {
    if (!call.writableEnded) endStream(call, failureOf(error, path, env));
  } finally {
    env.streams.delete(open);
    env.admission.leave(kind);
  }
}

/** grpc-js answers an `error` event with the status in it and ends the call. */
function endStream(call: ServerStream | BidiStream, failure: Failure): void {
  call.emit('error', failureToServiceError(failure) as Error);
}

class ServerDuplex implements Duplex<unknown, unknown> {
  private readonly call: BidiStream;
  private readonly context: ServerCallContext;
  private pauses = 0;

  constructor(call: BidiStream, context: ServerCallContext) {
    this.call = call;
    this.context = context;
  }

  receive(take: (request: unknown) => void): Promise<void> {
    const { call, context } = this;
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        call.off('data', onData);
        // What still comes in is read and dropped, so that the call can end.
        call.resume();
        reject(error);
      };
      const onData = (request: unknown): void => {
        if (request instanceof Malformed) return fail(new FailureError(request.failure));
        try {
          take(request);
        } catch (error) {
          fail(error);
        }
      };
      onAbort(context.signal, () => fail(context.signal.reason));
      call.once('end', () => (call.cancelled ? fail(new FailureError(context.cancellation())) : resolve()));
      call.on('data', onData);
    });
  }

  pause(): void {
    if (this.pauses++ === 0) this.call.pause();
  }

  resume(): void {
    if (--this.pauses === 0) this.call.resume();
  }

  write(response: unknown): boolean {
    if (this.call.writableEnded || this.call.cancelled) return true;
    return this.call.write(response);
  }

  drained(): Promise<void> {
    return drained(this.call);
  }
}

function drained(call: ServerStream | BidiStream): Promise<void> {
  if (!call.writableNeedDrain || call.cancelled) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      call.off('cancelled', done);
      call.off('finish', done);
      resolve();
    };
    call.once('drain', done);
    call.once('cancelled', done);
    call.once('finish', done);
  });
}

function onAbort(signal: AbortSignal, call: () => void): void {
  if (signal.aborted) call();
  else signal.addEventListener('abort', call, { once: true });
}

/** A handler that throws instead of rejecting is the same to the caller. */
async function run<T>(handler: () => Promise<T>): Promise<T> {
  return handler();
}

function failureOf(error: unknown, path: string, env: CallEnvironment): Failure {
  if (error instanceof FailureError) return error.failure;
  env.log('a handler failed', { method: path, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  return { reason: 'INTERNAL', message: `an error of the software in ${path}; the log of this replica has more` };
}
