/** Reads: what exists, and how it does. */

import { snapshotLock, subscriptionLock, topicLock } from './keys.ts';
import type { QueuePartition } from './partition.ts';
import type { Subscription } from './subscription.ts';
import type { Topic } from './topic.ts';
import type { QueueAnswer, QueueQuery, SubscriptionStatistics, TopicStatistics } from './types.ts';

/** Locks whose exclusive holders a linearizable read waits for. */
export function awaitedLocks(query: QueueQuery): readonly string[] | string {
  switch (query.type) {
    case 'topic':
    case 'topicStatistics':
      return [topicLock(query.name)];
    case 'subscription':
    case 'subscriptionStatistics':
      return [subscriptionLock(query.name)];
    case 'snapshot':
      return [snapshotLock(query.name)];
    case 'topics':
      return topicLock('');
    case 'subscriptions':
      return subscriptionLock('');
    case 'snapshots':
      return snapshotLock('');
  }
}

export function answerQuery(query: QueueQuery, state: QueuePartition): QueueAnswer {
  const { topics, subscriptions, snapshots } = state;
  switch (query.type) {
    case 'topic': {
      const topic = topics.get(query.name);
      return { type: 'topics', topics: topic === undefined ? [] : [topic.config], more: false };
    }
    case 'subscription': {
      const subscription = subscriptions.get(query.name);
      return { type: 'subscriptions', subscriptions: subscription === undefined ? [] : [subscription.config], more: false };
    }
    case 'snapshot': {
      const snapshot = snapshots.get(query.name);
      return { type: 'snapshots', snapshots: snapshot === undefined ? [] : [snapshot.config], more: false };
    }
    case 'topics': {
      const { page, more } = pageOf(topics.values(), query);
      return { type: 'topics', topics: page, more };
    }
    case 'subscriptions': {
      const { page, more } = pageOf(subscriptions.values(), query, ({ topic }) => query.topic === '' || topic === query.topic);
      return { type: 'subscriptions', subscriptions: page, more };
    }
    case 'snapshots': {
      const { page, more } = pageOf(snapshots.values(), query, ({ topic }) => query.topic === '' || topic === query.topic);
      return { type: 'snapshots', snapshots: page, more };
    }
    case 'topicStatistics': {
      const topic = topics.get(query.name);
      return { type: 'topicStatistics', statistics: topic && topicStatistics(topic, state.nowMs) };
    }
    case 'subscriptionStatistics': {
      const subscription = subscriptions.get(query.name);
      return { type: 'subscriptionStatistics', statistics: subscription && subscriptionStatistics(subscription, state.nowMs) };
    }
  }
}

function pageOf<Config extends { readonly name: string }>(
  objects: Iterable<{ readonly config: Config }>,
  { after, limit }: { readonly after: string; readonly limit: number },
  wants: (config: Config) => boolean = () => true,
): { readonly page: readonly Config[]; readonly more: boolean } {
  const found: Config[] = [];
  for (const { config } of objects) if (config.name > after && wants(config)) found.push(config);
  found.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { page: found.slice(0, limit), more: found.length > limit };
}

function topicStatistics(topic: Topic, nowMs: number): TopicStatistics {
  let messages = 0;
  let oldestMs: number | undefined;
  for (const segment of topic.segments) {
    if (!segment.kept) continue;
    messages += segment.count;
    oldestMs ??= segment.publishMs;
  }
  // What everybody has acknowledged and nobody may go back to is as good as gone.
  const kept = topic.config.acknowledgedAgeMs > 0;
  return {
    messages: kept ? messages : topic.live,
    bytes: kept ? topic.storedBytes : topic.liveBytes,
    oldestMs: kept || topic.live > 0 ? oldestMs : undefined,
    subscriptions: topic.subscriptions.size,
    publishRate: topic.published.perSecond(nowMs),
    publishByteRate: topic.publishedBytes.perSecond(nowMs),
  };
}

function subscriptionStatistics(subscription: Subscription, nowMs: number): SubscriptionStatistics {
  const { topic, set, backlog, backlogBytes, outstanding, pulls } = subscription;
  // The floor ends where something is not acknowledged, if anything is.
  const oldest = backlog === 0 ? undefined : topic?.segments.atOrAfter(set.acknowledged.floor + 1);
  let staged = 0;
  for (const position of subscription.staged) if (!outstanding.has(position)) staged++;
  return {
    backlogMessages: backlog,
    backlogBytes,
    oldestMs: oldest?.publishMs,
    inFlight: outstanding.size + staged,
    delayed: subscription.delayedCount,
    deliveryRate: subscription.delivered.perSecond(nowMs),
    acknowledgeRate: subscription.acknowledged.perSecond(nowMs),
    redeliveryRate: subscription.redelivered.perSecond(nowMs),
    deadLetterRate: subscription.deadLettered.perSecond(nowMs),
    waitingPulls: pulls.waiting,
  };
}
