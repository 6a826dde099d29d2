/**
 * Pulls that wait at a subscription, served in turn (invariant Q10): whoever is first gets one
 * message and goes to the end, as long as it has room. When the batch ends, everybody who got something
 * is answered; a stream then pulls again and stands behind those who got nothing.
 */

import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { AckSet } from './ack-set.ts';
import { DeadlineGroup, type Delivery } from './deliveries.ts';
import { payloadKey } from './keys.ts';
import { Fifo } from './positions.ts';
import type { Rate } from './rates.ts';
import type { Due, QueueContext, QueueState } from './state.ts';
import type { Topic } from './topic.ts';
import type { DeliveredMessage, QueueRequest, SubscriptionConfig } from './types.ts';

type PullRequest = Extract<QueueRequest, { readonly type: 'pull' }>;

/** What is loaded at a time where messages are not in memory. */
const LOAD_SEGMENTS = 64;
const LOAD_BYTES = 4 * 1024 * 1024;

/** A subscription as those see it who wait at it. */
export interface PullSource {
  readonly config: SubscriptionConfig;
  readonly topic: Topic | undefined;
  readonly set: AckSet;
  readonly delivered: Rate;
  readonly isFull: boolean;
  /** There may be more than one batch has looked at. */
  readonly isExhausted: boolean;
  /** Messages up to here may be some that the filter does not want. */
  readonly unfilteredThrough: number;
  matches(encoded: Uint8Array): boolean;
  wake(): void;
  /** A batch begins. */
  refill(): void;
  peek(): number | undefined;
  take(position: number, group: DeadlineGroup, deadlineMs: number, bytes: number): Delivery;
  skip(position: number): void;
  putBack(): void;
  schedule(): void;
  onDeadline(group: DeadlineGroup): void;
}

export class Pull implements Due {
  readonly origin: Origin;
  readonly request: PullRequest;
  readonly messages: DeliveredMessage[] = [];
  bytes = 0;
  /** Nobody waits for it any more. */
  over = false;
  group: DeadlineGroup | undefined;
  dueMs = 0;
  timerIndex = -1;
  private readonly owner: PullRing;

  constructor(owner: PullRing, request: PullRequest, origin: Origin) {
    this.owner = owner;
    this.request = request;
    this.origin = origin;
  }

  ring(): void {
    this.owner.subscription.wake();
  }

  /** Whoever asked is gone. */
  cancel(): void {
    this.owner.cancel(this);
  }

  hasRoomFor(bytes: number): boolean {
    return this.messages.length === 0 || this.bytes + bytes <= this.request.maxBytes;
  }

  get isFull(): boolean {
    return this.messages.length >= this.request.maxMessages || this.bytes >= this.request.maxBytes;
  }
}

export class PullRing {
  readonly subscription: PullSource;
  private readonly state: QueueState;
  private queue = new Fifo<Pull>();
  private count = 0;
  /** A message that is next and not in memory; 0: none. */
  private loadFrom = 0;
  /** A step that goes on is on its way. */
  private going = false;

  constructor(subscription: PullSource, state: QueueState) {
    this.subscription = subscription;
    this.state = state;
  }

  get waiting(): number {
    return this.count;
  }

  add(request: PullRequest, origin: Origin): Pull {
    const pull = new Pull(this, request, origin);
    this.queue.push(pull);
    this.count++;
    if (request.untilMs > this.state.nowMs) this.state.timers.set(pull, request.untilMs);
    this.subscription.wake();
    return pull;
  }

  /** Whoever asked is gone. */
  cancel(pull: Pull): void {
    if (pull.over) return;
    this.leave(pull);
  }

  fail(failure: Failure, context: QueueContext): void {
    for (let pull = this.queue.shift(); pull !== undefined; pull = this.queue.shift()) {
      if (pull.over) continue;
      this.leave(pull);
      this.state.pulls.delete(pull.origin);
      context.fail(pull.origin, failure);
    }
  }

  /** Ends a batch: gives out what there is, and answers. */
  serve(context: QueueContext): void {
    const { subscription, state } = this;
    if (this.count === 0) return;
    subscription.refill();
    const full: Pull[] = [];
    const unfinished = this.distribute(full) || subscription.isExhausted;
    subscription.putBack();
    const waiting = new Fifo<Pull>();
    for (const pull of full) this.answer(pull, context);
    for (let pull = this.queue.shift(); pull !== undefined; pull = this.queue.shift()) {
      if (pull.over) continue;
      const timedOut = pull.request.untilMs <= state.nowMs && !unfinished;
      if (pull.messages.length > 0 || timedOut) this.answer(pull, context);
      else waiting.push(pull);
    }
    this.queue = waiting;
    if (this.count > 0 && unfinished && !this.going) {
      this.going = true;
      state.follow({ type: 'deliver', subscription: subscription.config.name });
    }
    subscription.schedule();
  }

  /** What was to be loaded is there, or the next part can be looked at. */
  goOn(): void {
    this.going = false;
    this.loadFrom = 0;
    this.subscription.wake();
  }

  /** Records of the messages that come next and are not in memory. */
  missing(): string[] {
    const { subscription } = this;
    const { topic } = subscription;
    const keys: string[] = [];
    if (topic === undefined || this.loadFrom === 0 || this.count === 0) return keys;
    let bytes = 0;
    for (const segment of topic.segments.from(this.loadFrom)) {
      if (keys.length === LOAD_SEGMENTS || (bytes > 0 && bytes + segment.bytes > LOAD_BYTES)) break;
      if (!segment.kept || segment.remaining === 0) continue;
      if (segment.payload !== undefined) break;
      bytes += segment.bytes;
      keys.push(payloadKey(topic.config.name, segment.first));
    }
    return keys;
  }

  /** @returns whether there is more to give out, in a later step */
  private distribute(full: Pull[]): boolean {
    const { subscription, state, queue } = this;
    const { topic, config } = subscription;
    while (!subscription.isFull) {
      if (state.recordBudget <= 0) return true;
      while (queue.peek()?.over) queue.shift();
      if (queue.peek() === undefined) return false;
      const position = subscription.peek();
      const segment = position === undefined ? undefined : topic?.segments.find(position);
      if (position === undefined || segment === undefined) return false;
      if (segment.payload === undefined) {
        this.loadFrom = position;
        return true;
      }
      const encoded = segment.payload[position - segment.first]!;
      if (position <= subscription.unfilteredThrough && !subscription.matches(encoded)) {
        subscription.skip(position);
        continue;
      }
      const pull = this.firstWithRoom(encoded.length, full);
      if (pull === undefined) return false;
      const deadlineMs = state.nowMs + (pull.request.ackDeadlineMs || config.ackDeadlineMs);
      pull.group ??= new DeadlineGroup(subscription);
      const { attempt } = subscription.take(position, pull.group, deadlineMs, encoded.length);
      pull.messages.push({ position, generation: subscription.set.generation, attempt, publishMs: segment.publishMs, encoded });
      pull.bytes += encoded.length;
      if (pull.isFull) full.push(pull);
      else queue.push(pull);
    }
    return false;
  }

  /** Takes the first pull with room off the queue; those in front of it are full. */
  private firstWithRoom(bytes: number, full: Pull[]): Pull | undefined {
    for (let pull = this.queue.shift(); pull !== undefined; pull = this.queue.shift()) {
      if (pull.over) continue;
      if (pull.hasRoomFor(bytes)) return pull;
      full.push(pull);
    }
    return undefined;
  }

  private answer(pull: Pull, context: QueueContext): void {
    this.leave(pull);
    const { state, subscription } = this;
    state.pulls.delete(pull.origin);
    const { messages, group, request } = pull;
    const deadlineMs = state.nowMs + (request.ackDeadlineMs || subscription.config.ackDeadlineMs);
    if (group !== undefined) {
      state.timers.set(group, deadlineMs);
      subscription.delivered.add(messages.length, state.nowMs);
      state.settings.tally?.delivered(subscription.config.name, messages.length);
    }
    const incarnation = state.incarnationOf(subscription.topic);
    context.respond(pull.origin, { type: 'delivered', messages, incarnation, deadlineMs });
  }

  private leave(pull: Pull): void {
    pull.over = true;
    this.count--;
    this.state.timers.cancel(pull);
  }
}
