/** What a queue does outside of transactions: hands each request to the part that knows. */

import type { Cost, Origin } from '../kernel.ts';
import type { ResourceRequests } from '../participant/resource.ts';
import { GROUP_BYTES, POSITION_BYTES } from './ack-log.ts';
import { Acknowledging } from './acknowledging.ts';
import { CONFIGURE_COST, deleteSnapshot } from './configuring.ts';
import { detached, subscriptionNotFound, tooManyWait } from './failures.ts';
import { payloadKey } from './keys.ts';
import { appendMessage, DROPPED_PER_STEP, makeRoom, type Publishing } from './publishing.ts';
import { collect, COLLECT_COST, schedule } from './retention.ts';
import type { QueuePartition } from './partition.ts';
import type { QueueContext } from './state.ts';
import { LIMITS, type NewMessage, type QueueRequest, type QueueTypes } from './types.ts';

const NOTHING: readonly string[] = [];
const NO_COST: Cost = { operations: 0, bytes: 0 };
/** Timers that one step rings. */
const DUE_PER_STEP = 256;
/** What deliveries may add to the log in one batch, bytes. */
export const RECORD_BUDGET = 100_000;
/** A dead letter that finds no room tries again after this long. */
const DEAD_LETTER_RETRY_MS = 1000;

export class QueueRequests implements ResourceRequests<QueueTypes> {
  private readonly state: QueuePartition;
  private readonly publishing: Publishing;
  private readonly acknowledging: Acknowledging;
  private started = false;
  private folding = false;

  constructor(state: QueuePartition, publishing: Publishing) {
    this.state = state;
    this.publishing = publishing;
    this.acknowledging = new Acknowledging(state);
  }

  missing(request: QueueRequest): readonly string[] {
    const { subscriptions } = this.state;
    if (request.type === 'deliver') return subscriptions.get(request.subscription)?.pulls.missing() ?? NOTHING;
    if (request.type !== 'deadLetter') return NOTHING;
    const subscription = subscriptions.get(request.subscription);
    const segment = subscription?.topic?.segments.find(request.position);
    if (segment === undefined || !segment.kept || segment.payload !== undefined || subscription!.set.has(request.position)) return NOTHING;
    return [payloadKey(subscription!.config.topic, segment.first)];
  }

  cost(request: QueueRequest): Cost {
    switch (request.type) {
      case 'publish':
        return this.publishing.cost(request);
      case 'resume':
        return this.publishing.resumeCost(request.topic, request.orderingKey);
      case 'acknowledge':
        return this.acknowledging.cost(request.tags.length);
      case 'modifyDeadline':
        return this.acknowledging.cost(2 * request.tags.length);
      case 'deadLetter':
        return this.deadLetterCost(request.subscription, request.position);
      case 'collect':
        return COLLECT_COST;
      case 'expireSnapshot':
        return CONFIGURE_COST;
      case 'fold':
        return this.state.log.foldCost;
      case 'pull':
      case 'release':
      case 'check':
      case 'deliver':
        return NO_COST;
    }
  }

  serve(request: QueueRequest, origin: Origin, context: QueueContext): void {
    this.begin(context);
    const { state } = this;
    switch (request.type) {
      case 'publish':
        return this.publishing.publish(request, origin, context);
      case 'resume':
        return this.publishing.resume(request.topic, request.orderingKey, context);
      case 'pull':
        return this.pull(request, origin, context);
      case 'acknowledge':
        return this.acknowledging.acknowledge(request, origin, context);
      case 'modifyDeadline':
        return this.acknowledging.modifyDeadline(request, origin, context);
      case 'release':
        return this.acknowledging.release(request);
      case 'check':
        return this.acknowledging.check(request, origin, context);
      case 'deliver':
        return state.subscriptions.get(request.subscription)?.pulls.goOn();
      case 'deadLetter':
        return this.deadLetter(request.subscription, request.position);
      case 'collect': {
        const topic = state.topics.get(request.topic);
        if (topic !== undefined) collect(topic, state);
        return;
      }
      case 'expireSnapshot': {
        const snapshot = state.snapshots.get(request.name);
        if (snapshot !== undefined && snapshot.pins === 0 && snapshot.config.expireMs <= state.nowMs) deleteSnapshot(snapshot, state);
        return;
      }
      case 'fold':
        this.folding = false;
        return state.log.foldStep(state.out);
    }
  }

  cancel(target: Origin, context: QueueContext): void {
    this.begin(context);
    const { pulls } = this.state;
    const pull = pulls.get(target);
    if (pull !== undefined) {
      pulls.delete(target);
      pull.cancel();
    }
    this.publishing.cancel(target);
  }

  retire(context: QueueContext): void {
    this.begin(context);
    const gone = { reason: 'NO_LEADER', message: 'the partition is handed over to another replica; try again', retryAfterMs: 50 } as const;
    for (const { pulls } of this.state.subscriptions.values()) pulls.fail(gone, context);
    this.publishing.fail(gone, context);
  }

  wakeAtMs(): number | undefined {
    if (!this.started) return 0;
    const { timers, sessions, volatileSessions } = this.state;
    const atMs = Math.min(timers.nextMs() ?? Infinity, sessions.collectDueMs ?? Infinity, volatileSessions.collectDueMs ?? Infinity);
    return atMs === Infinity ? undefined : atMs;
  }

  onDue(context: QueueContext): void {
    this.begin(context);
    const { timers, sessions, volatileSessions, nowMs } = this.state;
    for (let rung = 0; rung < DUE_PER_STEP; rung++) {
      const due = timers.takeDue(nowMs);
      if (due === undefined) break;
      due.ring();
    }
    if ((sessions.collectDueMs ?? Infinity) <= nowMs) sessions.collect(nowMs);
    if ((volatileSessions.collectDueMs ?? Infinity) <= nowMs) volatileSessions.collect(nowMs);
  }

  get dueCost(): Cost {
    return { operations: 0, bytes: this.state.sessions.collectBytes };
  }

  conclude(context: QueueContext): void {
    this.begin(context);
    const { state } = this;
    this.publishing.conclude(context);
    state.recordBudget = RECORD_BUDGET;
    for (const subscription of state.woken) {
      if (!subscription.closed) subscription.pulls.serve(context);
      else {
        const { name } = subscription.config;
        subscription.pulls.fail(state.subscriptions.has(name) ? detached(name) : subscriptionNotFound(name), context);
      }
    }
    state.woken.clear();
    if (state.log.foldDue && !this.folding) {
      this.folding = true;
      state.follow({ type: 'fold' });
    }
    for (const request of state.follows.splice(0)) context.follow(request);
  }

  /** Whatever step comes first begins the term. */
  private begin({ nowMs, out }: QueueContext): void {
    this.state.nowMs = nowMs;
    this.state.out = out;
    if (this.started) return;
    this.started = true;
    for (const subscription of this.state.subscriptions.values()) subscription.start();
    for (const topic of this.state.topics.values()) schedule(topic, this.state);
  }

  private pull(request: Extract<QueueRequest, { readonly type: 'pull' }>, origin: Origin, context: QueueContext): void {
    const { state } = this;
    const subscription = state.subscriptions.get(request.subscription);
    if (subscription === undefined) return context.fail(origin, subscriptionNotFound(request.subscription));
    if (subscription.topic === undefined) return context.fail(origin, detached(request.subscription));
    const { pulls } = subscription;
    if (pulls.waiting >= LIMITS.subscriptionPulls) return context.fail(origin, tooManyWait('pulls wait at the subscription', pulls.waiting));
    if (state.pulls.size >= LIMITS.pulls) return context.fail(origin, tooManyWait('pulls wait at this partition', state.pulls.size));
    state.pulls.set(origin, pulls.add(request, origin));
  }

  // Dead letters

  private deadLetterCost(name: string, position: number): Cost {
    const subscription = this.state.subscriptions.get(name);
    const target = this.state.topics.get(subscription?.config.deadLetter?.topic ?? '');
    const segment = subscription?.topic?.segments.find(position);
    if (target === undefined || segment === undefined) return NO_COST;
    // Its ordering key and the attributes that say where it comes from.
    const bytes = segment.sizeOf(position) + 6 * 1024 + DROPPED_PER_STEP * POSITION_BYTES;
    return { operations: 6, bytes: bytes + (2 + target.holders) * (GROUP_BYTES + POSITION_BYTES) };
  }

  /** Moves a message to the dead-letter topic, in one step: it is there and acknowledged here, or neither (invariant Q12). */
  private deadLetter(name: string, position: number): void {
    const { state } = this;
    const subscription = state.subscriptions.get(name);
    const source = subscription?.topic;
    const segment = source?.segments.find(position);
    if (subscription === undefined || segment === undefined || subscription.set.has(position) || subscription.outstanding.has(position)) return;
    // The transaction decides; if it aborts, the message is offered again.
    if (subscription.staged.has(position)) return;
    const target = state.topics.get(subscription.config.deadLetter?.topic ?? '');
    const encoded = segment.payload?.[position - segment.first];
    // The policy was taken back meanwhile, or the message has just been unloaded.
    if (target === undefined || encoded === undefined) return subscription.comeBack(position, 0);
    const message: NewMessage = {
      encoded: state.settings.messages.annotate(encoded, originOf(subscription.config.topic, name, subscription.attempts.get(position) ?? 0)),
      orderingKey: segment.keyOf(position),
      priority: segment.priorityOf(position),
      deliverAtMs: 0,
      delayMs: 0,
      timeToLiveMs: 0,
      deduplicationId: '',
    };
    state.dropBudget = DROPPED_PER_STEP;
    const held = message.orderingKey !== '' && this.publishing.isHeld(target.config.name, message.orderingKey);
    if (held || makeRoom(target, message.encoded.length, state) !== undefined) {
      // As if it had not come back yet.
      state.timers.set(new LaterDeadLetter(state, name, position), state.nowMs + DEAD_LETTER_RETRY_MS);
      return;
    }
    appendMessage(target, message, state, state.out);
    subscription.acknowledge(position);
    subscription.deadLettered.add(1, state.nowMs);
    state.settings.tally?.deadLettered(name);
  }
}

function originOf(topic: string, subscription: string, attempts: number): ReadonlyMap<string, string> {
  return new Map([
    ['txmesh-dead-letter-topic', topic],
    ['txmesh-dead-letter-subscription', subscription],
    ['txmesh-dead-letter-attempts', String(attempts)],
  ]);
}

class LaterDeadLetter {
  dueMs = 0;
  timerIndex = -1;
  private readonly state: QueuePartition;
  private readonly subscription: string;
  private readonly position: number;

  constructor(state: QueuePartition, subscription: string, position: number) {
    this.state = state;
    this.subscription = subscription;
    this.position = position;
  }

  ring(): void {
    this.state.follow({ type: 'deadLetter', subscription: this.subscription, position: this.position });
  }
}
