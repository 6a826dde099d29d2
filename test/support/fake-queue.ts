/** A queue service for tests of its clients: one partition, in memory; every step can be made to fail. */

import type * as grpc from '@grpc/grpc-js';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Operation } from '../../services/gen/txmesh/common/v1/common.ts';
import { AcknowledgeOperation, PublishOperation } from '../../services/gen/txmesh/queue/v1/operations.ts';
import {
  QueueServiceService,
  type AcknowledgeRequest,
  type AckFailure,
  type CreateSubscriptionRequest,
  type CreateTopicRequest,
  type Message,
  type ModifyAckDeadlineRequest,
  type PublishCall,
  type PublishRequest,
  type PublishStreamRequest,
  type PublishStreamResponse,
  type PullRequest,
  type StreamingPullRequest,
  type StreamingPullResponse,
  type Subscription,
  type UpdateSubscriptionRequest,
  type UpdateTopicRequest,
} from '../../services/gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../../services/kernel/failure.ts';
import { failureToStatus } from '../../services/runtime/errors/status.ts';
import { toDuration } from '../../services/runtime/transport/time.ts';
import { unary } from './unary.ts';

type PublishStream = grpc.ServerDuplexStream<PublishStreamRequest, PublishStreamResponse>;
type PullStream = grpc.ServerDuplexStream<StreamingPullRequest, StreamingPullResponse>;

interface Delivery {
  readonly id: string;
  readonly message: Message;
  state: 'ready' | 'out' | 'acknowledged';
  attempt: number;
  stream: PullStream | undefined;
}

/** What became of one request for an acknowledgement or a deadline: done, refused, or never answered. */
export type Answered = 'own' | Failure | undefined;

export class FakeQueue {
  readonly topics = new Map<string, Message[]>();
  readonly deliveries = new Map<string, Delivery[]>();
  readonly subscriptions = new Map<string, Subscription>();
  /** What came in on publish streams, and in how many frames. */
  readonly calls: PublishCall[] = [];
  readonly sessions: string[] = [];
  frames = 0;
  /** Highest settled_below heard. */
  settledBelow = 0;
  readonly createdTopics: CreateTopicRequest[] = [];
  readonly updates: (UpdateTopicRequest | UpdateSubscriptionRequest)[] = [];
  readonly unaryPublishes: PublishRequest[] = [];
  /** Deadlines that were asked for, with the ackId; 0: given back. */
  readonly deadlines: { readonly ackId: string; readonly deadlineMs: number }[] = [];
  readonly openings: StreamingPullRequest[] = [];
  pullStreams = new Set<PullStream>();
  onPublish: (call: PublishCall, stream: PublishStream, session: string) => Answered = () => 'own';
  /** Asked for each acknowledgement outside of transactions. */
  onAck: (ackId: string, stream: PullStream | undefined) => Answered = () => 'own';
  private readonly executed = new Map<string, string>();
  private readonly credits = new Map<PullStream, number>();
  private readonly names = new Map<PullStream, string>();

  subscribe(name: string, topic: string, settings: Partial<Subscription> = {}): void {
    const ackDeadline = toDuration(60_000);
    const empty = { retryPolicy: undefined, deadLetterPolicy: undefined, ageingStep: undefined, createTime: undefined };
    this.subscriptions.set(name, { name, topic, mode: 1, ackDeadline, exactlyOnce: false, filter: '', startFrom: 1, state: 1, version: 1, ...empty, ...settings });
    this.deliveries.set(name, []);
  }

  /** The texts of a topic's messages, in order. */
  texts(topic: string): string[] {
    return (this.topics.get(topic) ?? []).map(({ data }) => Buffer.from(data).toString());
  }

  /** How many messages of a subscription are in this state. */
  count(subscription: string, state: Delivery['state']): number {
    return this.deliveries.get(subscription)!.filter((delivery) => delivery.state === state).length;
  }

  publish(topic: string, message: Message): string {
    const messages = this.topics.get(topic) ?? [];
    this.topics.set(topic, messages);
    messages.push(message);
    const id = `0-${messages.length}`;
    for (const { name } of [...this.subscriptions.values()].filter((subscription) => subscription.topic === topic))
      this.deliveries.get(name)!.push({ id, message, state: 'ready', attempt: 0, stream: undefined });
    setImmediate(() => this.deliver());
    return id;
  }

  /** Why a transaction with this operation can't commit. */
  conflictOf({ operation }: Operation): Failure | undefined {
    if (!operation!.typeUrl.endsWith('AcknowledgeOperation')) return undefined;
    const { subscription, ackId } = AcknowledgeOperation.decode(operation!.value);
    return this.find(subscription, ackId)?.state === 'acknowledged' ? { reason: 'ACK_EXPIRED', message: `${ackId} was acknowledged` } : undefined;
  }

  apply({ operation }: Operation): void {
    if (operation!.typeUrl.endsWith('PublishOperation')) {
      const { topic, message } = PublishOperation.decode(operation!.value);
      this.publish(topic, message!);
    } else {
      const { subscription, ackId } = AcknowledgeOperation.decode(operation!.value);
      this.acknowledge(subscription, ackId);
    }
  }

  implementation(): UntypedServiceImplementation {
    const unimplemented = unary(() => ({ failure: { reason: 'INTERNAL', message: 'the fake does not do this' } }));
    return {
      ...Object.fromEntries(Object.keys(QueueServiceService).map((name) => [name, unimplemented])),
      getSubscription: unary(({ name }: { name: string }) => {
        const subscription = this.subscriptions.get(name);
        return subscription === undefined
          ? { failure: { reason: 'SUBSCRIPTION_NOT_FOUND', message: `no subscription ${name}` } }
          : { response: { subscription } };
      }),
      createTopic: unary((request: CreateTopicRequest) => {
        this.createdTopics.push(request);
        return { response: { topic: { ...request.topic!, storage: 1, version: 1 } } };
      }),
      updateTopic: unary((request: UpdateTopicRequest) => {
        this.updates.push(request);
        return { response: { topic: { ...request.topic!, storage: 1 } } };
      }),
      listTopics: unary(({ pageToken }: { pageToken: string }) => {
        const topic = { name: `topic${pageToken}`, storage: 2, retention: undefined, deduplicationWindow: undefined, createTime: undefined, version: 1 };
        return { response: { topics: [topic], nextPageToken: pageToken === '' ? '2' : '' } };
      }),
      createSubscription: unary(({ subscription }: CreateSubscriptionRequest) => {
        const { name, topic } = subscription!;
        if (this.subscriptions.has(name)) return { failure: { reason: 'SUBSCRIPTION_EXISTS', message: `${name} is there` } };
        this.subscribe(name, topic, { ...subscription!, ackDeadline: subscription!.ackDeadline ?? toDuration(60_000), mode: subscription!.mode || 1, state: 1, version: 1 });
        return { response: { subscription: this.subscriptions.get(name) } };
      }),
      updateSubscription: unary((request: UpdateSubscriptionRequest) => {
        this.updates.push(request);
        return { response: { subscription: { ...this.subscriptions.get(request.subscription!.name)!, ackDeadline: request.subscription!.ackDeadline } } };
      }),
      publish: unary((request: PublishRequest) => {
        this.unaryPublishes.push(request);
        const messageIds = request.messages.map((message, i) => this.execute(request.topic, request.session, { sequence: request.firstSequence + i, message }));
        return { response: { messageIds, refused: [] } };
      }),
      publishStream: (stream: PublishStream) => this.onPublishStream(stream),
      pull: unary(({ subscription, maxMessages }: PullRequest) => ({ response: { messages: this.take(subscription, maxMessages, undefined) } })),
      streamingPull: (stream: PullStream) => this.onPullStream(stream),
      acknowledge: unary(({ subscription, ackIds }: AcknowledgeRequest) => ({ response: { failures: this.acknowledgeAll(subscription, ackIds, undefined) } })),
      modifyAckDeadline: unary(({ subscription, ackIds, ackDeadline }: ModifyAckDeadlineRequest) => {
        for (const ackId of ackIds) this.modify(subscription, ackId, Number(ackDeadline?.seconds ?? 0n) * 1000);
        return { response: { failures: [] } };
      }),
    };
  }

  private onPublishStream(stream: PublishStream): void {
    let topic = '';
    let session = '';
    const paused = new Map<string, number>();
    stream.on('data', (request: PublishStreamRequest) => {
      topic ||= request.topic;
      if (session === '') this.sessions.push((session = request.session));
      this.frames++;
      this.settledBelow = Math.max(this.settledBelow, request.settledBelow);
      const response: PublishStreamResponse = { published: [], refused: [] };
      for (const call of request.calls) {
        this.calls.push(call);
        const { sequence } = call;
        const key = call.message!.orderingKey;
        const pausedBy = key === '' ? undefined : paused.get(key);
        const answered: Answered =
          pausedBy !== undefined && pausedBy !== sequence ? { reason: 'ORDERING_KEY_PAUSED', message: `${key} is paused` } : this.onPublish(call, stream, session);
        if (answered === undefined) continue;
        if (answered === 'own') {
          paused.delete(key);
          response.published.push({ sequence, count: 1, messageId: this.execute(topic, session, call) });
          continue;
        }
        if (key !== '' && !paused.has(key)) paused.set(key, sequence);
        response.refused.push({ sequence, count: 1, status: failureToStatus(answered) });
      }
      if (response.published.length + response.refused.length > 0) stream.write(response);
    });
    stream.on('end', () => stream.end());
    stream.on('error', () => undefined);
  }

  /** Once for each token. */
  execute(topic: string, session: string, { sequence, message }: PublishCall): string {
    const token = `${session}/${sequence}`;
    const known = session === '' ? undefined : this.executed.get(token);
    if (known !== undefined) return known;
    const id = this.publish(topic, message!);
    this.executed.set(token, id);
    return id;
  }

  private onPullStream(stream: PullStream): void {
    let subscription = '';
    stream.on('data', (request: StreamingPullRequest) => {
      if (subscription === '') {
        subscription = request.subscription;
        this.openings.push(request);
        this.names.set(stream, subscription);
        this.credits.set(stream, request.maxOutstandingMessages);
        this.pullStreams.add(stream);
      }
      const failures = this.acknowledgeAll(subscription, request.acknowledgeIds, stream);
      for (const { ackId, ackDeadline } of request.modifyDeadlines) this.modify(subscription, ackId, Number(ackDeadline?.seconds ?? 0n) * 1000);
      if (request.sequence > 0 && this.pullStreams.has(stream)) stream.write({ messages: [], confirmedSequence: request.sequence, failures });
      this.deliver();
    });
    stream.on('end', () => {
      this.forget(stream);
      stream.end();
    });
    stream.on('cancelled', () => this.forget(stream));
    stream.on('error', () => this.forget(stream));
  }

  private forget(stream: PullStream): void {
    this.pullStreams.delete(stream);
    this.credits.delete(stream);
  }

  private acknowledgeAll(subscription: string, ackIds: readonly string[], stream: PullStream | undefined): AckFailure[] {
    const failures: AckFailure[] = [];
    for (const ackId of ackIds) {
      const answered = this.onAck(ackId, stream);
      if (answered === 'own') this.acknowledge(subscription, ackId);
      else if (answered !== undefined) failures.push({ ackId, status: failureToStatus(answered) });
    }
    return failures;
  }

  private acknowledge(subscription: string, ackId: string): void {
    const delivery = this.find(subscription, ackId);
    if (delivery === undefined) return;
    delivery.state = 'acknowledged';
    delivery.stream = undefined;
    setImmediate(() => this.deliver());
  }

  private modify(subscription: string, ackId: string, deadlineMs: number): void {
    this.deadlines.push({ ackId, deadlineMs });
    const delivery = this.find(subscription, ackId);
    if (deadlineMs > 0 || delivery?.state !== 'out') return;
    delivery.state = 'ready';
    delivery.stream = undefined;
  }

  private find(subscription: string, ackId: string): Delivery | undefined {
    const id = ackId.split(':')[1];
    return this.deliveries.get(subscription)?.find((delivery) => delivery.id === id);
  }

  private deliver(): void {
    for (const stream of this.pullStreams) {
      const subscription = this.names.get(stream)!;
      const out = this.deliveries.get(subscription)!.filter((delivery) => delivery.stream === stream).length;
      const messages = this.take(subscription, this.credits.get(stream)! - out, stream);
      if (messages.length > 0) stream.write({ messages, confirmedSequence: 0, failures: [] });
    }
  }

  private take(subscription: string, count: number, stream: PullStream | undefined) {
    const ready = this.deliveries.get(subscription)!.filter(({ state }) => state === 'ready');
    return ready.slice(0, Math.max(0, count)).map((delivery) => {
      delivery.state = 'out';
      delivery.attempt++;
      delivery.stream = stream;
      const { id, message, attempt } = delivery;
      return { ackId: `r0:${id}:${attempt}`, message, messageId: id, publishTime: undefined, deliveryAttempt: attempt };
    });
  }
}
