import { context, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { parseTraceparent } from '../../runtime/telemetry/spans.ts';

const tracer = trace.getTracer('txmesh/participant');

/** Runs in a span that continues the caller's trace; simply runs if the call is not traced. */
export async function inServerSpan<Result>(name: string, traceparent: string, work: () => Promise<Result>): Promise<Result> {
  const parent = traceparent === '' ? undefined : parseTraceparent(traceparent);
  if (parent === undefined) return work();
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER }, trace.setSpanContext(ROOT_CONTEXT, parent));
  try {
    return await context.with(trace.setSpan(ROOT_CONTEXT, span), work);
  } finally {
    span.end();
  }
}
