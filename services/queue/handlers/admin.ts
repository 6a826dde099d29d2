/** Topics, subscriptions and snapshots: changed at every partition in one transaction, read at the first. */

import {
  type CreateSnapshotRequest,
  type CreateSnapshotResponse,
  type CreateSubscriptionRequest,
  type CreateSubscriptionResponse,
  type CreateTopicRequest,
  type CreateTopicResponse,
  type GetSubscriptionRequest,
  type GetSubscriptionResponse,
  type GetTopicRequest,
  type GetTopicResponse,
  QueueServiceService as methods,
  type SeekRequest,
  type SeekResponse,
  type UpdateSubscriptionRequest,
  type UpdateSubscriptionResponse,
  type UpdateTopicRequest,
  type UpdateTopicResponse,
} from '../../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../../kernel/failure.ts';
import { subscriptionNotFound, topicNotFound } from '../../kernel/queue/failures.ts';
import { idTimeMs } from '../../kernel/transaction-id.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { everywhere } from '../../runtime/participant/everywhere.ts';
import { validate } from '../../runtime/participant/service.ts';
import type { Rule } from '../../runtime/router/rules.ts';
import type { Method } from '../../runtime/transport/channels.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { toTimestamp } from '../../runtime/transport/time.ts';
import {
  fromSnapshotConfig,
  fromSubscriptionConfig,
  fromTopicConfig,
  toSnapshotConfig,
  toSubscriptionConfig,
  toTopicConfig,
} from '../codec-api.ts';
import { parseMessageId } from '../codec-ids.ts';
import { configureOperation } from '../codec-operations.ts';
import { queueOf, read, requirePartition, type QueueServices, type QueueTerm } from './service.ts';
import {
  changeRequest,
  createSnapshotRequest,
  createSubscriptionRequest,
  createTopicRequest,
  namedRequest,
  seekRequest,
  updateSubscriptionRequest,
  updateTopicRequest,
} from './validate.ts';

type Change = Parameters<typeof configureOperation>[0];

/** What every request for a change has. */
interface Changing {
  participant: string;
  requestId: string;
}

export class AdminHandlers {
  private readonly services: QueueServices;

  constructor(services: QueueServices) {
    this.services = services;
  }

  // Topics

  createTopic(request: CreateTopicRequest, context: CallContext): Promise<CreateTopicResponse> {
    return this.change(createTopicRequest, methods.createTopic, request, context, (id) => {
      const topic = fromTopicConfig(toTopicConfig(request.topic!, idTimeMs(id)));
      return { change: { $case: 'createTopic', value: topic }, answer: () => ({ topic }) };
    });
  }

  async getTopic(request: GetTopicRequest, context: CallContext): Promise<GetTopicResponse> {
    validate(namedRequest, request);
    return this.home(methods.getTopic, request, context, async (term) => {
      const answer = await read(this.services, term, { type: 'topic', name: request.name }, context);
      const config = answer.type === 'topics' ? answer.topics[0] : undefined;
      return { topic: fromTopicConfig(config ?? notFound(topicNotFound(request.name))) };
    });
  }

  async updateTopic(request: UpdateTopicRequest, context: CallContext): Promise<UpdateTopicResponse> {
    const value = { topic: request.topic, updateMask: request.updateMask };
    const nothing: UpdateTopicResponse = { topic: undefined };
    const updated = await this.change(updateTopicRequest, methods.updateTopic, request, context, () => ({
      change: { $case: 'updateTopic', value },
      answer: () => nothing,
    }));
    // Whoever it was forwarded to has answered in full.
    return updated.topic === undefined ? this.getTopic({ participant: request.participant, name: request.topic!.name }, context) : updated;
  }

  /** Deletes or purges. */
  topicChange<Response>(
    $case: 'deleteTopic' | 'purgeTopic',
    method: Method<{ participant: string; name: string; requestId: string }, Response>,
    request: { participant: string; name: string; requestId: string },
    context: CallContext,
    response: Response,
  ): Promise<Response> {
    return this.change(changeRequest, method, request, context, () => ({ change: { $case, value: request.name }, answer: () => response }));
  }

  // Subscriptions

  createSubscription(request: CreateSubscriptionRequest, context: CallContext): Promise<CreateSubscriptionResponse> {
    return this.change(createSubscriptionRequest, methods.createSubscription, request, context, (id) => {
      const subscription = fromSubscriptionConfig(toSubscriptionConfig(request.subscription!, idTimeMs(id)));
      return { change: { $case: 'createSubscription', value: subscription }, answer: () => ({ subscription }) };
    });
  }

  async getSubscription(request: GetSubscriptionRequest, context: CallContext): Promise<GetSubscriptionResponse> {
    validate(namedRequest, request);
    return this.home(methods.getSubscription, request, context, async (term) => {
      const answer = await read(this.services, term, { type: 'subscription', name: request.name }, context);
      const config = answer.type === 'subscriptions' ? answer.subscriptions[0] : undefined;
      return { subscription: fromSubscriptionConfig(config ?? notFound(subscriptionNotFound(request.name))) };
    });
  }

  async updateSubscription(request: UpdateSubscriptionRequest, context: CallContext): Promise<UpdateSubscriptionResponse> {
    const value = { subscription: request.subscription, updateMask: request.updateMask };
    const nothing: UpdateSubscriptionResponse = { subscription: undefined };
    const updated = await this.change(updateSubscriptionRequest, methods.updateSubscription, request, context, () => ({
      change: { $case: 'updateSubscription', value },
      answer: () => nothing,
    }));
    if (updated.subscription !== undefined) return updated;
    return this.getSubscription({ participant: request.participant, name: request.subscription!.name }, context);
  }

  /** Deletes or detaches. */
  subscriptionChange<Response>(
    $case: 'deleteSubscription' | 'detachSubscription',
    method: Method<{ participant: string; name: string; requestId: string }, Response>,
    request: { participant: string; name: string; requestId: string },
    context: CallContext,
    response: Response,
  ): Promise<Response> {
    return this.change(changeRequest, method, request, context, () => ({ change: { $case, value: request.name }, answer: () => response }));
  }

  purgeSubscription<Response>(
    method: Method<{ participant: string; name: string; requestId: string }, Response>,
    request: { participant: string; name: string; requestId: string },
    context: CallContext,
    response: Response,
  ): Promise<Response> {
    const value = { subscription: request.name, target: { $case: 'end', value: true } } as const;
    return this.change(changeRequest, method, request, context, () => ({ change: { $case: 'seek', value }, answer: () => response }));
  }

  seek(request: SeekRequest, context: CallContext): Promise<SeekResponse> {
    const { subscription, target } = request;
    return this.change(seekRequest, methods.seek, request, context, (_, service) => {
      if (target?.$case === 'positions') {
        for (const text of target.value.messageIds) requirePartition(service, parseMessageId(text)!.partition, 'positions.message_ids');
      }
      return { change: { $case: 'seek', value: { subscription, target } }, answer: () => ({}) };
    });
  }

  // Snapshots

  async createSnapshot(received: CreateSnapshotRequest, context: CallContext): Promise<CreateSnapshotResponse> {
    const request = this.withId(received);
    const createMs = idTimeMs(request.requestId);
    validate(createSnapshotRequest(Number.isFinite(createMs) ? createMs : this.services.clock.nowMs()), request);
    const { participant, snapshot } = request;
    // The topic that is locked: what its subscription says, which can't change.
    const { subscription } = await this.getSubscription({ participant, name: snapshot!.subscription }, context);
    const { topic } = subscription!;
    const full = { ...request, snapshot: { ...snapshot!, topic } };
    const value = fromSnapshotConfig(toSnapshotConfig(full.snapshot, topic, createMs));
    return this.change(createSnapshotRequest(createMs), methods.createSnapshot, full, context, () => ({
      change: { $case: 'createSnapshot', value: { ...value, createTime: toTimestamp(createMs) } },
      answer: () => ({ snapshot: value }),
    }));
  }

  snapshotChange<Response>(
    method: Method<{ participant: string; name: string; requestId: string }, Response>,
    request: { participant: string; name: string; requestId: string },
    context: CallContext,
    response: Response,
  ): Promise<Response> {
    return this.change(changeRequest, method, request, context, () => ({ change: { $case: 'deleteSnapshot', value: request.name }, answer: () => response }));
  }

  // Parts

  private withId<Request extends Changing>(request: Request): Request {
    return request.requestId === '' ? { ...request, requestId: this.services.newId() } : request;
  }

  private async change<Request extends Changing, Response>(
    rule: Rule<Request>,
    method: Method<Request, Response>,
    received: Request,
    context: CallContext,
    decide: (id: string, service: Service) => { readonly change: Change; readonly answer: () => Response },
  ): Promise<Response> {
    validate(rule, received);
    const service = queueOf(this.services, received.participant);
    // The id is chosen before the request is forwarded, so that both sides speak of the same one.
    const request = this.withId(received);
    const { change, answer } = decide(request.requestId, service);
    const operation = configureOperation(change);
    return everywhere(this.services, { service, transactionId: request.requestId, operation, method, request, context }, answer);
  }

  /** At the first partition, where as at every other all that exists is known. */
  private home<Request extends { participant: string }, Response>(
    method: Method<Request, Response>,
    request: Request,
    context: CallContext,
    serve: (term: QueueTerm) => Promise<Response>,
  ): Promise<Response> {
    const service = queueOf(this.services, request.participant);
    return this.services.router.unary({ service: service.name, partition: 0, method, request, context, changes: false }, serve);
  }
}

function notFound(failure: Failure): never {
  throw new FailureError(failure);
}
