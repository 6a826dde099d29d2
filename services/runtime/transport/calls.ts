/** Between grpc-js's callbacks and events and the handlers of service.ts. */

import type * as grpc from '@grpc/grpc-js';
import { REASONS, type Failure } from '../../kernel/failure.ts';
import { FailureError } from '../errors/failure-error.ts';
import { failureToServiceError } from '../errors/status.ts';
import type { MethodMeter, ServedMethods } from '../telemetry/metrics/methods.ts';
import { isControl, type Admission, type Admitted } from './admission.ts';
import { ServerCallContext, type ServerCall } from './context.ts';
import { Answers } from './answers.ts';
import { Malformed } from './decode.ts';
import { type Door, type Guard, type GuardedStream, Measured, Refused, type Visit } from './guard.ts';
import type { Duplex, DuplexHandler, StreamHandler, UnaryHandler } from './service.ts';

/** What the calls of one server share. */
export interface CallEnvironment {
  readonly admission: Admission;
  /** Open streams, to be ended when the server stops. */
  readonly streams: Set<OpenStream>;
  /** Absent: nobody counts. */
  readonly methods?: ServedMethods | undefined;
  /** Absent: every call is taken. */
  readonly guard?: Guard | undefined;
  log(message: string, fields: Record<string, unknown>): void;
}

export interface OpenStream {
  end(failure: Failure): void;
}

type Unary = grpc.handleUnaryCall<unknown, unknown>;
type UnaryServerCall = Parameters<Unary>[0];
type UnaryCallback = Parameters<Unary>[1];
type ServerStream = grpc.ServerWritableStream<unknown, unknown>;
type BidiStream = grpc.ServerDuplexStream<unknown, unknown>;

export function unaryCall(path: string, handler: UnaryHandler<unknown, unknown>, env: CallEnvironment): Unary {
  const kind: Admitted = isControl(path) ? 'control call' : 'call';
  const meter = env.methods?.unary(path);
  const door = env.guard?.of(path);
  const leave = (visit: Visit | undefined): void => {
    visit?.leave();
    env.admission.leave(kind);
  };
  const refuse = (callback: UnaryCallback, failure: Failure, beganMs: number): void => {
    callback(failureToServiceError(failure));
    meter?.end(beganMs, REASONS[failure.reason]);
  };
  const serve = (call: UnaryServerCall, request: unknown, callback: UnaryCallback, beganMs: number, visit?: Visit): void => {
    run(() => handler(request, new ServerCallContext(call))).then(
      (response) => {
        callback(null, response);
        leave(visit);
        meter?.end(beganMs, call.cancelled ? codeOfCancelled(call) : 'OK');
      },
      (error: unknown) => {
        refuse(callback, failureOf(error, path, env), beganMs);
        leave(visit);
      },
    );
  };
  return (call, callback) => {
    const beganMs = meter === undefined ? 0 : meter.begin();
    const refusal = call.request instanceof Malformed ? call.request.failure : env.admission.enter(kind);
    if (refusal !== undefined) return refuse(callback, refusal, beganMs);
    if (door === undefined) return serve(call, call.request, callback, beganMs);
    admit(door, call, path, env, (visit) => {
      const measured = call.request as unknown as Measured;
      const failure = visit instanceof Refused ? visit.failure : refusalOf(visit, measured, path, env);
      if (failure === undefined) return serve(call, measured.request, callback, beganMs, visit as Visit);
      leave(visit instanceof Refused ? undefined : visit);
      refuse(callback, failure, beganMs);
    });
  };
}

/** Goes on in this turn, if who calls is known already. */
export function admit(door: Door, call: ServerCall, path: string, env: Pick<CallEnvironment, 'log'>, enter: (visit: Visit | Refused) => void): void {
  let visit: ReturnType<Door['admit']>;
  try {
    visit = door.admit(call);
  } catch (error) {
    visit = new Refused(failureOf(error, path, env));
  }
  if (visit instanceof Promise) void visit.then(enter);
  else enter(visit);
}

/** Why a request of a call that was admitted may not be executed. */
function refusalOf(visit: Visit, { request, bytes }: Measured, path: string, env: Pick<CallEnvironment, 'log'>): Failure | undefined {
  if (request instanceof Malformed) return request.failure;
  try {
    return visit.check(request, bytes);
  } catch (error) {
    return failureOf(error, path, env);
  }
}

export function streamCall(
  path: string,
  handler: StreamHandler<unknown, unknown>,
  env: CallEnvironment,
): grpc.handleServerStreamingCall<unknown, unknown> {
  const meter = env.methods?.stream(path);
  return (call) => {
    void serveStream(path, call, env, meter, async (context, visit) => {
      let { request } = call;
      if (request instanceof Malformed) throw new FailureError(request.failure);
      if (visit !== undefined) {
        const failure = refusalOf(visit, request as Measured, path, env);
        if (failure !== undefined) throw new FailureError(failure);
        ({ request } = request as Measured);
        // Its one message is in, so that nothing is slowed down or answered.
        const nothing = (): void => undefined;
        visit.open({ answer: nothing, pause: nothing, resume: nothing, end: (reason) => context.end(reason) });
      }
      const iterator = handler(request, context)[Symbol.asyncIterator]();
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
  const meter = env.methods?.stream(path);
  return (call) =>
    void serveStream(path, call, env, meter, (context, visit) => {
      const duplex = new ServerDuplex(call, context, visit);
      visit?.open(duplex);
      return handler(duplex, context);
    });
}

/** Of a call that the server, or its guard, may end. */
class StreamContext extends ServerCallContext {
  /** Ends it with this, after what its handler has to say. */
  readonly end: (failure: Failure) => void;

  constructor(call: ServerCall, end: (context: StreamContext, failure: Failure) => void) {
    super(call);
    this.end = (failure) => end(this, failure);
  }
}

/** Runs a stream's handler and ends the call as the handler ends, or as the server says. */
async function serveStream(
  path: string,
  call: ServerStream | BidiStream,
  env: CallEnvironment,
  meter: MethodMeter | undefined,
  serve: (context: StreamContext, visit: Visit | undefined) => Promise<void>,
): Promise<void> {
  const beganMs = meter === undefined ? 0 : meter.begin();
  const kind: Admitted = isControl(path) ? 'control stream' : 'stream';
  const refusal = env.admission.enter(kind);
  if (refusal !== undefined) {
    endStream(call, refusal);
    meter?.end(beganMs, REASONS[refusal.reason]);
    return;
  }
  let visit: Visit | undefined;
  const context = new StreamContext(call as unknown as ServerCall, (self, failure) => {
    // Handlers that listen end by themselves, in this turn and after their last words.
    self.abort(failure);
    setImmediate(() => {
      if (env.streams.has(open)) endStream(call, failure);
    });
  });
  const open: OpenStream = { end: context.end };
  env.streams.add(open);
  let code: string = 'OK';
  try {
    if (env.guard !== undefined) {
      const admitted = await env.guard.of(path).admit(call as unknown as ServerCall);
      if (admitted instanceof Refused) throw new FailureError(admitted.failure);
      visit = admitted;
    }
    await serve(context, visit);
    if (call.cancelled) code = codeOfCancelled(call as unknown as ServerCall);
    if (!call.writableEnded) call.end();
  } catch (error) {
    const failure = failureOf(error, path, env);
    code = REASONS[failure.reason];
    if (!call.writableEnded) endStream(call, failure);
  } finally {
    env.streams.delete(open);
    visit?.leave();
    env.admission.leave(kind);
    meter?.end(beganMs, code);
  }
}

/** grpc-js answers an `error` event with the status in it and ends the call. */
function endStream(call: ServerStream | BidiStream, failure: Failure): void {
  call.emit('error', failureToServiceError(failure) as Error);
}

class ServerDuplex implements Duplex<unknown, unknown>, GuardedStream {
  private readonly call: BidiStream;
  private readonly context: StreamContext;
  private readonly visit: Visit | undefined;
  private readonly answers: Answers<unknown>;
  private pauses = 0;

  constructor(call: BidiStream, context: StreamContext, visit: Visit | undefined) {
    this.call = call;
    this.context = context;
    this.visit = visit;
    this.answers = new Answers(this);
  }

  answer(response: unknown): void {
    this.answers.send(response);
  }

  end(failure: Failure): void {
    this.context.end(failure);
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
      const { visit } = this;
      const onData = (received: unknown): void => {
        const request = visit === undefined ? received : (received as Measured).request;
        if (request instanceof Malformed) return fail(new FailureError(request.failure));
        try {
          const left = visit === undefined ? request : visit.take(request, (received as Measured).bytes);
          if (left !== undefined) take(left);
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

function codeOfCancelled(call: ServerCall): string {
  return REASONS[new ServerCallContext(call).cancellation().reason];
}

/** A handler that throws instead of rejecting is the same to the caller. */
async function run<T>(handler: () => Promise<T>): Promise<T> {
  return handler();
}

function failureOf(error: unknown, path: string, env: Pick<CallEnvironment, 'log'>): Failure {
  if (error instanceof FailureError) return error.failure;
  env.log('a handler failed', { method: path, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  return { reason: 'INTERNAL', message: `an error of the software in ${path}; the log of this replica has more` };
}
