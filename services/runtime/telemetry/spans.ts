/**
 * Spans of the server side. One transaction is one trace: the client's call, Execute, each prepare
 * and commit at each participant, and the store writes that they waited for. A store write serves
 * many transactions: its span is a child of the first that waited for it, and linked with all of them,
 * in both directions.
 *
 * What is not sampled costs a look at the traceparent's last character. Attributes follow the
 * OpenTelemetry semantic conventions for RPC and for databases.
 */

import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type Span,
  type SpanContext,
} from '@opentelemetry/api';
import type { Failure } from '../../kernel/failure.ts';
import { REASONS } from '../../kernel/failure.ts';

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The span context of a W3C traceparent; undefined if it is not one (then it is ignored, as W3C asks). */
export function parseTraceparent(traceparent: string): SpanContext | undefined {
  const match = TRACEPARENT.exec(traceparent);
  if (match === null) return undefined;
  return { traceId: match[1]!, spanId: match[2]!, traceFlags: parseInt(match[3]!, 16), isRemote: true };
}

export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** Whether the sampled flag is set, without parsing. */
export function isSampled(traceparent: string | undefined): traceparent is string {
  return traceparent !== undefined && traceparent.length === 55 && (traceparent.charCodeAt(54) & TraceFlags.SAMPLED) === 1;
}

function parentOf(traceparent: string | undefined): Context {
  const parent = traceparent === undefined || traceparent === '' ? undefined : parseTraceparent(traceparent);
  return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
}

/** What one RPC or one message does, while it does it. */
export interface ActiveSpan {
  readonly span: Span;
  /** For what this causes elsewhere. */
  readonly traceparent: string;
  end(failure?: Failure): void;
}

export class Spans {
  private readonly tracer;
  /** Off: nothing is ever recorded, and nothing is done to find that out. */
  readonly enabled: boolean;
  private readonly log;

  /** @param log is told of every traced call when it has been served, with its span active. */
  constructor(enabled: boolean, version: string, log?: (message: string, fields: Record<string, unknown>) => void) {
    this.enabled = enabled;
    this.log = log;
    this.tracer = trace.getTracer('txmesh', version);
  }

  /**
   * A span of a call that is served, or undefined if it is not sampled.
   * @param method full name, "txmesh.coordinator.v1.CoordinatorService/Execute".
   */
  serve(method: string, traceparent: string | undefined): ActiveSpan | undefined {
    if (!this.enabled) return undefined;
    if (traceparent !== undefined && traceparent !== '' && !isSampled(traceparent)) return undefined;
    return this.start(method, SpanKind.SERVER, traceparent, { 'rpc.system.name': 'grpc', 'rpc.method': method });
  }

  /** A span of a message's handling at a partition; undefined if its cause is not sampled. */
  handle(name: string, traceparent: string | undefined, attributes: Record<string, string | number>): ActiveSpan | undefined {
    if (!this.enabled || !isSampled(traceparent)) return undefined;
    return this.start(name, SpanKind.INTERNAL, traceparent, attributes);
  }

  /** A store write that has just ended, linked with the spans that waited for it. */
  wrote(waiting: readonly ActiveSpan[], startMs: number, endMs: number, attributes: Record<string, string | number>): void {
    const span = this.tracer.startSpan(
      'write batch',
      {
        kind: SpanKind.CLIENT,
        startTime: startMs,
        attributes,
        links: waiting.map((active) => ({ context: active.span.spanContext() })),
      },
      // A sampled parent, so that it is recorded whatever share of the traces is.
      trace.setSpan(ROOT_CONTEXT, waiting[0]!.span),
    );
    for (const active of waiting) active.span.addLink({ context: span.spanContext() });
    span.end(endMs);
  }

  private start(
    name: string,
    kind: SpanKind,
    traceparent: string | undefined,
    attributes: Record<string, string | number>,
  ): ActiveSpan | undefined {
    const span = this.tracer.startSpan(name, { kind, attributes }, parentOf(traceparent));
    if (!span.isRecording()) return undefined;
    const { log } = this;
    return {
      span,
      traceparent: formatTraceparent(span.spanContext()),
      end(failure) {
        if (failure !== undefined) {
          span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
          span.setAttribute('rpc.response.status_code', REASONS[failure.reason]);
          span.setAttribute('error.type', failure.reason);
        } else if (kind === SpanKind.SERVER) span.setAttribute('rpc.response.status_code', 'OK');
        if (kind === SpanKind.SERVER && log !== undefined) {
          const fields = failure === undefined ? {} : { reason: failure.reason, failure: failure.message };
          context.with(trace.setSpan(ROOT_CONTEXT, span), () => log('served', { method: name, ...fields }));
        }
        span.end();
      },
    };
  }
}

/** Runs with the span active, so that logs written meanwhile carry its ids. */
export function within<T>(active: ActiveSpan | undefined, run: () => T): T {
  return active === undefined ? run() : context.with(trace.setSpan(context.active(), active.span), run);
}
