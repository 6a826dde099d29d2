/**
 * Spans of messages, by OpenTelemetry's semantic conventions for messaging: a producer span whose
 * context travels in the message, and a consumer span that is linked with it.
 */

import { context, isSpanContextValid, ROOT_CONTEXT, SpanKind, trace, type Attributes, type Span } from '@opentelemetry/api';
import { formatTraceparent, parseTraceparent } from '../../runtime/telemetry/spans.ts';
import { fail } from '../trace.ts';
import type { ReceivedMessage } from './received-message.ts';

const tracer = trace.getTracer('txmesh/client');
const SYSTEM = { 'messaging.system': 'txmesh' };

/** The sending of messages to one topic, under way. */
export interface SendSpan {
  /** W3C traceparent for the messages; empty: not traced. */
  readonly traceparent: string;
  end(ids: readonly string[]): void;
  fail(error: unknown): void;
}

const UNTRACED: SendSpan = { traceparent: '', end: () => undefined, fail: () => undefined };

/** A producer span, a child of the active one. */
export function startSendSpan(topic: string, messages: number): SendSpan {
  const attributes: Attributes = {
    ...SYSTEM,
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': topic,
    ...(messages > 1 && { 'messaging.batch.message_count': messages }),
  };
  const span = tracer.startSpan(`send ${topic}`, { kind: SpanKind.PRODUCER, attributes });
  if (!isSpanContextValid(span.spanContext())) return UNTRACED;
  return {
    traceparent: formatTraceparent(span.spanContext()),
    end(ids) {
      if (ids.length === 1) span.setAttribute('messaging.message.id', ids[0]!);
      span.end();
    },
    fail(error) {
      fail(span, error);
      span.end();
    },
  };
}

/** Runs in a consumer span of its own trace, linked with the span that sent the message. */
export async function inProcessSpan<Result>(message: ReceivedMessage, topic: string, work: (span: Span) => Promise<Result>): Promise<Result> {
  const sender = parseTraceparent(message.traceparent);
  const attributes: Attributes = {
    ...SYSTEM,
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': topic,
    'messaging.destination.subscription.name': message.subscription,
    'messaging.message.id': message.id,
    'messaging.message.body.size': message.data.length,
  };
  const links = sender === undefined ? [] : [{ context: sender }];
  const span = tracer.startSpan(`process ${message.subscription}`, { kind: SpanKind.CONSUMER, attributes, links }, ROOT_CONTEXT);
  try {
    return await context.with(trace.setSpan(ROOT_CONTEXT, span), () => work(span));
  } finally {
    span.end();
  }
}
