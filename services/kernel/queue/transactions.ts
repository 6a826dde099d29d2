/**
 * Publish and acknowledge as parts of transactions: what is locked and promised at prepare, and what a
 * commit does (invariants Q7 to Q9, K7).
 */

import type { Failure } from '../failure.ts';
import type { Cost } from '../kernel.ts';
import type { LockWish } from '../participant/locks.ts';
import { GROUP_BYTES, POSITION_BYTES } from './ack-log.ts';
import { ackExpired, alreadyAcknowledged, detached, memoryTopic, subscriptionNotFound, topicNotFound } from './failures.ts';
import { messageLock, orderLock, subscriptionLock, topicLock } from './keys.ts';
import { appendMessage, DROPPED_PER_STEP, findDuplicate, makeRoom, type Publishing } from './publishing.ts';
import type { QueuePartition } from './partition.ts';
import type { NewMessage, QueueOperation, QueueWrite } from './types.ts';

type PublishWrite = Extract<QueueWrite, { readonly type: 'publish' }>;
type AcknowledgeWrite = Extract<QueueWrite, { readonly type: 'acknowledge' }>;
type AcknowledgeOperation = Extract<QueueOperation, { readonly type: 'acknowledge' }>;

/** Room that the writes before in the same transaction take. */
export interface Planned {
  readonly counts: Map<string, number>;
  readonly bytes: Map<string, number>;
}

export class Transactions {
  private readonly state: QueuePartition;
  private readonly publishing: Publishing;

  constructor(state: QueuePartition, publishing: Publishing) {
    this.state = state;
    this.publishing = publishing;
  }

  locks(operation: PublishWrite | AcknowledgeOperation | AcknowledgeWrite): LockWish[] {
    if (operation.type === 'publish') {
      const { topic, message } = operation;
      const wishes = [{ name: topicLock(topic), exclusive: false }];
      if (message.orderingKey !== '') wishes.push({ name: orderLock(topic, message.orderingKey), exclusive: true });
      return wishes;
    }
    const { subscription } = operation;
    const topic = 'tag' in operation ? this.state.subscriptions.get(subscription)?.config.topic : operation.topic;
    const position = 'tag' in operation ? operation.tag.position : operation.position;
    const wishes = [{ name: subscriptionLock(subscription), exclusive: false }];
    if (topic !== undefined) wishes.push({ name: topicLock(topic), exclusive: false });
    if (!this.state.bugs.has('double-ack')) wishes.push({ name: messageLock(subscription, position), exclusive: true });
    return wishes;
  }

  // Deciding, at prepare

  publish(operation: PublishWrite, planned: Planned): QueueWrite | Failure {
    const { state } = this;
    const topic = state.topics.get(operation.topic);
    if (topic === undefined) return topicNotFound(operation.topic);
    if (!topic.isDurable) return memoryTopic(`topic "${operation.topic}" can't be published to in a transaction`);
    const size = operation.message.encoded.length;
    const count = planned.counts.get(operation.topic) ?? 0;
    const bytes = planned.bytes.get(operation.topic) ?? 0;
    // Where the oldest are dropped, they make room when it commits.
    if (topic.config.overflow === 'reject') {
      topic.reserved += count;
      topic.reservedBytes += bytes;
      const failure = makeRoom(topic, size, state);
      topic.reserved -= count;
      topic.reservedBytes -= bytes;
      if (failure !== undefined) return failure;
    }
    planned.counts.set(operation.topic, count + 1);
    planned.bytes.set(operation.topic, bytes + size);
    return { type: 'publish', topic: operation.topic, message: operation.message };
  }

  acknowledge({ subscription: name, tag }: AcknowledgeOperation): QueueWrite | Failure {
    const subscription = this.state.subscriptions.get(name);
    if (subscription === undefined) return subscriptionNotFound(name);
    const { topic, set, config, outstanding } = subscription;
    if (topic === undefined) return detached(name);
    if (!topic.isDurable) return memoryTopic(`messages of subscription "${name}" can't be acknowledged in a transaction`);
    const { generation, position, attempt } = tag;
    if (!subscription.isCurrent(tag)) return ackExpired(name, 'it was made before a seek or purge, or before the subscription was created anew');
    if (position >= topic.next) return ackExpired(name, 'the topic has had no such message');
    if (set.has(position) && !this.state.bugs.has('double-ack')) return alreadyAcknowledged(name, position);
    if (config.exactlyOnce && outstanding.get(position)?.attempt !== attempt) return ackExpired(name, 'its deadline has passed');
    return { type: 'acknowledge', topic: topic.config.name, subscription: name, generation, position };
  }

  // Between prepare and outcome

  hold(write: PublishWrite | AcknowledgeWrite): void {
    if (write.type === 'acknowledge') return this.state.subscriptions.get(write.subscription)?.stage(write.position);
    const topic = this.state.topics.get(write.topic);
    if (topic === undefined) return;
    topic.reserved++;
    topic.reservedBytes += write.message.encoded.length;
    if (write.message.orderingKey !== '') this.publishing.hold(write.topic, write.message.orderingKey);
  }

  drop(write: PublishWrite | AcknowledgeWrite): void {
    if (write.type === 'publish') return this.unreserve(write);
    this.state.subscriptions.get(write.subscription)?.unstage(write.position, true);
  }

  // The commit

  apply(write: PublishWrite | AcknowledgeWrite, held: boolean): void {
    const { state } = this;
    if (write.type === 'acknowledge') {
      const subscription = state.subscriptions.get(write.subscription);
      if (subscription === undefined || subscription.set.generation !== write.generation) return;
      if (held) subscription.unstage(write.position, false);
      subscription.acknowledge(write.position);
      return;
    }
    if (held) this.unreserve(write);
    const topic = state.topics.get(write.topic);
    if (topic === undefined || findDuplicate(topic, write.message, state.nowMs) !== undefined) return;
    if (topic.config.overflow === 'dropOldest') makeRoom(topic, write.message.encoded.length, state);
    appendMessage(topic, write.message, state, state.out);
  }

  private unreserve({ topic: name, message }: PublishWrite): void {
    const topic = this.state.topics.get(name);
    if (topic !== undefined) {
      topic.reserved--;
      topic.reservedBytes -= message.encoded.length;
    }
    if (message.orderingKey !== '') this.publishing.free(name, message.orderingKey);
  }

  // Sizes

  /** Upper bound of what the writes put. */
  cost(writes: readonly (PublishWrite | AcknowledgeOperation | AcknowledgeWrite)[]): Cost {
    const messages = new Map<string, NewMessage[]>();
    let acknowledgements = 0;
    for (const write of writes) {
      if (write.type === 'acknowledge') acknowledgements++;
      else {
        const known = messages.get(write.topic);
        if (known === undefined) messages.set(write.topic, [write.message]);
        else known.push(write.message);
      }
    }
    let operations = this.state.log.isOpen || writes.length === 0 ? 0 : 1;
    let bytes = acknowledgements * (GROUP_BYTES + POSITION_BYTES);
    for (const [name, published] of messages) {
      const topic = this.state.topics.get(name);
      if (topic === undefined) continue;
      const cost = this.publishing.costOf(topic, published, 0);
      operations += cost.operations;
      bytes += cost.bytes + DROPPED_PER_STEP * POSITION_BYTES;
    }
    return { operations, bytes };
  }
}
