/** Messages as clients make them: what the kernel stores and hands out without reading it. */

import type { MessagePort, NewMessage } from '../../../services/kernel/queue/types.ts';
import type { PublishedMessage } from './history.ts';

interface Content {
  readonly payload: string;
  readonly attributes: Readonly<Record<string, string>>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const encode = (content: Content): Uint8Array => encoder.encode(JSON.stringify(content));
const decode = (bytes: Uint8Array): Content => JSON.parse(decoder.decode(bytes)) as Content;

export const PORT: MessagePort = {
  attributesOf: (encoded) => new Map(Object.entries(decode(encoded).attributes)),
  annotate(encoded, attributes) {
    const content = decode(encoded);
    return encode({ ...content, attributes: { ...content.attributes, ...Object.fromEntries(attributes) } });
  },
};

export const payloadOf = (encoded: Uint8Array): string => decode(encoded).payload;

/** A property of the payload that a filter can ask for. */
export const isEven = (payload: string): boolean => payload.length % 2 === 0;

export function messageOf({ payload, orderingKey, priority, deliverAtMs, timeToLiveMs }: PublishedMessage): NewMessage {
  const encoded = encode({ payload, attributes: { parity: isEven(payload) ? 'even' : 'odd' } });
  return { encoded, orderingKey, priority, deliverAtMs, timeToLiveMs, deduplicationId: '' };
}
