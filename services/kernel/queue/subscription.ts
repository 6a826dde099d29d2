/**
 * One subscription at one partition: what it still has to deliver, what is out, and when that comes
 * back (invariants Q5, Q6, Q8, Q9). What is out and when it is due is volatile; what is acknowledged is
 * in its set.
 */

import { backoffMs } from '../timers.ts';
import { ATTEMPT_BYTES, GROUP_BYTES, POSITION_BYTES } from './ack-log.ts';
import type { AckSet } from './ack-set.ts';
import { DeadlineGroup, type Delivery } from './deliveries.ts';
import { parseFilter, type Filter } from './filter.ts';
import { ParallelOrder, PriorityOrder, SequentialOrder, type MessageFacts, type Order } from './order.ts';
import { PositionHeap } from './positions.ts';
import { PullRing, type PullSource } from './pulls.ts';
import { Rate } from './rates.ts';
import type { Due, QueueState } from './state.ts';
import type { Reader, Topic } from './topic.ts';
import { LIMITS, type DeliveryTag, type SubscriptionConfig } from './types.ts';

/** Most messages that one batch looks at for a subscription. */
const SCAN_PER_BATCH = 16_384;
const DUE_PER_LOOK = 256;

export class Subscription implements Due, MessageFacts, PullSource, Reader {
  config: SubscriptionConfig;
  readonly topic: Topic | undefined;
  readonly set: AckSet;
  readonly filter: Filter | undefined;
  readonly outstanding = new Map<number, Delivery>();
  /** Deliveries in vain so far, of what is not out now. */
  readonly attempts = new Map<number, number>();
  /** Messages that prepared transactions acknowledge. */
  readonly staged = new Set<number>();
  readonly pulls: PullRing;
  readonly delivered = new Rate();
  readonly acknowledged = new Rate();
  readonly redelivered = new Rate();
  readonly deadLettered = new Rate();
  backlogBytes = 0;
  /** Messages up to here were published before the filter was asked, or are to be looked at again. */
  unfilteredThrough = 0;
  /** The subscription is no more. */
  closed = false;
  dueMs = 0;
  timerIndex = -1;
  private order: Order;
  /** Where the first look at messages has got to. */
  private cursor = 1;
  private peeked = 0;
  private budget = SCAN_PER_BATCH;
  /** Messages before their delivery time, and after a delivery in vain. */
  private delayed = new PositionHeap();
  private backoffs = new PositionHeap();
  /** Of the deliberate bug 'delayed-lost'. */
  private readonly lost = new Set<number>();
  private readonly state: QueueState;

  constructor(state: QueueState, config: SubscriptionConfig, topic: Topic | undefined, set: AckSet) {
    this.state = state;
    this.config = config;
    this.topic = topic;
    this.set = set;
    this.pulls = new PullRing(this, state);
    const filter = config.filter === '' ? undefined : parseFilter(config.filter);
    this.filter = typeof filter === 'function' ? filter : undefined;
    this.order = this.newOrder();
    this.cursor = set.acknowledged.floor + 1;
    set.longestOutstandingMs = () => this.longestOutstandingMs();
  }

  // Facts about messages

  keyOf(position: number): string {
    return this.topic?.segments.find(position)?.keyOf(position) ?? '';
  }

  priorityOf(position: number): number {
    return this.topic?.segments.find(position)?.priorityOf(position) ?? 0;
  }

  publishMsOf(position: number): number {
    return this.topic?.segments.find(position)?.publishMs ?? 0;
  }

  matches(encoded: Uint8Array): boolean {
    return this.filter === undefined || this.filter(this.state.settings.messages.attributesOf(encoded));
  }

  /** Whether a delivery is of this generation, and not from before a seek or a new beginning (invariant Q11). */
  isCurrent({ generation, incarnation }: DeliveryTag): boolean {
    return generation === this.set.generation && incarnation === this.state.incarnationOf(this.topic);
  }

  get backlog(): number {
    return this.topic === undefined ? 0 : this.set.missingThrough(this.topic.next - 1);
  }

  get delayedCount(): number {
    return this.delayed.size + this.backoffs.size;
  }

  // The beginning of a term, and of a new generation

  /** Takes up what was out when the last term ended: of exactly-once deliveries nothing comes back early. */
  start(): void {
    const { set, config, topic, state } = this;
    if (topic === undefined) return;
    this.unfilteredThrough = topic.next - 1;
    if (state.bugs.has('delayed-lost')) this.skipDelayed();
    if (!config.exactlyOnce || set.delivered === undefined) return;
    const group = new DeadlineGroup(this);
    const last = topic.next - 1;
    const ranges = set.delivered.ranges();
    ranges.unshift(set.acknowledged.floor + 1, set.delivered.floor);
    const deadlineMs = state.nowMs + Math.max(set.longestDeadlineMs, config.ackDeadlineMs);
    for (let i = 0; i < ranges.length; i += 2) {
      for (let position = ranges[i]!; position <= Math.min(last, ranges[i + 1]!); position++) {
        if (set.has(position) || this.outstanding.has(position)) continue;
        this.order.restore(position);
        this.add(position, set.attempts.get(position) ?? 1, deadlineMs, group);
      }
    }
    if (group.open > 0) state.timers.set(group, deadlineMs);
  }

  /** Nothing is out any more, and everything is looked at again. */
  restart(): void {
    for (const { group } of this.outstanding.values()) this.state.timers.cancel(group);
    this.outstanding.clear();
    this.attempts.clear();
    this.unfilteredThrough = this.topic === undefined ? 0 : this.topic.next - 1;
    this.reorder();
  }

  /** The order is another one from now on: everything that is not out is looked at again. */
  reorder(): void {
    this.order = this.newOrder();
    this.delayed = new PositionHeap();
    this.backoffs = new PositionHeap();
    this.cursor = this.set.acknowledged.floor + 1;
    this.peeked = 0;
    this.wake();
  }

  private newOrder(): Order {
    const { mode, ageingStepMs } = this.config;
    if (mode === 'sequential') return new SequentialOrder(this);
    return mode === 'priority' ? new PriorityOrder(this, ageingStepMs) : new ParallelOrder();
  }

  private longestOutstandingMs(): number {
    let longest = 0;
    for (const { deadlineMs } of this.outstanding.values()) longest = Math.max(longest, deadlineMs - this.state.nowMs);
    return longest;
  }

  private skipDelayed(): void {
    const { topic, state, set } = this;
    for (const segment of topic!.segments) {
      if (segment.deliverAtMs === undefined) continue;
      for (let position = segment.first; position < segment.end; position++) {
        if (segment.deliverAtOf(position) > state.nowMs && !set.has(position)) this.lost.add(position);
      }
    }
  }

  // What comes

  onPublished(bytes: number): void {
    this.backlogBytes += bytes;
    if (this.pulls.waiting > 0) this.wake();
  }

  /** A message of so many bytes was dropped from the topic. */
  onGone(bytes: number): void {
    this.backlogBytes -= bytes;
  }

  /** Those who wait are served when the batch ends. */
  wake(): void {
    this.state.woken.add(this);
  }

  /** Something that was delayed may be due. */
  ring(): void {
    this.wake();
  }

  // What is next

  /** Ends a batch. */
  refill(): void {
    this.budget = SCAN_PER_BATCH;
  }

  /** There may be more than one batch has looked at. */
  get isExhausted(): boolean {
    return this.budget <= 0;
  }

  get isFull(): boolean {
    const { exactlyOnce } = this.config;
    return this.outstanding.size >= (exactlyOnce ? LIMITS.exactlyOnceOutstanding : LIMITS.outstanding);
  }

  /** The next message to deliver; undefined: there is none now. It stays the next one until it is taken. */
  peek(): number | undefined {
    const { nowMs } = this.state;
    if (this.peeked !== 0 && this.isDeliverable(this.peeked)) return this.peeked;
    this.peeked = 0;
    this.takeDelayed(nowMs);
    while (this.budget-- > 0) {
      let position = this.order.needsAll ? undefined : this.order.take(nowMs);
      if (position === undefined) {
        const arrived = this.scan();
        if (arrived !== undefined) {
          if (!this.order.arrive(arrived)) continue;
          position = arrived;
        } else {
          if (!this.order.needsAll || this.budget <= 0) return undefined;
          position = this.order.take(nowMs);
          if (position === undefined) return undefined;
        }
      }
      if (this.isDeliverable(position)) return (this.peeked = position);
    }
    return undefined;
  }

  /** Takes the peeked message: it is out from now on. */
  take(position: number, group: DeadlineGroup, deadlineMs: number, bytes: number): Delivery {
    this.peeked = 0;
    const attempt = Math.max(this.attempts.get(position) ?? 0, this.set.attempts.get(position) ?? 0) + 1;
    if (this.attempts.size > 0) this.attempts.delete(position);
    const { state, set, config } = this;
    const records = config.exactlyOnce || (attempt > 1 && config.deadLetter !== undefined);
    if (records) this.spend();
    if (config.exactlyOnce) state.log.deliver(set, position, deadlineMs - state.nowMs, state.out);
    if (attempt > 1 && (config.exactlyOnce || config.deadLetter !== undefined)) state.log.countAttempt(set, position, attempt, state.out);
    return this.add(position, attempt, deadlineMs, group, bytes);
  }

  /** The peeked message is no more first among those that have come meanwhile. */
  putBack(): void {
    if (this.peeked === 0 || !this.order.needsAll) return;
    this.order.again(this.peeked);
    this.peeked = 0;
  }

  /** Sets the timer for what is delayed, as long as somebody waits. */
  schedule(): void {
    const { state, delayed, backoffs } = this;
    const atMs = this.pulls.waiting === 0 ? Infinity : Math.min(delayed.nextMs() ?? Infinity, backoffs.nextMs() ?? Infinity);
    if (atMs === Infinity) state.timers.cancel(this);
    else if (this.timerIndex < 0 || this.dueMs !== atMs) state.timers.set(this, atMs);
  }

  private add(position: number, attempt: number, deadlineMs: number, group: DeadlineGroup, bytes = 0): Delivery {
    const delivery: Delivery = { position, attempt, bytes, deadlineMs, group };
    this.outstanding.set(position, delivery);
    group.positions.push(position);
    group.open++;
    return delivery;
  }

  /** Whether a message that is next can go out; what can't is settled, or comes again when it can. */
  private isDeliverable(position: number): boolean {
    const { topic, set } = this;
    const segment = topic?.segments.find(position);
    if (segment === undefined || set.has(position)) {
      this.order.settled(position);
      return false;
    }
    if (this.outstanding.has(position)) return false;
    // The outcome of the transaction decides: it is offered again if that aborts.
    if (this.staged.has(position) && !this.state.bugs.has('staged-message-touched')) return false;
    const expireAtMs = segment.expireAtOf(position);
    if (expireAtMs === 0 || expireAtMs > this.state.nowMs || topic!.isStaged(position)) return true;
    this.state.recordBudget -= POSITION_BYTES + GROUP_BYTES;
    topic!.drop(position);
    this.order.settled(position);
    return false;
  }

  /** The next message that has not been looked at and can be delivered as far as it is concerned. */
  private scan(): number | undefined {
    const { topic, set, state } = this;
    if (topic === undefined) return undefined;
    if (this.cursor <= set.acknowledged.floor) this.cursor = set.acknowledged.floor + 1;
    while (this.cursor < topic.next) {
      if (this.budget <= 0) return undefined;
      const segment = topic.segments.atOrAfter(this.cursor);
      if (segment === undefined) {
        this.cursor = topic.next;
        return undefined;
      }
      if (segment.first > this.cursor) this.cursor = segment.first;
      const position = this.cursor++;
      if (set.has(position) || this.outstanding.has(position)) {
        this.budget--;
        continue;
      }
      if (this.staged.has(position)) {
        this.order.restore(position);
        continue;
      }
      const deliverAtMs = segment.deliverAtOf(position);
      if (deliverAtMs <= state.nowMs) return position;
      this.budget--;
      if (!this.lost.has(position)) this.delayed.push(deliverAtMs, position);
    }
    return undefined;
  }

  /** What is due takes its place; not all of it at once where there is much. */
  private takeDelayed(nowMs: number): void {
    for (let i = 0; i < DUE_PER_LOOK; i++) {
      const position = this.backoffs.takeDue(nowMs);
      if (position === undefined) break;
      this.order.again(position);
    }
    for (let i = 0; i < DUE_PER_LOOK; i++) {
      const position = this.delayed.takeDue(nowMs);
      if (position === undefined) break;
      if (this.order.arrive(position)) this.order.again(position);
    }
  }

  // What comes back

  onDeadline(group: DeadlineGroup): void {
    const { nowMs } = this.state;
    for (const position of group.positions) {
      const delivery = this.outstanding.get(position);
      if (delivery?.group !== group) continue;
      if (delivery.deadlineMs > nowMs) continue;
      // While a transaction acknowledges it, no deadline touches it (invariant Q9).
      if (this.staged.has(position) && !this.state.bugs.has('staged-message-touched')) continue;
      this.giveBack(delivery);
    }
  }

  /** Deadline passed, or negative acknowledgement. */
  giveBack(delivery: Delivery): void {
    const { position, attempt } = delivery;
    const { config, state } = this;
    this.remove(delivery);
    if (this.set.has(position)) return this.order.settled(position);
    this.attempts.set(position, attempt);
    this.redelivered.add(1, state.nowMs);
    if (config.deadLetter !== undefined && attempt >= config.deadLetter.maxDeliveryAttempts) {
      return state.follow({ type: 'deadLetter', subscription: config.name, position });
    }
    this.comeBack(position, backoffOf(config, attempt));
  }

  /** The message is to be delivered again after this time. */
  comeBack(position: number, afterMs: number): void {
    if (afterMs > 0) this.backoffs.push(this.state.nowMs + afterMs, position);
    else this.order.again(position);
    this.wake();
  }

  /** It never reached its consumer: as if it had not been delivered. */
  release(delivery: Delivery): void {
    const { position, attempt } = delivery;
    this.remove(delivery);
    if (attempt > 1) this.attempts.set(position, attempt - 1);
    this.order.again(position);
    this.wake();
  }

  extend(delivery: Delivery, deadlineMs: number, group: DeadlineGroup): void {
    this.leave(delivery);
    delivery.deadlineMs = deadlineMs;
    delivery.group = group;
    group.positions.push(delivery.position);
    group.open++;
    const { state, set, config } = this;
    if (config.exactlyOnce) state.log.deliver(set, delivery.position, deadlineMs - state.nowMs, state.out);
  }

  /** What a delivery adds to the log. */
  private spend(): void {
    this.state.recordBudget -= 2 * POSITION_BYTES + ATTEMPT_BYTES + (this.set.pending === undefined ? GROUP_BYTES : 0);
  }

  /** The filter does not want the peeked message. */
  skip(position: number): void {
    this.peeked = 0;
    this.spend();
    this.acknowledge(position);
  }

  /** False: it was acknowledged before. */
  acknowledge(position: number): boolean {
    const { topic, set, state } = this;
    if (topic === undefined || set.has(position)) return false;
    const segment = topic.segments.find(position);
    const delivery = this.outstanding.get(position);
    if (delivery !== undefined) this.remove(delivery);
    if (!topic.acknowledge(set, position)) return false;
    this.backlogBytes -= segment?.sizeOf(position) ?? 0;
    if (this.attempts.size > 0) this.attempts.delete(position);
    this.order.settled(position);
    // Its ordering key's next one may go out.
    if (this.config.mode === 'sequential') this.wake();
    this.acknowledged.add(1, state.nowMs);
    state.settings.tally?.acknowledged(this.config.name);
    return true;
  }

  // Prepared transactions

  stage(position: number): void {
    this.staged.add(position);
    const segment = this.topic?.segments.find(position);
    if (segment !== undefined) segment.staged++;
  }

  /** @param offer the message is free again, and not acknowledged */
  unstage(position: number, offer: boolean): void {
    if (!this.staged.delete(position)) return;
    const segment = this.topic?.segments.find(position);
    if (segment !== undefined) segment.staged--;
    if (!offer) return;
    const delivery = this.outstanding.get(position);
    if (delivery === undefined) {
      if (position >= this.cursor) return;
      this.order.again(position);
      this.wake();
    } else if (delivery.deadlineMs <= this.state.nowMs) this.giveBack(delivery);
  }

  private remove(delivery: Delivery): void {
    this.outstanding.delete(delivery.position);
    this.leave(delivery);
  }

  private leave({ group }: Delivery): void {
    if (--group.open === 0) this.state.timers.cancel(group);
  }
}

function backoffOf({ minimumBackoffMs, maximumBackoffMs }: SubscriptionConfig, attempt: number): number {
  return minimumBackoffMs === 0 ? 0 : backoffMs({ baseMs: minimumBackoffMs, capMs: maximumBackoffMs }, attempt, 1);
}
