import { randomUUIDv7 } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CoordinatorServiceService as coordinator, State } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { AcknowledgeOperation, PublishOperation } from '../../gen/txmesh/queue/v1/operations.ts';
import {
  Mode,
  QueueServiceService as methods,
  Storage,
  type PublishStreamResponse,
  type ReceivedMessage,
  type StreamingPullRequest,
  type StreamingPullResponse,
} from '../../gen/txmesh/queue/v1/queue.ts';
import { failureOf, startMesh, type Meshed } from '../../runtime/router/testing/nodes.ts';
import { messageOf, QueueClient, subscriptionOf, textOf, topicOf } from './testing/client.ts';

const TYPE = 'type.googleapis.com/txmesh.queue.v1.';

/** What streams bring is looked for; undefined and false: not yet. */
const until = <T>(get: () => T): Promise<Exclude<T, undefined | false>> =>
  vi.waitUntil(get, { timeout: 20_000, interval: 5 }) as Promise<Exclude<T, undefined | false>>;

const NO_CONSUMER: StreamingPullRequest = {
  participant: '',
  subscription: '',
  ackDeadline: undefined,
  maxOutstandingMessages: 0,
  maxOutstandingBytes: 0,
  acknowledgeIds: [],
  modifyDeadlines: [],
  sequence: 0,
};

/** Topics are known by the number of the test. */
let number = 0;
const fresh = (): { topic: string; subscription: string } => ({ topic: `t${++number}`, subscription: `s${number}` });

describe.each([
  { partitions: 1, nodes: 1 },
  { partitions: 3, nodes: 2 },
])('a queue of $partitions partitions on $nodes replicas', ({ partitions, nodes }) => {
  let mesh: Meshed;
  let client: QueueClient;

  beforeAll(async () => {
    mesh = await startMesh({ partitions, queues: ['queue'] }, nodes);
    client = new QueueClient(mesh);
  });
  afterAll(async () => {
    client.close();
    await mesh.close();
  });

  test('publish, pull, acknowledge, statistics', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    const ids = await client.publish(topic, 'a', messageOf('b', { orderingKey: 'k', attributes: { x: 'é' } }), messageOf('c', { orderingKey: 'l' }));
    expect(new Set(ids).size).toBe(3);
    const messages = await client.pull(subscription);
    expect(messages.map(textOf).sort((a, b) => (a < b ? -1 : 1))).toEqual(['a', 'b', 'c']);
    expect(messages.map(({ messageId }) => messageId).sort()).toEqual([...ids].sort());
    expect(messages.find((each) => textOf(each) === 'b')!.message).toMatchObject({ orderingKey: 'k', attributes: { x: 'é' } });
    expect(await client.call(methods.getSubscriptionStatistics, { name: subscription })).toMatchObject({ backlogMessages: 3, inFlight: 3 });
    expect(await client.acknowledge(subscription, messages)).toEqual([]);
    expect(await client.call(methods.getSubscriptionStatistics, { name: subscription })).toMatchObject({ backlogMessages: 0, inFlight: 0 });
    expect(await client.call(methods.getTopicStatistics, { name: topic })).toMatchObject({ messages: 0, subscriptions: 1 });
  });

  test('a pull waits for the first message, wherever it comes', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    const waiting = client.pull(subscription, 10, 20);
    await client.publish(topic, messageOf('a', { orderingKey: 'some key' }));
    expect((await waiting).map(textOf)).toEqual(['a']);
  });

  test('the administration: defaults, updates, lists, errors', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic, { mode: Mode.SEQUENTIAL }));
    const found = await client.call(methods.getTopic, { name: topic });
    expect(found.topic).toMatchObject({ storage: Storage.DISK, version: 1, retention: { maxMessages: 10_000_000 }, deduplicationWindow: { seconds: 600n } });
    const updated = await client.call(methods.updateTopic, {
      topic: topicOf(topic, { version: 1, retention: { maxAge: { seconds: 60n, nanos: 0 }, maxMessages: 5, maxBytes: 0, overflow: 0, acknowledgedAge: undefined } }),
      updateMask: ['retention.max_messages', 'retention.max_age'],
    });
    expect(updated.topic).toMatchObject({ version: 2, retention: { maxMessages: 5, maxAge: { seconds: 60n } } });
    expect(await failureOf(client.call(methods.updateTopic, { topic: topicOf(topic, { version: 1 }), updateMask: ['retention'] }))).toMatchObject({ reason: 'PRECONDITION_FAILED' });
    expect(await failureOf(client.call(methods.createTopic, { topic: topicOf(topic) }))).toMatchObject({ reason: 'TOPIC_EXISTS' });
    const requestId = randomUUIDv7();
    const again = { topic: topicOf(`${topic}-again`), requestId };
    await client.call(methods.createTopic, again);
    await client.call(methods.createTopic, again);
    const listed = await client.call(methods.listTopics, { pageSize: 1 });
    expect(listed).toMatchObject({ topics: [{}], nextPageToken: expect.stringMatching(/./) });
    const next = await client.call(methods.listTopics, { pageSize: 1000, pageToken: listed.nextPageToken });
    expect(next.topics.map(({ name }) => name)).not.toContain(listed.topics[0]!.name);
    const subscriptions = await client.call(methods.listSubscriptions, { topic });
    expect(subscriptions.subscriptions).toMatchObject([{ name: subscription, mode: Mode.SEQUENTIAL, ackDeadline: { seconds: 10n } }]);
    expect(await failureOf(client.call(methods.deleteTopic, { name: topic }))).toMatchObject({ reason: 'TOPIC_IN_USE' });
    await client.call(methods.detachSubscription, { name: subscription });
    expect(await failureOf(client.pull(subscription))).toMatchObject({ reason: 'SUBSCRIPTION_DETACHED' });
    await client.call(methods.deleteTopic, { name: topic });
    expect(await failureOf(client.publish(topic, 'a'))).toMatchObject({ reason: 'TOPIC_NOT_FOUND' });
    expect(await failureOf(client.call(methods.createSubscription, { subscription: subscriptionOf('x', topic, { filter: 'attributes.a = ' }) }))).toMatchObject({ violations: [{ field: 'subscription.filter' }] });
  });

  test('seek back to a message and to a snapshot', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    const key = { orderingKey: 'k' };
    const [, second] = await client.publish(topic, messageOf('a', key), messageOf('b', key), messageOf('c', key));
    const snapshot = { name: `n-${topic}`, subscription, topic: '', expireTime: undefined, createTime: undefined };
    await client.call(methods.createSnapshot, { snapshot });
    expect((await client.call(methods.listSnapshots, { topic })).snapshots).toMatchObject([{ subscription, topic }]);
    await client.acknowledge(subscription, await client.pull(subscription));
    await client.call(methods.seek, { subscription, target: { $case: 'snapshot', value: snapshot.name } });
    const messages = await client.pull(subscription);
    expect(messages.map(textOf)).toEqual(['a', 'b', 'c']);
    await client.call(methods.seek, { subscription, target: { $case: 'positions', value: { messageIds: [second!] } } });
    expect((await client.pull(subscription)).map(textOf)).toEqual(['b', 'c']);
    await client.call(methods.purgeSubscription, { name: subscription });
    expect(await client.pull(subscription)).toEqual([]);
    await client.call(methods.deleteSnapshot, { name: snapshot.name });
  });

  test('published with a session, a repeated call publishes nothing twice', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    const messages = Array.from({ length: 100 }, (_, i) => messageOf(`m${i}`));
    const request = { topic, messages, session: randomUUIDv7(), firstSequence: 1, settledBelow: 1 };
    const first = await client.call(methods.publish, request);
    expect(await client.call(methods.publish, request)).toEqual(first);
    expect(await client.pull(subscription, 1000)).toHaveLength(100);
  });

  test('messages of a stream keep the order in which they are sent, whatever their sequences', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
    // What was refused is sent again behind what came later.
    const calls = keys.flatMap((orderingKey, i) => [2, 1].map((n) => ({ sequence: 2 * i + n, message: messageOf(`${orderingKey}${n}`, { orderingKey }) })));
    const publisher = client.publishStream();
    const answers: PublishStreamResponse[] = [];
    publisher.on('data', (answer: PublishStreamResponse) => answers.push(answer));
    publisher.write({ participant: '', topic, session: randomUUIDv7(), settledBelow: 1, calls });
    await until(() => answers.flatMap(({ published, refused }) => [...published, ...refused]).reduce((sum, { count }) => sum + count, 0) === calls.length);
    expect(answers.flatMap(({ refused }) => refused)).toEqual([]);
    const texts = (await client.pull(subscription)).map(textOf);
    for (const key of keys) expect(texts.filter((text) => text.startsWith(key))).toEqual([`${key}2`, `${key}1`]);
    publisher.end();
  });

  test('streams: published in order, delivered within limits, acknowledged and confirmed', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    const publisher = client.publishStream();
    const answers: PublishStreamResponse[] = [];
    publisher.on('data', (answer: PublishStreamResponse) => answers.push(answer));
    const consumer = client.streamingPull();
    const received: ReceivedMessage[] = [];
    const confirmed: number[] = [];
    let outstanding = 0;
    let most = 0;
    consumer.on('data', ({ messages, confirmedSequence, failures }: StreamingPullResponse) => {
      expect(failures).toEqual([]);
      received.push(...messages);
      outstanding += messages.length;
      most = Math.max(most, outstanding);
      if (confirmedSequence > 0) confirmed.push(confirmedSequence);
    });
    consumer.write({ ...NO_CONSUMER, subscription, maxOutstandingMessages: 10 });
    const session = randomUUIDv7();
    const total = 60;
    for (let i = 0; i < total; i++) {
      const call = { sequence: i + 1, message: messageOf(`m${i}`, { orderingKey: `k${i % 4}` }) };
      publisher.write({ participant: '', topic: i === 0 ? topic : '', session: i === 0 ? session : '', settledBelow: 1, calls: [call] });
    }
    let sequence = 0;
    for (let acknowledged = 0; acknowledged < total; ) {
      const next = await until(() => received.slice(acknowledged, acknowledged + 5).length > 0 && received.slice(acknowledged));
      outstanding -= next.length;
      acknowledged += next.length;
      consumer.write({ ...NO_CONSUMER, acknowledgeIds: next.map(({ ackId }) => ackId), sequence: ++sequence });
    }
    await until(() => confirmed.includes(sequence));
    expect(most).toBeLessThanOrEqual(10);
    for (let k = 0; k < 4; k++) {
      const ofKey = received.filter(({ message }) => message!.orderingKey === `k${k}`).map((each) => Number(textOf(each).slice(1)));
      expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
    }
    await until(() => answers.flatMap(({ published }) => published).reduce((sum, { count }) => sum + count, 0) === total);
    expect(answers.flatMap(({ refused }) => refused)).toEqual([]);
    expect(await client.call(methods.getSubscriptionStatistics, { name: subscription })).toMatchObject({ backlogMessages: 0 });
    publisher.end();
    consumer.end();
  });

  test('what is negatively acknowledged in a stream comes again', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    const consumer = client.streamingPull();
    const received: ReceivedMessage[] = [];
    consumer.on('data', ({ messages }: StreamingPullResponse) => received.push(...messages));
    consumer.write({ ...NO_CONSUMER, subscription });
    await client.publish(topic, 'a');
    const first = await until(() => received[0]);
    consumer.write({ ...NO_CONSUMER, modifyDeadlines: [{ ackId: first.ackId, ackDeadline: undefined }] });
    expect(await until(() => received[1])).toMatchObject({ deliveryAttempt: 2, messageId: first.messageId });
    consumer.end();
  });

  test('one transaction publishes and acknowledges, or does neither', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic));
    await client.publish(topic, messageOf('in', { orderingKey: 'k' }));
    const [message] = await client.pull(subscription);
    const { ackId } = message!;
    const acknowledge = { participant: 'queue', routingKey: ackId.slice(0, ackId.indexOf(':')), operation: { typeUrl: `${TYPE}AcknowledgeOperation`, value: Buffer.from(AcknowledgeOperation.encode({ subscription, ackId }).finish()) } };
    const publish = { participant: 'queue', routingKey: 'out', operation: { typeUrl: `${TYPE}PublishOperation`, value: Buffer.from(PublishOperation.encode({ topic, message: messageOf('out', { orderingKey: 'out' }) }).finish()) } };
    const request = { transactionId: '', operations: [acknowledge, publish], mode: 0 as const, timeout: undefined, firstTryTime: undefined, consistency: 0 };
    const done = await mesh.call(coordinator.execute, request as never);
    expect([State.COMMITTING, State.COMMITTED]).toContain(done.transaction!.state);
    expect((await until2(() => client.pull(subscription))).map(textOf)).toEqual(['out']);
    const twice = await mesh.call(coordinator.execute, request as never);
    expect(twice.transaction!.state).toBe(State.ABORTED);
    expect(twice.transaction!.cause!.message).toContain('acknowledged already');
  });

  test('what is acknowledged otherwise gives a stream its room back, long before the deadline', async () => {
    const { topic, subscription } = fresh();
    await client.create(topicOf(topic), subscriptionOf(subscription, topic, { ackDeadline: { seconds: 600n, nanos: 0 } }));
    const consumer = client.streamingPull();
    const received: ReceivedMessage[] = [];
    consumer.on('data', ({ messages }: StreamingPullResponse) => received.push(...messages));
    consumer.write({ ...NO_CONSUMER, subscription, maxOutstandingMessages: 4 });
    await client.publish(topic, ...Array.from({ length: 20 }, (_, i) => messageOf(`m${i}`, { orderingKey: `k${i}` })));
    for (let settled = 0; settled < 20; ) {
      const next = await until(() => received.length > settled && received.slice(settled));
      expect((next as ReceivedMessage[]).length).toBeLessThanOrEqual(4);
      settled = received.length;
      expect(await client.acknowledge(subscription, next as ReceivedMessage[])).toEqual([]);
    }
    const { settledAckIds } = await client.call(methods.checkDeliveries, { subscription, ackIds: [received[0]!.ackId] });
    expect(settledAckIds).toEqual([received[0]!.ackId]);
    consumer.end();
  });

  test('the rules of fields are named', async () => {
    expect(await failureOf(client.call(methods.publish, { topic: 'no/name', messages: [messageOf('x', { priority: 10 })] }))).toMatchObject({
      violations: [{ field: 'topic' }, { field: 'messages[0].priority' }],
    });
    expect(await failureOf(client.call(methods.acknowledge, { subscription: 's', ackIds: ['nonsense'] }))).toMatchObject({ violations: [{ field: 'ack_ids[0]' }] });
    expect(await failureOf(client.call(methods.pull, { subscription: 's', participant: 'inventory' }))).toMatchObject({ reason: 'UNKNOWN_PARTICIPANT' });
  });
});

async function until2(get: () => Promise<ReceivedMessage[]>): Promise<ReceivedMessage[]> {
  for (;;) {
    const found = await get();
    if (found.length > 0) return found;
  }
}
