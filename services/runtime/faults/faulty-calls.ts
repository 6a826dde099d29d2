/** Handlers that fail on purpose: before they run, or when they have run and only the answer can be lost. */

import { trace } from '@opentelemetry/api';
import type { Clock } from '../clock.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { Spans } from '../telemetry/spans.ts';
import type { CallContext, Duplex, DuplexHandler, StreamHandler, UnaryHandler } from '../transport/service.ts';
import type { Connections } from './connections.ts';
import { FAULT_ATTRIBUTE, type Fault } from './fault.ts';
import type { FaultBoard } from './fault-board.ts';

export interface CallFaults {
  readonly board: FaultBoard;
  readonly connections: Connections;
  readonly clock: Clock;
  readonly spans: Spans;
  /** A number in [0, 1). */
  entropy(): number;
}

interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** The handlers of a service, each with the faults that strike its method. */
export function faulty<Handlers extends object>(definition: object, handlers: Handlers, faults: CallFaults): Handlers {
  const wrapped: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(definition as Record<string, Method>)) {
    const handler: unknown = (handlers as Record<string, unknown>)[name];
    if (handler !== undefined) wrapped[name] = wrap(method, handler, faults);
  }
  return wrapped as Handlers;
}

function wrap({ path, requestStream, responseStream }: Method, handler: unknown, faults: CallFaults): unknown {
  const method = path.slice(1);
  if (requestStream) return faultyDuplex(method, handler as DuplexHandler<unknown, unknown>, faults);
  if (responseStream) return faultyStream(method, handler as StreamHandler<unknown, unknown>, faults);
  return faultyUnary(method, handler as UnaryHandler<unknown, unknown>, faults);
}

function faultyUnary(method: string, handler: UnaryHandler<unknown, unknown>, faults: CallFaults): UnaryHandler<unknown, unknown> {
  return async (request, context) => {
    await strikeCall(method, request, context, faults, false);
    const response = await handler(request, context);
    await strikeCall(method, request, context, faults, true);
    return response;
  };
}

function faultyStream(method: string, handler: StreamHandler<unknown, unknown>, faults: CallFaults): StreamHandler<unknown, unknown> {
  return async function* (request, context) {
    await strikeCall(method, request, context, faults, false);
    yield* handler(request, context);
  };
}

function faultyDuplex(method: string, handler: DuplexHandler<unknown, unknown>, faults: CallFaults): DuplexHandler<unknown, unknown> {
  return (call, context) => {
    const struck: Duplex<unknown, unknown> = {
      receive: (take) => receive(call, take, method, context, faults),
      pause: () => call.pause(),
      resume: () => call.resume(),
      write: (response) => call.write(response),
      drained: () => call.drained(),
    };
    return handler(struck, context);
  };
}

/** In order: what comes behind a message that waits, waits too, and meanwhile nothing more is read. */
function receive(call: Duplex<unknown, unknown>, take: (request: unknown) => void, method: string, context: CallContext, faults: CallFaults): Promise<void> {
  const failed = Promise.withResolvers<never>();
  let waiting = 0;
  let line = Promise.resolve();
  const received = call.receive((request) => {
    const fault = faults.board.strikeCall(method, participantOf(request), false);
    if (fault === undefined && waiting === 0) return take(request);
    if (waiting++ === 0) call.pause();
    line = line
      .then(() => (fault === undefined ? undefined : strikeMessage(fault, request, context, faults)))
      .then(() => {
        take(request);
        if (--waiting === 0) call.resume();
      });
    line.catch((error: unknown) => failed.reject(error as Error));
  });
  return Promise.race([received.then(() => line), failed.promise]);
}

async function strikeCall(method: string, request: unknown, context: CallContext, faults: CallFaults, afterExecution: boolean): Promise<void> {
  const fault = faults.board.strikeCall(method, participantOf(request), afterExecution);
  if (fault === undefined) return;
  const span = trace.getActiveSpan();
  span?.setAttribute(FAULT_ATTRIBUTE, fault.name);
  span?.addEvent(FAULT_ATTRIBUTE, { 'txmesh.fault.name': fault.name, 'txmesh.fault.effect': fault.effect.type });
  await suffer(fault, context, faults);
}

/** A message in a stream has no span of a call of its own to mark, so that the fault is a span. */
async function strikeMessage(fault: Fault, request: unknown, context: CallContext, faults: CallFaults): Promise<void> {
  const active = faults.spans.handle(`fault ${fault.name}`, traceparentOf(request) ?? context.traceparent, { [FAULT_ATTRIBUTE]: fault.name });
  try {
    await suffer(fault, context, faults);
    active?.end();
  } catch (error) {
    active?.end(error instanceof FailureError ? error.failure : undefined);
    throw error;
  }
}

async function suffer({ name, latency, effect }: Fault, context: CallContext, { clock, connections, entropy }: CallFaults): Promise<void> {
  if (latency !== undefined) await wait(clock, latency.minimumMs + entropy() * (latency.maximumMs - latency.minimumMs), context.signal);
  if (effect.type === 'error') throw new FailureError(effect.failure);
  if (effect.type !== 'drop-connection') return;
  connections.cut(context.peer);
  throw new FailureError({ reason: 'CANCELLED', message: `the connection was cut by the fault "${name}"` });
}

/** @throws the signal's reason. */
function wait(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer.cancel();
      reject(signal.reason as Error);
    };
    const timer = clock.setTimer(delayMs, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}

/** Requests of different services name it by the same field. */
const participantOf = (request: unknown): string => textOf(request, 'participant') ?? '';

/** Of a batch in a stream: its own, or that of its first call. */
function traceparentOf(request: unknown): string | undefined {
  const { calls } = request as { readonly calls?: unknown };
  return textOf(request, 'traceparent') ?? (Array.isArray(calls) ? textOf(calls[0], 'traceparent') : undefined);
}

function textOf(value: unknown, field: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const text = (value as Record<string, unknown>)[field];
  return typeof text === 'string' && text !== '' ? text : undefined;
}
