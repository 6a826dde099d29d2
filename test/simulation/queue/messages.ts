/** Messages as clients make them: what the kernel stores and hands out without reading it. */

import { Message } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import type { NewMessage } from '../../../services/kernel/queue/types.ts';
import { messagePort } from '../../../services/queue/codec-messages.ts';
import type { PublishedMessage } from './history.ts';

export const PORT = messagePort;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const payloadOf = (encoded: Uint8Array): string => decoder.decode(Message.decode(encoded).data);

/** A property of the payload that a filter can ask for. */
export const isEven = (payload: string): boolean => payload.length % 2 === 0;

/** As it goes over the wire. When it is due, the simulation keeps apart: it is a time of the simulated world. */
export function wireMessageOf({ payload, orderingKey, priority, timeToLiveMs, deduplicated }: PublishedMessage): Message {
  return {
    data: encoder.encode(payload),
    attributes: { parity: isEven(payload) ? 'even' : 'odd' },
    orderingKey,
    priority,
    deliverTime: undefined,
    delay: undefined,
    timeToLive: timeToLiveMs === 0 ? undefined : { seconds: BigInt(Math.floor(timeToLiveMs / 1000)), nanos: (timeToLiveMs % 1000) * 1e6 },
    deduplicationId: deduplicated ? payload : '',
    traceparent: '',
  };
}

/** As the kernel takes it. */
export function messageOf(message: PublishedMessage): NewMessage {
  const { orderingKey, priority, deliverAtMs, timeToLiveMs } = message;
  const wire = wireMessageOf(message);
  const { deduplicationId } = wire;
  return { encoded: Message.encode(wire).finish(), orderingKey, priority, deliverAtMs, delayMs: 0, timeToLiveMs, deduplicationId };
}
