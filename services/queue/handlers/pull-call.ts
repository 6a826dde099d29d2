/**
 * One demand for messages at one partition, wherever it is led. What arrives after whoever asked has
 * gone is given back: it never reached a consumer.
 */

import { QueueServiceService as methods, type PullRequest } from '../../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import { noLeader } from '../../runtime/router/place.ts';
import type { StrictReader } from '../../runtime/transport/decode.ts';
import { toDuration } from '../../runtime/transport/time.ts';
import { splitPullResponse, type Delivered } from '../codec-frames.ts';
import { noteDeliveries } from './trace.ts';
import { routesOf, type QueueReply, type QueueServices, type QueueTerm } from './service.ts';

/** What a partition gave. */
export type Pulled =
  | { readonly type: 'delivered'; readonly delivered: Delivered; readonly deadlineMs: number }
  /** Encoded, from the replica that leads the partition. */
  | { readonly type: 'forwarded'; readonly messages: readonly Uint8Array[] }
  | { readonly type: 'failed'; readonly failure: Failure };

export interface Demand {
  readonly subscription: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** 0: as the subscription says. */
  readonly ackDeadlineMs: number;
  /** 0: not at all. */
  readonly waitMs: number;
}

const pullMethod = {
  path: methods.pull.path,
  requestSerialize: methods.pull.requestSerialize,
  responseDeserialize: (bytes: Buffer): Uint8Array[] => splitPullResponse(bytes as Uint8Array | StrictReader),
};

/** Beyond the wait, for the way to another replica and back. */
const WAY_MS = 5000;

export class PullCall {
  private readonly services: QueueServices;
  private readonly service: Service;
  private readonly partition: number;
  private readonly demand: Demand;
  private readonly done: (pulled: Pulled) => void;
  private readonly controller = new AbortController();
  private over = false;
  private undo: (() => void) | undefined;

  /** @param done called once, unless it is cancelled before */
  constructor(services: QueueServices, service: Service, partition: number, demand: Demand, done: (pulled: Pulled) => void) {
    this.services = services;
    this.service = service;
    this.partition = partition;
    this.demand = demand;
    this.done = done;
  }

  /** @param forwarded another replica has forwarded it here */
  start(forwarded: boolean): void {
    if (this.over) return;
    const { name } = this.service;
    const place = this.services.router.places.now(name, this.partition);
    if (place.type === 'local') return this.submit(place.term);
    if (forwarded) return this.finish({ type: 'failed', failure: noLeader(name, this.partition) });
    void this.startElsewhere();
  }

  /** Whoever asked is gone. */
  cancel(): void {
    if (this.over) return;
    this.over = true;
    this.controller.abort();
    this.undo?.();
  }

  private async startElsewhere(): Promise<void> {
    const { router, clock } = this.services;
    const { name } = this.service;
    const { signal } = this.controller;
    const place = await router.places.find(name, this.partition, { forwarded: false, signal });
    if (this.over) return;
    if (place.type === 'local') return this.submit(place.term);
    if (place.type === 'nobody') return this.finish({ type: 'failed', failure: noLeader(name, this.partition) });
    const { subscription, maxMessages, maxBytes, ackDeadlineMs, waitMs } = this.demand;
    const request: PullRequest = {
      participant: name,
      subscription,
      maxMessages,
      maxBytes,
      wait: waitMs === 0 ? undefined : toDuration(waitMs),
      ackDeadline: ackDeadlineMs === 0 ? undefined : toDuration(ackDeadlineMs),
      partition: this.partition,
    };
    const options = { deadlineMs: clock.nowMs() + waitMs + WAY_MS, signal, forwarded: true };
    try {
      this.finish({ type: 'forwarded', messages: await router.channels.unary(place.leader.address, pullMethod, request, options) });
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      this.finish({ type: 'failed', failure: error.failure });
    }
  }

  private submit(term: QueueTerm): void {
    const { subscription, maxMessages, maxBytes, ackDeadlineMs, waitMs } = this.demand;
    const untilMs = waitMs === 0 ? 0 : this.services.clock.nowMs() + waitMs;
    const origin: Requester<QueueReply> = {
      onReply: (reply) => this.onReply(term, reply),
      onFailure: (failure) => this.finish({ type: 'failed', failure }),
    };
    this.undo = () => term.submit({ type: 'cancel', target: origin }, 'control');
    term.submit({ type: 'request', origin, request: { type: 'pull', subscription, maxMessages, maxBytes, ackDeadlineMs, untilMs } }, 'work');
  }

  private onReply(term: QueueTerm, reply: QueueReply): void {
    if (reply.type === 'failure') return this.finish({ type: 'failed', failure: reply.failure });
    if (reply.type !== 'response' || reply.response.type !== 'delivered') return;
    const { messages, incarnation, deadlineMs } = reply.response;
    const { partition } = this;
    const { subscription } = this.demand;
    const delivered = { route: routesOf(this.service).of(partition), partition, incarnation, messages };
    if (this.over) return giveBack(term, subscription, delivered);
    noteDeliveries(this.services.spans, subscription, delivered);
    this.finish({ type: 'delivered', delivered, deadlineMs });
  }

  private finish(pulled: Pulled): void {
    if (this.over) return;
    this.over = true;
    this.done(pulled);
  }
}

/** They never reached a consumer. */
export function giveBack(term: Pick<QueueTerm, 'submit'>, subscription: string, { incarnation, messages }: Delivered): void {
  if (messages.length === 0) return;
  const tags = messages.map(({ generation, position, attempt }) => ({ generation, position, attempt, incarnation }));
  term.submit({ type: 'request', request: { type: 'release', subscription, tags } }, 'control');
}
