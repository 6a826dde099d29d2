/** Every limit that the contract names is held over gRPC, and the refusal names the field and the limit. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CounterServiceService as counter, Kind, type AddResult, type AddStreamRequest, type AddStreamResponse, type CreateCounterRequest, type SessionAdd } from '../gen/txmesh/counter/v1/counter.ts';
import { statusToFailure } from '../runtime/errors/status.ts';
import { failureOf, newId, startMesh, type Meshed } from '../runtime/router/testing/nodes.ts';
import type { Method } from '../runtime/transport/channels.ts';

const STREAM_BOUND_MS = 10_000;
const MAX_INT64 = 2n ** 63n - 1n;
const MIN_INT64 = -(2n ** 63n);

let mesh: Meshed;

const creation = (more: Partial<CreateCounterRequest>): CreateCounterRequest => ({
  participant: '',
  counter: 'new',
  kind: Kind.STRONG,
  bounds: undefined,
  initialValue: 0n,
  shards: 0,
  requestId: '',
  ...more,
});

beforeAll(async () => {
  mesh = await startMesh({ partitions: 2, counters: ['counter'] });
  const bounds = { minimum: 0n, maximum: 10n };
  await mesh.call(counter.createCounter, creation({ counter: 'stock', bounds, initialValue: 3n }));
  await mesh.call(counter.createCounter, creation({ counter: 'strong' }));
  await mesh.call(counter.createCounter, creation({ counter: 'high', initialValue: MAX_INT64 - 1n }));
  await mesh.call(counter.createCounter, creation({ counter: 'low', initialValue: MIN_INT64 + 1n }));
  await mesh.call(counter.createCounter, creation({ counter: 'sharded', kind: Kind.SHARDED }));
});
afterAll(() => mesh.close());

interface Case {
  readonly what: string;
  call(): Promise<unknown>;
  readonly field: string;
  readonly words: RegExp;
}

function refused<Request, Response>(what: string, method: Method<Request, Response>, request: Request, field: string, words: RegExp): Case {
  return { what, field, words, call: () => mesh.call(method, request) };
}

const create = (what: string, more: Partial<CreateCounterRequest>, field: string, words: RegExp): Case =>
  refused(what, counter.createCounter, creation(more), field, words);

const add = (what: string, more: object, field: string, words: RegExp): Case =>
  refused(what, counter.add, { participant: '', counter: 'strong', amount: 1n, token: undefined, transaction: undefined, ...more }, field, words);

const addAll = (what: string, more: object, field: string, words: RegExp): Case =>
  refused(what, counter.batchAdd, { participant: '', session: '', settledBelow: 0, adds: [one(1)], ...more }, field, words);

const one = (sequence: number, more: Partial<SessionAdd> = {}): SessionAdd => ({ sequence, counter: 'strong', amount: 1n, ...more });

const get = (what: string, more: object, field: string, words: RegExp): Case =>
  refused(what, counter.get, { participant: '', counter: 'strong', consistency: 0, maxAge: undefined, transaction: undefined, ...more }, field, words);

const seconds = (count: bigint, nanos = 0) => ({ seconds: count, nanos });

const CASES: readonly Case[] = [
  create('a counter without a name', { counter: '' }, 'counter', /empty/),
  create('a name that is too long', { counter: 'é'.repeat(129) }, 'counter', /256/),
  create('a name with control characters', { counter: 'a\nb' }, 'counter', /control/),
  create('no kind', { kind: 0 }, 'kind', /STRONG/),
  create('a kind that does not exist', { kind: 9 as never }, 'kind', /9|STRONG/),
  create('bounds of a sharded counter', { kind: Kind.SHARDED, bounds: { minimum: 0n } }, 'bounds', /strong|no place knows/i),
  create('bounds of a queued counter', { kind: Kind.QUEUED, bounds: { maximum: 0n } }, 'bounds', /strong|no place knows/i),
  create('bounds of a replicated counter', { kind: Kind.REPLICATED, bounds: { minimum: 0n } }, 'bounds', /strong|no place knows/i),
  create('a minimum above the maximum', { bounds: { minimum: 2n, maximum: 1n } }, 'bounds.minimum', /maximum/),
  create('a beginning of a sharded counter', { kind: Kind.SHARDED, initialValue: 1n }, 'initial_value', /strong/i),
  create('shards of a strong counter', { shards: 2 }, 'shards', /sharded/i),
  create('too many shards', { kind: Kind.SHARDED, shards: 65 }, 'shards', /64/),
  create('a request id that is none', { requestId: '1' }, 'request_id', /UUIDv7/),

  add('a participant that can not exist', { participant: 'Counter' }, 'participant', /a-z/),
  add('a session that is no UUIDv7', { token: { session: 'mine', sequence: 1, settledBelow: 1 } }, 'token.session', /UUIDv7/),
  add('no sequence', { token: { session: newId(), sequence: 0, settledBelow: 1 } }, 'token.sequence', /1/),
  add('what is settled above the sequence', { token: { session: newId(), sequence: 1, settledBelow: 2 } }, 'token.sequence', /settled_below|2/),
  add('what is settled too far below', { token: { session: newId(), sequence: 1_048_578, settledBelow: 1 } }, 'token.sequence', /1,?048,?57/),

  addAll('no add', { adds: [] }, 'adds', /at least 1/),
  addAll('too many adds', { adds: Array.from({ length: 4_097 }, (_, i) => one(i + 1)) }, 'adds', /4,?096/),
  addAll('a first add without a counter', { adds: [one(1, { counter: '' })] }, 'adds[0].counter', /1 to 256|must/),
  addAll('a session that is no UUIDv7', { session: 'mine' }, 'session', /UUIDv7/),

  get('a consistency that does not exist', { consistency: 9 as never }, 'consistency', /9|LINEARIZABLE/),
  get('an age that is too high', { consistency: 2, maxAge: seconds(3_601n) }, 'max_age', /1.?h|3,?600/),
  get('a negative age', { consistency: 2, maxAge: seconds(-1n) }, 'max_age', /./),

  refused('too many values', counter.batchGet, { participant: '', counters: Array.from({ length: 1_001 }, () => 'a'), consistency: 0, maxAge: undefined }, 'counters', /1,?000/),
  refused('too many to watch', counter.batchGet, { participant: '', counters: [], consistency: 0, maxAge: undefined }, 'counters', /at least 1/),
  refused('a page that is too large', counter.listCounters, { participant: '', prefix: '', pageSize: 1_001, pageToken: '' }, 'page_size', /1,?000/),
  refused('a page that nobody began', counter.listCounters, { participant: '', prefix: '', pageSize: 1, pageToken: 'x' }, 'page_token', /./),
  refused('too many shards later', counter.updateCounter, { participant: '', counter: 'sharded', bounds: undefined, shards: 65, requestId: '' }, 'shards', /64/),
  refused('no state to merge', counter.mergeState, { participant: '', states: [] }, 'states', /at least 1/),
];

describe('what a limit of the contract forbids is refused, naming the field and the limit', () => {
  test.each(CASES.map((each) => [each.what, each] as const))('%s', async (_, { call, field, words }) => {
    const failure = await failureOf(call());
    expect(failure.reason).toMatch(/^(INVALID_FIELD|LIMIT_EXCEEDED)$/);
    expect(failure.violations?.map((violation) => violation.field)).toContain(field);
    expect([failure.message, ...(failure.violations ?? []).map(({ description }) => description)].join('\n')).toMatch(words);
  });
});

describe('what an add would break is refused, and the refusal says how much is left', () => {
  const failureOfAdd = (name: string, amount: bigint) =>
    failureOf(mesh.call(counter.add, { participant: '', counter: name, amount, token: undefined, transaction: undefined }));

  test.each([
    ['stock', -4n, '-3', 'at most 3 can be taken'],
    ['stock', 8n, '7', 'at most 7 can be added'],
  ])('%s + %s: %s', async (name, amount, left, words) => {
    expect(await failureOfAdd(name, amount)).toMatchObject({ reason: 'BOUND_EXCEEDED', message: expect.stringContaining(words), metadata: { left } });
  });

  test.each([['high', 2n], ['low', -2n]])('%s + %s: 64 bits are the limit', async (name, amount) => {
    expect(await failureOfAdd(name, amount)).toMatchObject({ reason: 'COUNTER_OVERFLOW', message: expect.stringContaining('64 bits') });
  });

  test('of a beginning outside of the bounds too', async () => {
    const failure = await failureOf(mesh.call(counter.createCounter, creation({ bounds: { minimum: 2n }, initialValue: 1n })));
    expect(failure).toMatchObject({ reason: 'BOUND_EXCEEDED', message: expect.stringContaining('2') });
  });

  test('of a counter that is not there it says how to make one', async () => {
    expect(await failureOfAdd('nowhere', 1n)).toMatchObject({ reason: 'COUNTER_NOT_FOUND', message: expect.stringContaining('CreateCounter') });
  });
});

/** The results of one message of a stream. */
function resultsOf(request: AddStreamRequest): Promise<AddResult[]> {
  const stream = mesh.channels.duplex(mesh.nodes[0]!.address, counter.addStream, { deadlineMs: Date.now() + STREAM_BOUND_MS });
  const results: AddResult[] = [];
  return new Promise((resolve, reject) => {
    stream.on('data', (response: AddStreamResponse) => results.push(...response.results));
    stream.once('error', reject);
    stream.once('end', () => resolve(results));
    stream.write(request);
    stream.end();
  });
}

describe('what is wrong with a message of AddStream is told of each of its adds, naming the field and the limit', () => {
  const least: AddStreamRequest = { participant: '', session: newId(), settledBelow: 1, adds: [one(1)], remaining: undefined, traceparent: '' };

  test.each<[string, Partial<AddStreamRequest>, string, RegExp]>([
    ['too many adds at once', { adds: Array.from({ length: 4_097 }, (_, i) => one(i + 1)) }, 'adds', /4,?096/],
    ['a session that is no UUIDv7', { session: 'mine' }, 'session', /UUIDv7/],
    ['a first add without a counter', { adds: [one(1, { counter: '' }), one(2)] }, 'adds[0].counter', /empty/],
    ['no settled_below', { settledBelow: 0 }, 'settled_below', /1/],
  ])('%s', async (_, more, field, words) => {
    const request = { ...least, ...more };
    const results = await resultsOf(request);
    expect(results.map(({ sequence }) => sequence)).toEqual(request.adds.map(({ sequence }) => sequence));
    for (const { error } of results.slice(0, 2)) {
      const { reason, message, violations } = statusToFailure(error!);
      expect(reason).toMatch(/^(INVALID_FIELD|LIMIT_EXCEEDED)$/);
      expect(violations?.map((violation) => violation.field)).toContain(field);
      expect(message).toMatch(words);
    }
  });

  test('no add of it counts', async () => {
    const { value } = await mesh.call(counter.get, { participant: '', counter: 'strong', consistency: 0, maxAge: undefined, transaction: undefined });
    expect(value?.value).toBe(0n);
  });
});
