/**
 * Publishing to one partition, in order: to its term in this process, as many requests at a time as
 * come; or to the replica that leads it, one call at a time with all that has gathered meanwhile.
 */

import { Message, QueueServiceService as methods, type PublishRequest, type PublishResponse } from '../../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../../kernel/failure.ts';
import { LIMITS, type NewMessage, type QueueResponse } from '../../kernel/queue/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import { noLeader, type Place } from '../../runtime/router/place.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import { parseMessageId } from '../codec-ids.ts';
import { publishSpans } from './trace.ts';
import type { QueueReply, QueueServices, QueueTerm } from './service.ts';

export type Published = Extract<QueueResponse, { readonly type: 'published' }>;

/** Messages for one partition. */
export interface PublishGroup {
  readonly sequences: number[];
  readonly messages: NewMessage[];
  bytes: number;
  /** Called once. */
  done(result: Published | Failure): void;
}

/** What all messages of a lane have in common. */
export interface PublishTarget {
  readonly service: Service;
  readonly partition: number;
  readonly topic: string;
  readonly session: string;
  readonly traceparent: string | undefined;
  readonly forwarded: boolean;
  /** Wall time until which the caller waits. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export class PublishLane {
  private readonly services: QueueServices;
  private readonly target: PublishTarget;
  private queue: { readonly group: PublishGroup; readonly settledBelow: number }[] = [];
  private busy = false;

  constructor(services: QueueServices, target: PublishTarget) {
    this.services = services;
    this.target = target;
  }

  publish(group: PublishGroup, settledBelow: number): void {
    if (this.busy || this.queue.length > 0) {
      this.queue.push({ group, settledBelow });
      return;
    }
    const { service, partition, forwarded } = this.target;
    const place = this.services.router.places.now(service.name, partition);
    if (place.type === 'local') return this.submit(place.term, group, settledBelow);
    if (forwarded) return group.done(noLeader(service.name, partition));
    this.queue.push({ group, settledBelow });
    this.busy = true;
    void this.drain();
  }

  /** For as long as somebody else leads, or nobody does. */
  private async drain(): Promise<void> {
    const { service, partition, deadlineMs, signal } = this.target;
    const { places } = this.services.router;
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      const { group, settledBelow } = next;
      const place: Place<QueueTerm> = await places.find(service.name, partition, { forwarded: false, deadlineMs, signal });
      if (place.type === 'local') this.submit(place.term, group, settledBelow);
      else if (place.type === 'nobody') group.done(noLeader(service.name, partition));
      else group.done(await this.forward(place.leader.address, group, settledBelow).catch(unknownOutcome));
    }
    this.busy = false;
  }

  private submit(term: QueueTerm, group: PublishGroup, settledBelow: number): void {
    const { topic, session, traceparent } = this.target;
    const spans = publishSpans(this.services.spans, topic, group.messages);
    const done = (result: Published | Failure): void => {
      if (spans !== undefined) for (const span of spans) span.end('reason' in result ? result : undefined);
      group.done(result);
    };
    const origin: Requester<QueueReply> = {
      onReply: (reply) => {
        if (reply.type === 'response' && reply.response.type === 'published') done(reply.response);
        else if (reply.type === 'failure') done(reply.failure);
      },
      onFailure: done,
      ...(traceparent !== undefined && { caller: { traceparent } }),
    };
    const { sequences, messages } = group;
    term.submit({ type: 'request', origin, request: { type: 'publish', topic, session, settledBelow, sequences, messages } }, 'work');
  }

  private async forward(address: string, { sequences, messages }: PublishGroup, settledBelow: number): Promise<Published | Failure> {
    const { service, partition, topic, session, traceparent, deadlineMs, signal } = this.target;
    // What is sent again keeps its place among the others, so sequences need not grow.
    const first = session === '' ? 0 : Math.min(...sequences);
    const request: PublishRequest = {
      participant: service.name,
      topic,
      messages: messages.map(({ encoded }) => Message.decode(encoded)),
      session,
      firstSequence: first,
      settledBelow: session === '' ? 0 : Math.min(settledBelow, first),
      partition,
      sequenceOffsets: session === '' ? [] : sequences.map((sequence) => sequence - first),
    };
    try {
      const options = { deadlineMs, signal, traceparent, forwarded: true };
      return fromResponse(await this.services.router.channels.unary(address, methods.publish, request, options));
    } catch (error) {
      if (error instanceof FailureError) return error.failure;
      throw error;
    }
  }
}

/** An answer that can't be understood: the messages may have been published. */
function unknownOutcome(error: unknown): Failure {
  return { reason: 'OUTCOME_UNKNOWN', message: `the partition's leader gave an answer that is not understood (${String(error)}); publish again with the same sequences` };
}

/** Of a call between replicas: what was refused is named. */
function fromResponse({ messageIds, refused }: PublishResponse): Published {
  const failures = new Map<number, Failure>();
  for (const { sequence, count, status } of refused) {
    for (let i = 0; i < count; i++) failures.set(sequence + i, statusToFailure(status!));
  }
  const ids = messageIds.map((id) => parseMessageId(id));
  return {
    type: 'published',
    positions: ids.map((id) => id?.position ?? 0),
    failures: failures.size > 0 ? failures : undefined,
    incarnation: ids.find((id) => id !== undefined)?.incarnation ?? 0,
  };
}

/** Whether a message can go into a group with others; a large one goes alone. */
export function hasRoom(group: PublishGroup, bytes: number): boolean {
  return group.messages.length === 0 || (group.messages.length < LIMITS.requestMessages && group.bytes + bytes <= LIMITS.requestBytes);
}
