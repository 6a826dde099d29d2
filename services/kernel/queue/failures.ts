/** What can be wrong with work for a queue, in words. */

import type { Failure } from '../failure.ts';

const RETRY_MS = 100;
const FULL_RETRY_MS = 1000;

export function topicNotFound(name: string): Failure {
  return {
    reason: 'TOPIC_NOT_FOUND',
    message: `no topic is named "${name}"; create it with QueueService.CreateTopic`,
    metadata: { topic: name },
  };
}

export function subscriptionNotFound(name: string): Failure {
  return {
    reason: 'SUBSCRIPTION_NOT_FOUND',
    message: `no subscription is named "${name}"; create it with QueueService.CreateSubscription`,
    metadata: { subscription: name },
  };
}

export function snapshotNotFound(name: string): Failure {
  return { reason: 'SNAPSHOT_NOT_FOUND', message: `no snapshot is named "${name}", or it has expired`, metadata: { snapshot: name } };
}

export function detached(name: string): Failure {
  return {
    reason: 'SUBSCRIPTION_DETACHED',
    message: `subscription "${name}" is detached from its topic for good; create another one`,
    metadata: { subscription: name },
  };
}

const EXISTS = { topic: 'TOPIC_EXISTS', subscription: 'SUBSCRIPTION_EXISTS', snapshot: 'SNAPSHOT_EXISTS' } as const;

export function alreadyExists(kind: 'topic' | 'subscription' | 'snapshot', name: string): Failure {
  return { reason: EXISTS[kind], message: `there is a ${kind} named "${name}" already`, metadata: { [kind]: name } };
}

export function wrongVersion(kind: 'topic' | 'subscription', name: string, version: number, expected: number): Failure {
  return {
    reason: 'PRECONDITION_FAILED',
    message: `${kind} "${name}" has version ${version}, not ${expected}: it was changed meanwhile; read it and try again`,
    metadata: { [kind]: name, version: String(version) },
  };
}

export function topicInUse(name: string, by: string): Failure {
  return { reason: 'TOPIC_IN_USE', message: `topic "${name}" is in use by ${by}; delete or detach that first`, metadata: { topic: name } };
}

export function memoryTopic(what: string): Failure {
  return {
    reason: 'MEMORY_TOPIC',
    message: `${what}: a topic in memory takes no part in transactions, keeps no snapshots, and its messages do not outlive its leader; use a topic on disk`,
  };
}

export function limitReached(what: string, count: number): Failure {
  return { reason: 'TOO_MANY_OBJECTS', message: `${what} at this partition: ${count} are the limit; delete what is not needed` };
}

export function topicFull(name: string, what: string, limit: number): Failure {
  return {
    reason: 'OVERLOADED',
    message:
      `topic "${name}" holds as many ${what} at this partition as it may (${limit}); try again when its subscriptions have ` +
      'acknowledged some, raise retention.max_messages or max_bytes, or let it drop the oldest',
    metadata: { topic: name, limit: String(limit) },
    retryAfterMs: FULL_RETRY_MS,
  };
}

export function memoryFull(bytes: number): Failure {
  return {
    reason: 'OVERLOADED',
    message: `the topics in memory at this partition hold ${bytes} bytes, the limit; try again when their subscriptions have acknowledged some`,
    retryAfterMs: FULL_RETRY_MS,
  };
}

export function tooManyIds(name: string, count: number): Failure {
  return {
    reason: 'OVERLOADED',
    message: `topic "${name}" remembers ${count} deduplication ids at this partition, the limit; publish with fewer ids in a window, or shorten deduplication_window`,
    metadata: { topic: name },
    retryAfterMs: FULL_RETRY_MS,
  };
}

export function keyHeld(topic: string, orderingKey: string): Failure {
  return {
    reason: 'LOCK_TIMEOUT',
    message: `ordering key "${orderingKey}" of topic "${topic}" is held by a prepared transaction whose outcome has not come in time; try again`,
    metadata: { topic, orderingKey },
  };
}

export function keyPaused(orderingKey: string, sequence: number): Failure {
  return {
    reason: 'ORDERING_KEY_PAUSED',
    message: `message ${sequence} of ordering key "${orderingKey}" was refused before; to keep the order, send that again first, then this one`,
    metadata: { orderingKey, sequence: String(sequence) },
    retryAfterMs: RETRY_MS,
  };
}

export function tooManyWait(what: string, count: number): Failure {
  return { reason: 'OVERLOADED', message: `${count} ${what}, the limit; try again later`, retryAfterMs: RETRY_MS };
}

export function ackExpired(subscription: string, why: string): Failure {
  return {
    reason: 'ACK_EXPIRED',
    message: `the delivery from subscription "${subscription}" can't be acknowledged any more: ${why}; the message is delivered again unless it is acknowledged`,
    metadata: { subscription },
  };
}

export function alreadyAcknowledged(subscription: string, position: number): Failure {
  return {
    reason: 'ACK_EXPIRED',
    message: `message ${position} of subscription "${subscription}" is acknowledged already, or was dropped from its topic`,
    metadata: { subscription, position: String(position) },
  };
}

export function ackStaged(subscription: string, position: number): Failure {
  return {
    reason: 'LOCK_CONFLICT',
    message: `message ${position} of subscription "${subscription}" is being acknowledged by a prepared transaction, whose outcome decides`,
    metadata: { subscription, position: String(position) },
  };
}
