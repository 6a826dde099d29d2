/** Lists by name, page by page, and statistics over all partitions. */

import {
  type GetSubscriptionStatisticsResponse,
  type GetTopicStatisticsResponse,
  type ListSnapshotsRequest,
  type ListSnapshotsResponse,
  type ListSubscriptionsRequest,
  type ListSubscriptionsResponse,
  type ListTopicsRequest,
  type ListTopicsResponse,
  QueueServiceService as methods,
} from '../../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../../kernel/failure.ts';
import { subscriptionNotFound, topicNotFound } from '../../kernel/queue/failures.ts';
import type { QueueAnswer, QueueQuery, SubscriptionStatistics, TopicStatistics } from '../../kernel/queue/types.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { validate } from '../../runtime/participant/service.ts';
import { decodePageToken, encodePageToken, pageToken } from '../../runtime/router/page-token.ts';
import { noLeader } from '../../runtime/router/place.ts';
import { DEFAULT_PAGE_SIZE, type Rule } from '../../runtime/router/rules.ts';
import type { Method } from '../../runtime/transport/channels.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { durationMs, toDuration } from '../../runtime/transport/time.ts';
import { fromSnapshotConfig, fromSubscriptionConfig, fromTopicConfig } from '../codec-api.ts';
import { queueOf, read, type QueueServices } from './service.ts';
import { listSnapshotsRequest, listSubscriptionsRequest, listTopicsRequest, namedRequest } from './validate.ts';

interface Paged {
  participant: string;
  pageSize: number;
  pageToken: string;
}

interface Named {
  participant: string;
  name: string;
}

export class ListHandlers {
  private readonly services: QueueServices;

  constructor(services: QueueServices) {
    this.services = services;
  }

  listTopics(request: ListTopicsRequest, context: CallContext): Promise<ListTopicsResponse> {
    return this.list('topics', '', listTopicsRequest, methods.listTopics, request, context, (answer) => {
      const topics = answer.type === 'topics' ? answer.topics : [];
      return { last: topics.at(-1)?.name, response: (nextPageToken) => ({ topics: topics.map(fromTopicConfig), nextPageToken }) };
    });
  }

  listSubscriptions(request: ListSubscriptionsRequest, context: CallContext): Promise<ListSubscriptionsResponse> {
    return this.list('subscriptions', request.topic, listSubscriptionsRequest, methods.listSubscriptions, request, context, (answer) => {
      const found = answer.type === 'subscriptions' ? answer.subscriptions : [];
      return { last: found.at(-1)?.name, response: (nextPageToken) => ({ subscriptions: found.map(fromSubscriptionConfig), nextPageToken }) };
    });
  }

  listSnapshots(request: ListSnapshotsRequest, context: CallContext): Promise<ListSnapshotsResponse> {
    return this.list('snapshots', request.topic, listSnapshotsRequest, methods.listSnapshots, request, context, (answer) => {
      const found = answer.type === 'snapshots' ? answer.snapshots : [];
      return { last: found.at(-1)?.name, response: (nextPageToken) => ({ snapshots: found.map(fromSnapshotConfig), nextPageToken }) };
    });
  }

  async topicStatistics(request: Named, context: CallContext): Promise<GetTopicStatisticsResponse> {
    const parts = await this.everyPartition(methods.getTopicStatistics, { type: 'topicStatistics', name: request.name }, request, context, (answer, nowMs) => {
      const statistics = answer.type === 'topicStatistics' ? answer.statistics : undefined;
      return topicResponse(statistics ?? notFound(topicNotFound(request.name)), nowMs);
    });
    return {
      messages: sum(parts, ({ messages }) => messages),
      bytes: sum(parts, ({ bytes }) => bytes),
      oldestAge: longest(parts.map(({ oldestAge }) => oldestAge)),
      subscriptions: parts[0]!.subscriptions,
      publishRate: sum(parts, ({ publishRate }) => publishRate),
      publishByteRate: sum(parts, ({ publishByteRate }) => publishByteRate),
    };
  }

  async subscriptionStatistics(request: Named, context: CallContext): Promise<GetSubscriptionStatisticsResponse> {
    const query = { type: 'subscriptionStatistics', name: request.name } as const;
    const parts = await this.everyPartition(methods.getSubscriptionStatistics, query, request, context, (answer, nowMs) => {
      const statistics = answer.type === 'subscriptionStatistics' ? answer.statistics : undefined;
      return subscriptionResponse(statistics ?? notFound(subscriptionNotFound(request.name)), nowMs);
    });
    const total: GetSubscriptionStatisticsResponse = { ...parts[0]! };
    for (const part of parts.slice(1)) {
      for (const key of SUMMED) total[key] += part[key];
    }
    total.oldestUnacknowledgedAge = longest(parts.map(({ oldestUnacknowledgedAge }) => oldestUnacknowledgedAge));
    return total;
  }

  private async list<Request extends Paged, Response>(
    type: 'topics' | 'subscriptions' | 'snapshots',
    topic: string,
    rule: (token: Rule<string>) => Rule<Request>,
    method: Method<Request, Response>,
    request: Request,
    context: CallContext,
    toPage: (answer: QueueAnswer) => { readonly last: string | undefined; readonly response: (nextPageToken: string) => Response },
  ): Promise<Response> {
    const service = queueOf(this.services, request.participant);
    const question = [type, service.name, topic].join('\0');
    validate(rule(pageToken(question)), request);
    const after = request.pageToken === '' ? '' : decodePageToken(question, request.pageToken)!.after;
    const limit = request.pageSize === 0 ? DEFAULT_PAGE_SIZE : request.pageSize;
    return this.services.router.unary({ service: service.name, partition: 0, method, request, context, changes: false }, async (term) => {
      const answer = await read(this.services, term, { type, topic, after, limit } as QueueQuery, context);
      const { last, response } = toPage(answer);
      const more = 'more' in answer && answer.more && last !== undefined;
      return response(more ? encodePageToken(question, { partition: 0, after: last }) : '');
    });
  }

  /** One response of each partition. What is forwarded is asked of the partitions that are led there. */
  private async everyPartition<Response>(
    method: Method<Named, Response>,
    query: QueueQuery,
    request: Named,
    context: CallContext,
    toResponse: (answer: QueueAnswer, nowMs: number) => Response,
  ): Promise<Response[]> {
    validate(namedRequest, request);
    const { router, clock } = this.services;
    const { name, partitions } = queueOf(this.services, request.participant);
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    const local = all.filter((partition) => !context.forwarded || router.places.now(name, partition).type === 'local');
    // One call to each other replica brings the sum of its partitions.
    const remote = new Map<string, number>();
    const here: number[] = [];
    for (const partition of local) {
      const place = router.places.now(name, partition);
      if (place.type !== 'remote') here.push(partition);
      else if (!remote.has(place.leader.address)) remote.set(place.leader.address, partition);
    }
    if (here.length + remote.size === 0) throw new FailureError(noLeader(name, 0));
    return Promise.all(
      [...here, ...remote.values()].map((partition) =>
        router.unary({ service: name, partition, method, request, context, changes: false }, async (term) =>
          toResponse(await read(this.services, term, query, context), clock.nowMs()),
        ),
      ),
    );
  }
}

const SUMMED = [
  'backlogMessages',
  'backlogBytes',
  'inFlight',
  'delayed',
  'deliveryRate',
  'acknowledgeRate',
  'redeliveryRate',
  'deadLetterRate',
  'waitingPulls',
] as const;

function topicResponse(statistics: TopicStatistics, nowMs: number): GetTopicStatisticsResponse {
  const { messages, bytes, oldestMs, subscriptions, publishRate, publishByteRate } = statistics;
  return { messages, bytes, oldestAge: ageOf(oldestMs, nowMs), subscriptions, publishRate, publishByteRate };
}

function subscriptionResponse({ oldestMs, ...statistics }: SubscriptionStatistics, nowMs: number): GetSubscriptionStatisticsResponse {
  return { ...statistics, oldestUnacknowledgedAge: ageOf(oldestMs, nowMs) };
}

type Age = GetTopicStatisticsResponse['oldestAge'];

function ageOf(ms: number | undefined, nowMs: number): Age {
  return ms === undefined ? undefined : toDuration(Math.max(0, nowMs - ms));
}

function longest(ages: readonly Age[]): Age {
  let found: Age;
  for (const age of ages) if (age !== undefined && (found === undefined || durationMs(age) > durationMs(found))) found = age;
  return found;
}

function sum<T>(parts: readonly T[], value: (part: T) => number): number {
  return parts.reduce((total, part) => total + value(part), 0);
}

function notFound(failure: Failure): never {
  throw new FailureError(failure);
}
