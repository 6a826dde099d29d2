/** Store keys of the queue's records. Names have no '/'. */

import { hex14 } from '../participant/keys.ts';

export const TOPIC_PREFIX = 'topic/';
export const SEGMENT_PREFIX = 'segment/';
export const PAYLOAD_PREFIX = 'message/';
export const SUBSCRIPTION_PREFIX = 'subscription/';
export const SNAPSHOT_PREFIX = 'snapshot/';
export const CURSOR_PREFIX = 'cursor/';
export const BLOCK_PREFIX = 'block/';
export const ACKS_PREFIX = 'ack/';
export const DEDUPLICATION_PREFIX = 'dedup/';

export function topicKey(name: string): string {
  return TOPIC_PREFIX + name;
}

export function segmentKey(topic: string, first: number): string {
  return `${SEGMENT_PREFIX}${topic}/${hex14(first)}`;
}

export function payloadKey(topic: string, first: number): string {
  return `${PAYLOAD_PREFIX}${topic}/${hex14(first)}`;
}

export function subscriptionKey(name: string): string {
  return SUBSCRIPTION_PREFIX + name;
}

export function snapshotKey(name: string): string {
  return SNAPSHOT_PREFIX + name;
}

/** @param owner of a set of positions: `s/<subscription>`, `n/<snapshot>` or `t/<topic>` */
export function cursorKey(owner: string): string {
  return CURSOR_PREFIX + owner;
}

export function blockKey(owner: string, generation: number, block: number): string {
  return `${BLOCK_PREFIX}${owner}/${hex14(generation)}/${hex14(block)}`;
}

export function acksKey(sequence: number): string {
  return ACKS_PREFIX + hex14(sequence);
}

export function deduplicationKey(topic: string, first: number): string {
  return `${DEDUPLICATION_PREFIX}${topic}/${hex14(first)}`;
}

/** The owner, generation and number of a block's key. */
export function parseBlockKey(key: string): { readonly owner: string; readonly generation: number; readonly block: number } {
  const parts = key.split('/');
  return { owner: `${parts[1]}/${parts[2]}`, generation: parseInt(parts[3]!, 16), block: parseInt(parts[4]!, 16) };
}

/** The part of a key between its prefix and the next '/'. */
export function topicOfKey(key: string, prefix: string): string {
  return key.slice(prefix.length, key.indexOf('/', prefix.length));
}

// Locks

export const topicLock = (name: string): string => `topic/${name}`;
export const subscriptionLock = (name: string): string => `subscription/${name}`;
export const snapshotLock = (name: string): string => `snapshot/${name}`;
/** Held by whoever publishes with this ordering key (invariant Q7). */
export const orderLock = (topic: string, orderingKey: string): string => `order/${topic}/${orderingKey}`;
/** Held by whoever acknowledges this message (invariant Q8). */
export const messageLock = (subscription: string, position: number): string => `message/${subscription}/${position}`;
