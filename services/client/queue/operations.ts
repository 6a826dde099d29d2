/** What a queue does as a part of transactions: builders for the operations that `execute` takes. */

import { AcknowledgeOperation, PublishOperation } from '../../gen/txmesh/queue/v1/operations.ts';
import type { Message as WireMessage } from '../../gen/txmesh/queue/v1/queue.ts';
import { encode } from '../../runtime/encode.ts';
import { invalidRequest } from '../errors.ts';
import type { Operation } from '../operations.ts';
import { QUEUE, wireMessage, type MessageLike } from './message.ts';
import { startSendSpan } from './messaging-spans.ts';

const TYPE = 'type.googleapis.com/txmesh.queue.v1.';
const PUBLISH = `${TYPE}PublishOperation`;
const ACKNOWLEDGE = `${TYPE}AcknowledgeOperation`;

export interface QueueOperationOptions {
  /** The queue service. Default "queue". */
  readonly participant?: string;
}

/** A delivered message, as an acknowledgement needs it. */
export interface Acknowledgeable {
  readonly participant?: string;
  readonly subscription: string;
  readonly ackId: string;
}

/** Publishes a message when the transaction commits. The topic has to be one on disk. */
export function publish(topic: string, message: MessageLike, { participant = QUEUE }: QueueOperationOptions = {}): Operation {
  return publishOperation(participant, topic, tracedMessage(topic, message), topic);
}

/**
 * Acknowledges a message when the transaction commits, which it can't if the message was acknowledged
 * by somebody else. Until then nothing touches the message, its deadline included.
 */
export function acknowledge({ participant = QUEUE, subscription, ackId }: Acknowledgeable): Operation {
  const value = encode(AcknowledgeOperation, { subscription, ackId });
  return { participant, routingKey: ackRoutingKey(ackId), operation: { typeUrl: ACKNOWLEDGE, value } };
}

/** The message in a producer span of its own. */
export function tracedMessage(topic: string, message: MessageLike): WireMessage {
  const span = startSendSpan(topic, 1);
  try {
    return wireMessage(message, span.traceparent);
  } finally {
    span.end([]);
  }
}

/** @param anywhere decides the partition of a message that has no partition of its own. */
export function publishOperation(participant: string, topic: string, message: WireMessage, anywhere: string): Operation {
  const routingKey = message.orderingKey || message.deduplicationId || anywhere;
  return { participant, routingKey, operation: { typeUrl: PUBLISH, value: encode(PublishOperation, { topic, message }) } };
}

/** @throws InvalidRequest */
export function ackRoutingKey(ackId: string): string {
  const colon = ackId.indexOf(':');
  if (colon < 1) throw invalidRequest(`${ackId} is not the ackId of a message`, 'ackId');
  return ackId.slice(0, colon);
}
