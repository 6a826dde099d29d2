/** Every limit that the contract names is held over gRPC, and the refusal names the field and the limit. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Message, QueueServiceService as queue, Storage, StreamingPullRequest, Subscription, Topic, PublishStreamRequest, type SeekRequest } from '../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../kernel/failure.ts';
import { serviceErrorToFailure } from '../runtime/errors/status.ts';
import { FailureError } from '../runtime/errors/failure-error.ts';
import { failureOf, grpc, newId, startMesh, type Meshed } from '../runtime/router/testing/nodes.ts';
import type { Method } from '../runtime/transport/channels.ts';

const NOTHING = new Uint8Array();
const DAY = 86_400n;
const KIB = 1024;
const MIB = 1024 * KIB;
const STREAM_BOUND_MS = 10_000;

let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: 2, queues: ['queue'] });
  const common = { participant: '', requestId: '' };
  for (const name of ['orders', 'other', 'dead'])
    await mesh.call(queue.createTopic, { ...common, topic: { ...Topic.decode(NOTHING), name } });
  await mesh.call(queue.createTopic, { ...common, topic: { ...Topic.decode(NOTHING), name: 'fleeting', storage: Storage.MEMORY } });
  for (const [name, topic] of [['workers', 'orders'], ['others', 'other'], ['watchers', 'fleeting']] as const)
    await mesh.call(queue.createSubscription, { ...common, subscription: { ...Subscription.decode(NOTHING), name, topic } });
});
afterAll(() => mesh.close());

const seconds = (count: bigint, nanos = 0) => ({ seconds: count, nanos });
const after = (count: bigint) => seconds(BigInt(Math.floor(Date.now() / 1000)) + count);
const long = (bytes: number): string => 'x'.repeat(bytes);

interface Case {
  readonly what: string;
  call(): Promise<unknown>;
  /** The field as the proto names it; undefined: the refusal is about no field. */
  readonly field: string | undefined;
  readonly words: RegExp;
}

function refused<Request, Response>(what: string, method: Method<Request, Response>, request: Request, field: string | undefined, words: RegExp): Case {
  return { what, field, words, call: () => mesh.call(method, request) };
}

const topic = (what: string, more: Partial<Topic>, field: string, words: RegExp): Case =>
  refused(what, queue.createTopic, { participant: '', topic: { ...Topic.decode(NOTHING), name: 'new', ...more }, requestId: '' }, field, words);

const retention = (what: string, more: Partial<NonNullable<Topic['retention']>>, field: string, words: RegExp): Case => {
  const all = { maxAge: undefined, maxMessages: 0, maxBytes: 0, overflow: 0 as const, acknowledgedAge: undefined, ...more };
  return topic(what, { retention: all }, `topic.retention.${field}`, words);
};

const subscription = (what: string, more: Partial<Subscription>, field: string, words: RegExp): Case =>
  refused(
    what,
    queue.createSubscription,
    { participant: '', subscription: { ...Subscription.decode(NOTHING), name: 'new', topic: 'orders', ...more }, requestId: '' },
    field,
    words,
  );

const publish = (what: string, messages: readonly Partial<Message>[], field: string | undefined, words: RegExp, more: object = {}): Case =>
  refused(
    what,
    queue.publish,
    {
      participant: '',
      topic: 'orders',
      messages: messages.map((message) => ({ ...Message.decode(NOTHING), ...message })),
      session: '',
      firstSequence: 0,
      settledBelow: 0,
      sequenceOffsets: [],
      ...more,
    },
    field,
    words,
  );

const pull = (what: string, more: object, field: string, words: RegExp): Case => {
  const least = { participant: '', subscription: 'workers', maxMessages: 1, maxBytes: 0, wait: undefined, ackDeadline: undefined, partition: undefined };
  return refused(what, queue.pull, { ...least, ...more }, field, words);
};

const seek = (what: string, target: SeekRequest['target'], field: string | undefined, words: RegExp): Case =>
  refused(what, queue.seek, { participant: '', subscription: 'workers', target, requestId: '' }, field, words);

const snapshot = (what: string, more: object, field: string, words: RegExp): Case => {
  const least = { name: 'new', subscription: 'workers', topic: '', expireTime: undefined, createTime: undefined };
  return refused(what, queue.createSnapshot, { participant: '', snapshot: { ...least, ...more }, requestId: '' }, field, words);
};

const CASES: readonly Case[] = [
  topic('a topic without a name', { name: '' }, 'topic.name', /1 to 128/),
  topic('a name that is too long', { name: long(129) }, 'topic.name', /128/),
  topic('a name that begins with a dot', { name: '.a' }, 'topic.name', /letter or a digit/),
  topic('a name with a slash', { name: 'a/b' }, 'topic.name', /a-z/),
  topic('a storage that does not exist', { storage: 7 as never }, 'topic.storage', /7/),
  topic('a deduplication window that is too short', { deduplicationWindow: seconds(0n, 999_000_000) }, 'topic.deduplication_window', /1.?s|1,?000/),
  topic('a deduplication window that is too long', { deduplicationWindow: seconds(DAY, 1_000_000) }, 'topic.deduplication_window', /day|86,?400/),
  retention('an age that is too short', { maxAge: seconds(0n, 1_000_000) }, 'max_age', /1.?s|1,?000/),
  retention('an age that is too long', { maxAge: seconds(367n * DAY) }, 'max_age', /366|31,?622,?400/),
  retention('too many messages', { maxMessages: 100_000_001 }, 'max_messages', /100,?000,?000/),
  retention('too few bytes', { maxBytes: MIB - 1 }, 'max_bytes', /1,?048,?576|MiB/),
  retention('too many bytes', { maxBytes: 2 ** 40 + 1 }, 'max_bytes', /1,?099,?511,?627,?776|TiB/),
  retention('acknowledged messages that are kept longer than others', { maxAge: seconds(60n), acknowledgedAge: seconds(61n) }, 'acknowledged_age', /max_age|60/),

  subscription('a deadline that is too short', { ackDeadline: seconds(0n, 9_000_000) }, 'subscription.ack_deadline', /10/),
  subscription('a deadline that is too long', { ackDeadline: seconds(43_201n) }, 'subscription.ack_deadline', /12|43,?200/),
  subscription('a filter that is too long', { filter: `attributes:${long(1024)}` }, 'subscription.filter', /1,?024/),
  subscription('a filter that is none', { filter: 'attributes.a = "1" AND' }, 'subscription.filter', /22|character|position|end/i),
  subscription('a mixture of AND and OR', { filter: 'attributes:a AND attributes:b OR attributes:c' }, 'subscription.filter', /AND|OR|parenthes/),
  subscription('a backoff that is too long', { retryPolicy: { minimumBackoff: undefined, maximumBackoff: seconds(601n) } }, 'subscription.retry_policy.maximum_backoff', /600/),
  subscription(
    'a longest backoff below the shortest',
    { retryPolicy: { minimumBackoff: seconds(20n), maximumBackoff: seconds(10n) } },
    'subscription.retry_policy.maximum_backoff',
    /minimum/,
  ),
  subscription('too many attempts', { deadLetterPolicy: { topic: 'dead', maxDeliveryAttempts: 101 } }, 'subscription.dead_letter_policy.max_delivery_attempts', /100/),
  subscription('an ageing step that is too short', { ageingStep: seconds(0n, 99_000_000) }, 'subscription.ageing_step', /100/),
  subscription('an ageing step that is too long', { ageingStep: seconds(3_601n) }, 'subscription.ageing_step', /1.?h|3,?600/),

  publish('no message', [], 'messages', /at least 1/),
  publish('too many messages', Array.from({ length: 1_001 }, () => ({})), 'messages', /1,?000/),
  publish('a message that is too long', [{ data: Buffer.alloc(MIB + 1) }], 'messages[0].data', /1,?048,?576/),
  publish('too many attributes', [{ attributes: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`a${i}`, ''])) }], 'messages[0].attributes', /100/),
  publish('an attribute without a name', [{ attributes: { '': 'x' } }], 'messages[0].attributes.key', /empty|1 to 256/),
  publish('an attribute with a long name', [{ attributes: { [long(257)]: 'x' } }], 'messages[0].attributes.key', /256/),
  publish('an attribute that is too long', [{ attributes: { a: long(1_025) } }], 'messages[0].attributes["a"]', /1,?024/),
  publish(
    'attributes that are too long together',
    [{ attributes: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`a${i}`, long(1_000)])) }],
    'messages[0].attributes',
    /32|32,?768/,
  ),
  publish('an ordering key that is too long', [{ orderingKey: long(1_025) }], 'messages[0].ordering_key', /1,?024/),
  publish('a priority that is too high', [{}, { priority: 10 }], 'messages[1].priority', /9/),
  publish('two delivery times', [{ delay: seconds(1n), deliverTime: after(1n) }], 'messages[0].delay', /deliver_time|one of/),
  publish('a delay that is too long', [{ delay: seconds(367n * DAY) }], 'messages[0].delay', /366|31,?622,?400/),
  publish('a delivery time that is too far', [{ deliverTime: after(367n * DAY) }], 'messages[0].deliver_time', /366/),
  publish('a life that is too short', [{ timeToLive: seconds(0n, 500_000) }], 'messages[0].time_to_live', /1/),
  publish('a life that is too long', [{ timeToLive: seconds(367n * DAY) }], 'messages[0].time_to_live', /366|31,?622,?400/),
  publish('a deduplication id that is too long', [{ deduplicationId: long(257) }], 'messages[0].deduplication_id', /256/),
  publish('a traceparent that is too long', [{ traceparent: long(257) }], 'messages[0].traceparent', /256/),
  publish('a session that is no UUIDv7', [{}], 'session', /UUIDv7/, { session: 'mine', firstSequence: 1 }),
  publish('a sequence without a session', [{}], 'first_sequence', /session/, { firstSequence: 1 }),
  publish('a session without a sequence', [{}], 'first_sequence', /1/, { session: newId() }),

  pull('too many messages', { maxMessages: 1_001 }, 'max_messages', /1,?000/),
  pull('too many bytes', { maxBytes: 4 * MIB + 1 }, 'max_bytes', /3,?145,?728|3 MiB/),
  pull('a wait that is too long', { wait: seconds(61n) }, 'wait', /60/),
  pull('a deadline that is too short', { ackDeadline: seconds(0n, 9_000_000) }, 'ack_deadline', /10/),
  pull('a partition that does not exist', { partition: 2 }, 'partition', /2/),

  refused('nothing to acknowledge', queue.acknowledge, { participant: '', subscription: 'workers', ackIds: [] }, 'ack_ids', /at least 1/),
  refused('too much to acknowledge', queue.acknowledge, { participant: '', subscription: 'workers', ackIds: Array.from({ length: 10_001 }, () => 'a') }, 'ack_ids', /10,?000/),
  refused(
    'a deadline that is too long',
    queue.modifyAckDeadline,
    { participant: '', subscription: 'workers', ackIds: ['a'], ackDeadline: seconds(43_201n) },
    'ack_deadline',
    /12|43,?200/,
  ),

  seek('nowhere', undefined, 'target', /must|time|snapshot|positions/),
  seek('to no message', { $case: 'positions', value: { messageIds: [] } }, 'positions.message_ids', /at least 1/),
  seek('to two messages of a partition', { $case: 'positions', value: { messageIds: ['0-1', '0-2'] } }, 'positions.message_ids[1]', /partition/),
  seek('to what is no message', { $case: 'positions', value: { messageIds: ['first'] } }, 'positions.message_ids[0]', /message|<partition>-<position>/),

  snapshot('one that expires too soon', { expireTime: after(50n) }, 'snapshot.expire_time', /1 minute|60/),
  snapshot('one that is kept too long', { expireTime: after(8n * DAY) }, 'snapshot.expire_time', /7 days|604,?800/),

  refused('a page that is too large', queue.listTopics, { participant: '', pageSize: 1_001, pageToken: '' }, 'page_size', /1,?000/),
  refused('a page that nobody began', queue.listSubscriptions, { participant: '', topic: '', pageSize: 1, pageToken: 'x' }, 'page_token', /./),
  refused('a participant that can not exist', queue.getTopic, { participant: 'Queue', name: 'orders' }, 'participant', /a-z/),
  refused('a request id that is none', queue.deleteTopic, { participant: '', name: 'orders', requestId: '1' }, 'request_id', /UUIDv7/),
  refused(
    'an update of what can not change',
    queue.updateTopic,
    { participant: '', topic: { ...Topic.decode(NOTHING), name: 'orders', storage: Storage.MEMORY }, updateMask: ['storage'], requestId: '' },
    'update_mask.paths[0]',
    /storage/,
  ),
];

describe('what a limit of the contract forbids is refused, naming the field and the limit', () => {
  test.each(CASES.map((each) => [each.what, each] as const))('%s', async (_, { call, field, words }) => {
    const failure = await failureOf(call());
    expect(failure.reason).toMatch(/^(INVALID_FIELD|LIMIT_EXCEEDED)$/);
    if (field !== undefined) expect(failure.violations?.map((violation) => violation.field)).toContain(field);
    const said = [failure.message, ...(failure.violations ?? []).map(({ description }) => description)].join('\n');
    expect(said).toMatch(words);
  });
});

/** What a stream that sends these ends with. */
function endOf<Request, Response>(method: Method<Request, Response>, requests: readonly Request[]): Promise<Failure> {
  const stream = mesh.channels.duplex(mesh.nodes[0]!.address, method, { deadlineMs: Date.now() + STREAM_BOUND_MS });
  const ended = new Promise<never>((_, reject) => {
    stream.on('data', () => undefined);
    stream.once('error', (error: grpc.ServiceError) => reject(new FailureError(serviceErrorToFailure(error))));
    stream.once('end', () => reject(new Error('the stream ended without an error')));
  });
  for (const request of requests) stream.write(request);
  return failureOf(ended);
}

const publishing = (more: Partial<PublishStreamRequest>): PublishStreamRequest => ({ ...PublishStreamRequest.decode(NOTHING), ...more });
const pulling = (more: Partial<StreamingPullRequest>): StreamingPullRequest => ({ ...StreamingPullRequest.decode(NOTHING), ...more });

describe('a stream that breaks a rule ends, naming the field and the limit', () => {
  test.each<[string, PublishStreamRequest[], string, RegExp]>([
    ['a first message without a topic', [publishing({})], 'topic', /1 to 128|must/],
    ['a topic in a later message', [publishing({ topic: 'orders' }), publishing({ topic: 'other' })], 'topic', /first/],
    ['a session that is no UUIDv7', [publishing({ topic: 'orders', session: 'mine' })], 'session', /UUIDv7/],
    [
      'too many messages at once',
      [publishing({ topic: 'orders', calls: Array.from({ length: 4_097 }, (_, i) => ({ sequence: i + 1, message: Message.decode(NOTHING) })) })],
      'calls',
      /4,?096/,
    ],
  ])('PublishStream: %s', async (_, requests, field, words) => {
    const { reason, message, violations } = await endOf(queue.publishStream, requests);
    expect(reason).toMatch(/^(INVALID_FIELD|LIMIT_EXCEEDED)$/);
    // What is refused before it is read is named in the message alone.
    expect([message, ...(violations ?? []).map((violation) => violation.field)].join('\n')).toContain(field);
    expect(message).toMatch(words);
  });

  test.each<[string, StreamingPullRequest[], string, RegExp]>([
    ['a first message without a subscription', [pulling({})], 'subscription', /1 to 128|must/],
    ['a subscription in a later message', [pulling({ subscription: 'workers' }), pulling({ subscription: 'others' })], 'subscription', /first/],
    ['too many messages outstanding', [pulling({ subscription: 'workers', maxOutstandingMessages: 100_001 })], 'max_outstanding_messages', /100,?000/],
    ['too many bytes outstanding', [pulling({ subscription: 'workers', maxOutstandingBytes: 2 ** 30 + 1 })], 'max_outstanding_bytes', /1,?073,?741,?824|1 GiB/],
    ['too many acknowledgements', [pulling({ subscription: 'workers', acknowledgeIds: Array.from({ length: 10_001 }, () => 'a') })], 'acknowledge_ids', /10,?000/],
    ['a sequence that does not grow', [pulling({ subscription: 'workers', sequence: 2 }), pulling({ sequence: 2 })], 'sequence', /grow|2/],
  ])('StreamingPull: %s', async (_, requests, field, words) => {
    const { reason, message, violations } = await endOf(queue.streamingPull, requests);
    expect(reason).toMatch(/^(INVALID_FIELD|LIMIT_EXCEEDED)$/);
    // What is refused before it is read is named in the message alone.
    expect([message, ...(violations ?? []).map((violation) => violation.field)].join('\n')).toContain(field);
    expect(message).toMatch(words);
  });
});
