/** Spans of the unary calls that are served; what is not sampled goes straight through. */

import { FailureError } from '../errors/failure-error.ts';
import { within, type Spans } from '../telemetry/spans.ts';
import type { CallContext, UnaryHandler } from '../transport/service.ts';

interface Method {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** The handlers of a service, each unary one with a span that what it causes belongs to. */
export function traced<Handlers extends object>(definition: object, handlers: Handlers, spans: Spans): Handlers {
  if (!spans.enabled) return handlers;
  const wrapped: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(definition as Record<string, Method>)) {
    const handler = (handlers as Record<string, unknown>)[name];
    const unary = !method.requestStream && !method.responseStream;
    wrapped[name] = unary ? tracedUnary(method.path.slice(1), handler as UnaryHandler<unknown, unknown>, spans) : handler;
  }
  return wrapped as Handlers;
}

function tracedUnary(
  method: string,
  handler: UnaryHandler<unknown, unknown>,
  spans: Spans,
): UnaryHandler<unknown, unknown> {
  return async (request, context) => {
    const active = spans.serve(method, context.traceparent);
    if (active === undefined) return handler(request, context);
    const { traceparent } = active;
    const inner: CallContext = Object.create(context, { traceparent: { value: traceparent } }) as CallContext;
    try {
      const response = await within(active, () => handler(request, inner));
      active.end();
      return response;
    } catch (error) {
      active.end(error instanceof FailureError ? error.failure : { reason: 'INTERNAL', message: String(error) });
      throw error;
    }
  };
}
