/**
 * Spans of messages on their way through a queue: a message carries the traceparent of the span that made
 * it, and what becomes of it here belongs to that trace. Attributes follow the OpenTelemetry semantic
 * conventions for messaging; the spans of producers and consumers themselves are the clients'.
 */

import type { NewMessage } from '../../kernel/queue/types.ts';
import type { ActiveSpan, Spans as AllSpans } from '../../runtime/telemetry/spans.ts';
import type { Delivered } from '../codec-frames.ts';
import { formatMessageId } from '../codec-ids.ts';
import { traceparentOf } from '../codec-messages.ts';

type Spans = Pick<AllSpans, 'handle' | 'enabled'>;

const SYSTEM = 'txmesh';

/** Spans of the messages that are sampled, from now until they are durable; undefined: of none. */
export function publishSpans(spans: Spans, topic: string, messages: readonly NewMessage[]): ActiveSpan[] | undefined {
  if (!spans.enabled) return undefined;
  let found: ActiveSpan[] | undefined;
  for (const { encoded } of messages) {
    const span = spans.handle(`publish ${topic}`, traceparentOf(encoded), {
      'messaging.system': SYSTEM,
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.destination.name': topic,
      'messaging.message.envelope.size': encoded.length,
    });
    if (span !== undefined) (found ??= []).push(span);
  }
  return found;
}

/** A span for each sampled message that is handed to a consumer. */
export function noteDeliveries(spans: Spans, subscription: string, { messages, partition, incarnation }: Delivered): void {
  if (!spans.enabled) return;
  for (const { encoded, position, attempt } of messages) {
    const span = spans.handle(`deliver ${subscription}`, traceparentOf(encoded), {
      'messaging.system': SYSTEM,
      'messaging.operation.name': 'deliver',
      'messaging.operation.type': 'receive',
      'messaging.destination.subscription.name': subscription,
      'messaging.message.id': formatMessageId({ partition, incarnation, position }),
      'txmesh.delivery_attempt': attempt,
    });
    span?.end();
  }
}
