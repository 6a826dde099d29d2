/** The topics of a queue service. */

import { QueueServiceService as methods } from '../../gen/txmesh/queue/v1/queue.ts';
import { changeOptions, type ChangeOptions } from '../change.ts';
import type { CallOptions } from '../options.ts';
import { pages } from '../paging.ts';
import type { Rpc } from '../rpc.ts';
import { topicStatisticsFrom, type TopicStatistics } from './subscription-codec.ts';
import { topicFrom, topicMask, wireTopic, type Topic, type TopicOptions, type TopicSettings } from './topic-codec.ts';

export interface UpdateOptions extends ChangeOptions {
  /** The version that it must have now. Default: any. */
  readonly version?: number;
}

export interface ListPageOptions extends CallOptions {
  /** How many are fetched at a time, 1 to 1000. Default 100. */
  readonly pageSize?: number;
}

/** Topics, as `mesh.queue().topics` has them. Names: 1 to 128 characters of a-z, A-Z, 0-9, '_', '-' and '.'. */
export class Topics {
  private readonly rpc: Rpc;
  private readonly participant: string;

  constructor(rpc: Rpc, participant: string) {
    this.rpc = rpc;
    this.participant = participant;
  }

  /** @throws AlreadyExists where there is one of this name. */
  async create(name: string, options: TopicOptions & ChangeOptions = {}): Promise<Topic> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    const { topic } = await this.rpc.call(methods.createTopic, { participant: this.participant, topic: wireTopic(name, options), requestId }, call);
    return topicFrom(topic!);
  }

  /** @throws NotFound */
  async get(name: string, options: CallOptions = {}): Promise<Topic> {
    const { topic } = await this.rpc.call(methods.getTopic, { participant: this.participant, name }, this.routed(name, options));
    return topicFrom(topic!);
  }

  /** Changes what is given of its settings. */
  async update(name: string, settings: TopicSettings, options: UpdateOptions = {}): Promise<Topic> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    const request = { participant: this.participant, topic: wireTopic(name, settings, options.version), updateMask: topicMask(settings), requestId };
    const { topic } = await this.rpc.call(methods.updateTopic, request, call);
    return topicFrom(topic!);
  }

  /** All of them, by name. */
  async *list({ pageSize = 0, ...options }: ListPageOptions = {}): AsyncGenerator<Topic, void, undefined> {
    const { rpc, participant } = this;
    for await (const { topics } of pages((pageToken) => rpc.call(methods.listTopics, { participant, pageSize, pageToken }, options)))
      for (const topic of topics) yield topicFrom(topic);
  }

  /**
   * Deletes it with its messages.
   * @throws NotFound
   * @throws FailedPrecondition while a subscription that is not detached, a snapshot or a dead-letter policy needs it
   */
  async delete(name: string, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    await this.rpc.call(methods.deleteTopic, { participant: this.participant, name, requestId }, call);
  }

  /** Removes all of its messages, for all subscriptions. */
  async purge(name: string, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = changeOptions(this.participant, name, options);
    await this.rpc.call(methods.purgeTopic, { participant: this.participant, name, requestId }, call);
  }

  /** How much it holds and takes in. */
  async statistics(name: string, options: CallOptions = {}): Promise<TopicStatistics> {
    return topicStatisticsFrom(await this.rpc.call(methods.getTopicStatistics, { participant: this.participant, name }, this.routed(name, options)));
  }

  private routed(name: string, { signal, timeoutMs }: CallOptions) {
    return { signal, timeoutMs, route: { service: this.participant, routingKey: name } };
  }
}
