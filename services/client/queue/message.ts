/** Messages as they are published: from the SDK's type to the proto's. */

import type { Message as WireMessage } from '../../gen/txmesh/queue/v1/queue.ts';
import { invalidRequest } from '../errors.ts';
import { typedValue, type Value } from '../operations.ts';
import { duration, timestamp } from '../times.ts';

/** The queue service that is meant where none is named. */
export const QUEUE = 'queue';

/** A message to publish. */
export interface Message {
  /** What it says, at most 1 MiB. Of a typed value the bytes are sent; its media type is not. */
  readonly data: Value;
  /** For filters and readers: at most 100, keys of 1 to 256 bytes, values of at most 1024. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Messages of the same key keep their order; at most 1024 bytes. Default: no order. */
  readonly orderingKey?: string;
  /** 0 (lowest, the default) to 9, for subscriptions in mode PRIORITY. */
  readonly priority?: number;
  /** Not delivered before; at most 366 days ahead. Only one of `deliverAt` and `delayMs`. */
  readonly deliverAt?: Date;
  /** Not delivered before this much time has passed, milliseconds. */
  readonly delayMs?: number;
  /** Removed if it was not acknowledged this long after it could first be delivered, milliseconds. */
  readonly timeToLiveMs?: number;
  /**
   * Of messages with the same id (and ordering key), only the first within the topic's deduplication
   * window is published; at most 256 bytes. The SDK's own retries need none.
   */
  readonly deduplicationId?: string;
}

/** A message, or just what it says. */
export type MessageLike = Message | Value;

/**
 * @param traceparent of the span that makes it; empty: not traced
 * @throws InvalidRequest for what could not be encoded
 */
export function wireMessage(message: MessageLike, traceparent: string): WireMessage {
  const full: Message = isMessage(message) ? message : { data: message };
  const { attributes = {}, orderingKey = '', priority = 0, deliverAt, delayMs, timeToLiveMs, deduplicationId = '' } = full;
  const data = typedValue(full.data, 'data').value;
  for (const [key, value] of Object.entries(attributes)) demandText(value, `attributes[${key}]`);
  demandText(orderingKey, 'orderingKey');
  demandText(deduplicationId, 'deduplicationId');
  if (!Number.isInteger(priority) || priority < 0 || priority > 9) throw invalidRequest(`priority is ${priority}; it must be a whole number from 0 to 9`, 'priority');
  return {
    data,
    attributes: { ...attributes },
    orderingKey,
    priority,
    deliverTime: deliverAt === undefined ? undefined : timestamp(deliverAt, 'deliverAt'),
    delay: duration(delayMs, 'delayMs'),
    timeToLive: duration(timeToLiveMs, 'timeToLiveMs'),
    deduplicationId,
    traceparent,
  };
}

/** Upper bound of what a message takes on the wire. */
export function wireBytes({ data, attributes, orderingKey, deduplicationId }: WireMessage): number {
  const perUnit = 3; // UTF-8 takes at most this many bytes for each UTF-16 unit.
  let bytes = data.length + (orderingKey.length + deduplicationId.length) * perUnit + 160;
  for (const key in attributes) bytes += (key.length + attributes[key]!.length) * perUnit + 12;
  return bytes;
}

function demandText(value: unknown, field: string): void {
  if (typeof value !== 'string') throw invalidRequest(`${field} must be text`, field);
}

function isMessage(message: MessageLike): message is Message {
  return typeof message === 'object' && !(message instanceof Uint8Array) && 'data' in message;
}
