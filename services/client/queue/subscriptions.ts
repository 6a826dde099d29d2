/** The subscriptions and snapshots of a queue service. */

import { QueueServiceService as methods, type SeekRequest } from '../../gen/txmesh/queue/v1/queue.ts';
import { changeOptions, type ChangeOptions } from '../change.ts';
import type { CallOptions } from '../options.ts';
import { pages } from '../paging.ts';
import type { Rpc } from '../rpc.ts';
import {
  snapshotFrom,
  subscriptionFrom,
  subscriptionMask,
  subscriptionStatisticsFrom,
  wireSubscription,
  type Snapshot,
  type Subscription,
  type SubscriptionOptions,
  type SubscriptionSettings,
  type SubscriptionStatistics,
} from './subscription-codec.ts';
import { timestamp } from '../times.ts';
import type { ListPageOptions, UpdateOptions } from './topics.ts';

/**
 * Where a subscription is to go: what was published before the time, what the snapshot's subscription
 * had acknowledged, or what lies before these messages counts as acknowledged, and nothing else.
 */
export type SeekTarget = { readonly time: Date } | { readonly snapshot: string } | { readonly messageIds: readonly string[] };

export interface ListOfTopicOptions extends ListPageOptions {
  /** Only those of this topic. Default: all. */
  readonly topic?: string;
}

/** Subscriptions, as `mesh.queue().subscriptions` has them. */
export class Subscriptions {
  private readonly rpc: Rpc;
  private readonly participant: string;

  constructor(rpc: Rpc, participant: string) {
    this.rpc = rpc;
    this.participant = participant;
  }

  /** @throws AlreadyExists where there is one of this name. */
  async create(name: string, topic: string, options: SubscriptionOptions & ChangeOptions = {}): Promise<Subscription> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    const request = { participant: this.participant, subscription: wireSubscription(name, topic, options), requestId };
    const { subscription } = await this.rpc.call(methods.createSubscription, request, call);
    return subscriptionFrom(subscription!);
  }

  /** @throws NotFound */
  async get(name: string, options: CallOptions = {}): Promise<Subscription> {
    const { subscription } = await this.rpc.call(methods.getSubscription, { participant: this.participant, name }, this.routed(name, options));
    return subscriptionFrom(subscription!);
  }

  /** Changes what is given of its settings. */
  async update(name: string, settings: SubscriptionSettings, options: UpdateOptions = {}): Promise<Subscription> {
    const { participant } = this;
    const { requestId, call } = changeOptions(participant, name, options);
    const wire = wireSubscription(name, '', settings, options.version);
    const request = { participant, subscription: wire, updateMask: subscriptionMask(settings), requestId };
    const { subscription } = await this.rpc.call(methods.updateSubscription, request, call);
    return subscriptionFrom(subscription!);
  }

  /** By name. */
  async *list({ pageSize = 0, topic = '', ...options }: ListOfTopicOptions = {}): AsyncGenerator<Subscription, void, undefined> {
    const { rpc, participant } = this;
    for await (const { subscriptions } of pages((pageToken) => rpc.call(methods.listSubscriptions, { participant, topic, pageSize, pageToken }, options)))
      for (const subscription of subscriptions) yield subscriptionFrom(subscription);
  }

  /** Deletes it with its backlog. Its snapshots stay. @throws NotFound */
  async delete(name: string, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    await this.rpc.call(methods.deleteSubscription, { participant: this.participant, name, requestId }, call);
  }

  /** Separates it from its topic for good. */
  async detach(name: string, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    await this.rpc.call(methods.detachSubscription, { participant: this.participant, name, requestId }, call);
  }

  /** Acknowledges everything that it has not acknowledged. */
  async purge(name: string, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    await this.rpc.call(methods.purgeSubscription, { participant: this.participant, name, requestId }, call);
  }

  /** Sets it back or forth. What was delivered before can't be acknowledged any more. */
  async seek(name: string, target: SeekTarget, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    await this.rpc.call(methods.seek, { participant: this.participant, subscription: name, target: wireTarget(target), requestId }, call);
  }

  /** How far behind it is, and how fast it gets on. */
  async statistics(name: string, options: CallOptions = {}): Promise<SubscriptionStatistics> {
    const { participant } = this;
    return subscriptionStatisticsFrom(await this.rpc.call(methods.getSubscriptionStatistics, { participant, name }, this.routed(name, options)));
  }

  private routed(name: string, { signal, timeoutMs }: CallOptions) {
    return { signal, timeoutMs, route: { service: this.participant, routingKey: name } };
  }
}

export interface SnapshotOptions extends ChangeOptions {
  /** When it is deleted by itself, 1 minute to 7 days from now. Default: after 7 days. */
  readonly expireTime?: Date;
}

/** Snapshots of what subscriptions had left to do, as `mesh.queue().snapshots` has them. */
export class Snapshots {
  private readonly rpc: Rpc;
  private readonly participant: string;

  constructor(rpc: Rpc, participant: string) {
    this.rpc = rpc;
    this.participant = participant;
  }

  /**
   * Remembers what a subscription has acknowledged so far, for {@link Subscriptions.seek}. While the snapshot
   * exists, its topic keeps what the subscription had not acknowledged, and can't be deleted.
   * @throws AlreadyExists where there is one of this name
   * @throws NotFound where there is no such subscription
   * @throws FailedPrecondition for a topic in memory or a detached subscription
   */
  async create(name: string, subscription: string, options: SnapshotOptions = {}): Promise<Snapshot> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    const expireTime = options.expireTime && timestamp(options.expireTime, 'expireTime');
    const wanted = { name, subscription, topic: '', expireTime, createTime: undefined };
    const { snapshot } = await this.rpc.call(methods.createSnapshot, { participant: this.participant, snapshot: wanted, requestId }, call);
    return snapshotFrom(snapshot!);
  }

  /** By name. */
  async *list({ pageSize = 0, topic = '', ...options }: ListOfTopicOptions = {}): AsyncGenerator<Snapshot, void, undefined> {
    const { rpc, participant } = this;
    for await (const { snapshots } of pages((pageToken) => rpc.call(methods.listSnapshots, { participant, topic, pageSize, pageToken }, options)))
      for (const snapshot of snapshots) yield snapshotFrom(snapshot);
  }

  /** Deletes it; what was kept for it alone is removed. @throws NotFound */
  async delete(name: string, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    await this.rpc.call(methods.deleteSnapshot, { participant: this.participant, name, requestId }, call);
  }
}

function wireTarget(target: SeekTarget): SeekRequest['target'] {
  if ('time' in target) return { $case: 'time', value: timestamp(target.time, 'time') };
  if ('snapshot' in target) return { $case: 'snapshot', value: target.snapshot };
  return { $case: 'positions', value: { messageIds: [...target.messageIds] } };
}
