/** Acknowledgements, deadlines and returns outside of transactions (invariants Q8, Q9). */

import type { Failure } from '../failure.ts';
import type { Cost, Origin } from '../kernel.ts';
import { GROUP_BYTES, POSITION_BYTES } from './ack-log.ts';
import { ackExpired, ackStaged, detached, subscriptionNotFound } from './failures.ts';
import type { QueuePartition } from './partition.ts';
import type { QueueContext } from './state.ts';
import { DeadlineGroup } from './deliveries.ts';
import type { Subscription } from './subscription.ts';
import type { DeliveryTag, QueueRequest, SettleFailure } from './types.ts';

type RequestOf<Type extends QueueRequest['type']> = Extract<QueueRequest, { readonly type: Type }>;

/** Acknowledgements that are remembered with their delivery, so that a repeated one is known for what it is. */
const REMEMBERED = 16_384;

export class Acknowledging {
  private readonly state: QueuePartition;
  /** Of exactly-once deliveries: the delivery under which a message was acknowledged. */
  private readonly recent = new Map<string, number>();

  constructor(state: QueuePartition) {
    this.state = state;
  }

  cost(tags: number): Cost {
    return { operations: this.state.log.isOpen ? 0 : 1, bytes: GROUP_BYTES + tags * POSITION_BYTES };
  }

  acknowledge({ subscription: name, tags }: RequestOf<'acknowledge'>, origin: Origin, context: QueueContext): void {
    const subscription = this.find(name, origin, context);
    if (subscription === undefined) return;
    const failures: SettleFailure[] = [];
    for (let index = 0; index < tags.length; index++) {
      const failure = this.acknowledgeOne(subscription, tags[index]!);
      if (failure !== undefined) failures.push({ index, failure });
    }
    context.respond(origin, { type: 'settled', failures });
  }

  modifyDeadline({ subscription: name, tags, deadlinesMs }: RequestOf<'modifyDeadline'>, origin: Origin, context: QueueContext): void {
    const subscription = this.find(name, origin, context);
    if (subscription === undefined) return;
    const { state } = this;
    const failures: SettleFailure[] = [];
    const groups = new Map<number, DeadlineGroup>();
    for (let index = 0; index < tags.length; index++) {
      const tag = tags[index]!;
      const failure = this.obstacle(subscription, tag);
      const delivery = subscription.outstanding.get(tag.position);
      if (failure !== undefined) failures.push({ index, failure });
      // Of an earlier delivery, or settled: nothing to move.
      else if (delivery === undefined || delivery.attempt !== tag.attempt || !subscription.isCurrent(tag)) continue;
      else if (deadlinesMs[index] === 0) subscription.giveBack(delivery);
      else {
        const deadlineMs = state.nowMs + deadlinesMs[index]!;
        let group = groups.get(deadlineMs);
        if (group === undefined) groups.set(deadlineMs, (group = new DeadlineGroup(subscription)));
        subscription.extend(delivery, deadlineMs, group);
      }
    }
    for (const [deadlineMs, group] of groups) state.timers.set(group, deadlineMs);
    context.respond(origin, { type: 'settled', failures });
  }

  release({ subscription: name, tags }: RequestOf<'release'>): void {
    const subscription = this.state.subscriptions.get(name);
    if (subscription === undefined) return;
    for (const tag of tags) {
      const delivery = subscription.outstanding.get(tag.position);
      if (delivery === undefined || delivery.attempt !== tag.attempt || subscription.staged.has(tag.position)) continue;
      if (subscription.isCurrent(tag)) subscription.release(delivery);
    }
  }

  /** A delivery that was acknowledged, by whomever, came back or is of an earlier generation, is not out any more. */
  check({ subscription: name, tags }: RequestOf<'check'>, origin: Origin, context: QueueContext): void {
    const subscription = this.find(name, origin, context);
    if (subscription === undefined) return;
    const settled: number[] = [];
    for (let index = 0; index < tags.length; index++) {
      const tag = tags[index]!;
      const isOut = subscription.isCurrent(tag) && subscription.outstanding.get(tag.position)?.attempt === tag.attempt;
      if (!isOut) settled.push(index);
    }
    context.respond(origin, { type: 'checked', settled });
  }

  private find(name: string, origin: Origin, context: QueueContext): Subscription | undefined {
    const subscription = this.state.subscriptions.get(name);
    if (subscription?.topic !== undefined) return subscription;
    context.fail(origin, subscription === undefined ? subscriptionNotFound(name) : detached(name));
    return undefined;
  }

  private acknowledgeOne(subscription: Subscription, tag: DeliveryTag): Failure | undefined {
    const failure = this.obstacle(subscription, tag);
    if (failure !== undefined) return failure;
    const { generation, position, attempt } = tag;
    // Harmless: what was delivered before a seek, or is acknowledged.
    if (!subscription.isCurrent(tag) || !subscription.acknowledge(position)) return undefined;
    if (subscription.config.exactlyOnce) this.remember(`${generation} ${position}`, attempt);
    return undefined;
  }

  /** Why the delivery can't be settled or moved. Where delivery is at least once, what comes late does no harm. */
  private obstacle(subscription: Subscription, tag: DeliveryTag): Failure | undefined {
    const { config, set, staged, outstanding } = subscription;
    const { generation, position, attempt } = tag;
    const { name, exactlyOnce } = config;
    const current = subscription.isCurrent(tag);
    if (current && staged.has(position) && !this.state.bugs.has('staged-message-touched')) return ackStaged(name, position);
    if (!exactlyOnce) return undefined;
    if (!current) return ackExpired(name, 'the subscription was sought, purged or created anew after it');
    if (set.has(position)) {
      if (this.recent.get(`${generation} ${position}`) === attempt) return undefined;
      return ackExpired(name, 'the message was acknowledged already, by this or a later delivery, or was dropped');
    }
    const delivery = outstanding.get(position);
    if (delivery?.attempt === attempt) return undefined;
    return ackExpired(name, delivery === undefined ? 'its deadline has passed' : `it was delivered again, attempt ${delivery.attempt}`);
  }

  private remember(delivery: string, attempt: number): void {
    this.recent.set(delivery, attempt);
    if (this.recent.size <= REMEMBERED) return;
    for (const oldest of this.recent.keys()) {
      this.recent.delete(oldest);
      return;
    }
  }
}
