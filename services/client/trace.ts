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
export function startCallSpan(service: string, method: string): ClientSpan | undefined {
  const span = tracer.startSpan(`${service}/${method}`, { kind: SpanKind.CLIENT });
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  if (span.isRecording()) span.setAttributes({ 'rpc.system.name': 'grpc', 'rpc.service': service, 'rpc.method': method });
  return { span, traceparent: formatTraceparent(spanContext) };
}

/** Ends it, once: a second time is ignored. */
export function endSpan(started: ClientSpan | undefined, error?: unknown): void {
  if (started === undefined) return;
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

function fail(span: Span, error: unknown): void {
  const { reason, message } = error as { reason?: unknown; message?: unknown };
  span.setStatus({ code: SpanStatusCode.ERROR, message: String(message) });
  if (typeof reason === 'string') span.setAttribute('error.type', reason);
}
