/**
 * Client spans, through @opentelemetry/api alone: without an SDK they are the API's empty spans, and
 * nothing is sent. Attributes follow the semantic conventions for RPC.
 */

import { context, isSpanContextValid, SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api';
import { formatTraceparent } from '../runtime/telemetry/spans.ts';

const tracer = trace.getTracer('txmesh/client');

/** A span under way, with what goes over the wire for it. Undefined where nothing is traced. */
export interface ClientSpan {
  readonly span: Span;
  /** W3C traceparent. */
  readonly traceparent: string;
}

/** Starts the span of one call, a child of the active one. */
export function startCallSpan(service: string, name: string): ClientSpan | undefined {
  const method = `${service}/${name}`;
  const span = tracer.startSpan(method, { kind: SpanKind.CLIENT });
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  if (span.isRecording()) span.setAttributes({ 'rpc.system.name': 'grpc', 'rpc.method': method });
  return { span, traceparent: formatTraceparent(spanContext) };
}

/** Where the call was last sent, host:port. */
export function sentTo(started: ClientSpan | undefined, address: string): void {
  if (started === undefined || !started.span.isRecording()) return;
  const colon = address.lastIndexOf(':');
  started.span.setAttributes({ 'server.address': address.slice(0, colon), 'server.port': Number(address.slice(colon + 1)) });
}

/** Ends it, once: a second time is ignored. */
export function endSpan(started: ClientSpan | undefined, error?: unknown): void {
  if (started === undefined || !started.span.isRecording()) return;
  const { code } = (error ?? {}) as { code?: unknown };
  if (error === undefined || typeof code === 'string') started.span.setAttribute('rpc.response.status_code', error === undefined ? 'OK' : String(code));
  if (error !== undefined) fail(started.span, error);
  started.span.end();
}

/** Runs `work` in a span of this name, which is active meanwhile. */
export async function inSpan<T>(name: string, work: (span: Span) => Promise<T>): Promise<T> {
  const span = tracer.startSpan(name);
  try {
    return await context.with(trace.setSpan(context.active(), span), () => work(span));
  } catch (error) {
    fail(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** Marks a span as failed. */
export function fail(span: Span, error: unknown): void {
  const { reason, message } = error as { reason?: unknown; message?: unknown };
  span.setStatus({ code: SpanStatusCode.ERROR, message: String(message) });
  if (typeof reason === 'string') span.setAttribute('error.type', reason);
}
