import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  AddOperation,
  type AddRequest,
  type AddStreamRequest,
  type AddStreamResponse,
  CheckOperation,
  Consistency,
  CounterServiceService as counters,
  type CreateCounterRequest,
  Kind,
  type WatchResponse,
} from '../../gen/txmesh/counter/v1/counter.ts';
import { CoordinatorServiceService as coordinator, State } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { failureOf, newId, putOp, startMesh, until, type Meshed } from '../../runtime/router/testing/nodes.ts';

let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: 3, counters: ['counter'], leaseTtlMs: 10_000 }, 2);
});
afterAll(() => mesh.close());

let names = 0;

/** A new counter; its name. */
async function create(kind: Kind, fields: Partial<CreateCounterRequest> = {}): Promise<string> {
  const counter = `c${++names}`;
  await mesh.call(counters.createCounter, { participant: '', counter, kind, bounds: undefined, initialValue: 0n, shards: 0, requestId: '', ...fields });
  return counter;
}

const add = (counter: string, amount: bigint, fields: Partial<AddRequest> = {}, node = 0) =>
  mesh.call(counters.add, { participant: '', counter, amount, token: undefined, transaction: undefined, ...fields }, mesh.nodes[node]);

const get = async (counter: string, consistency: Consistency = Consistency.LINEARIZABLE, node = 0) =>
  (await mesh.call(counters.get, { participant: '', counter, consistency, maxAge: undefined, transaction: undefined }, mesh.nodes[node])).value!;

const configuration = async (counter: string) => (await mesh.call(counters.getCounter, { participant: '', counter })).counter!;

const update = (counter: string, shards: number, requestId = '') =>
  mesh.call(counters.updateCounter, { participant: '', counter, bounds: undefined, shards, requestId });

const operation = (counter: string, type: 'AddOperation' | 'CheckOperation', amount: bigint) => ({
  participant: 'counter',
  routingKey: counter,
  operation: {
    typeUrl: `type.googleapis.com/txmesh.counter.v1.${type}`,
    value: Buffer.from(type === 'AddOperation' ? AddOperation.encode({ counter, amount }).finish() : CheckOperation.encode({ counter, value: amount }).finish()),
  },
});

const execute = async (...operations: ReturnType<typeof putOp>[]) =>
  (await mesh.call(coordinator.execute, { transactionId: newId(), operations, timeout: undefined, firstTryTime: undefined, mode: 0 })).transaction!;

const eventually = (check: () => Promise<boolean>): Promise<boolean> => vi.waitUntil(check, { timeout: 10_000, interval: 25 });

/** A stream of adds: sends messages, and gives the results by sequence. */
function open(node = 0) {
  const call = mesh.channels.duplex<AddStreamRequest, AddStreamResponse>(mesh.nodes[node]!.address, counters.addStream);
  const results = new Map<number, AddStreamResponse['results'][number]>();
  let wake = (): void => {};
  call.on('data', (response: AddStreamResponse) => {
    for (const result of response.results) results.set(result.sequence, result);
    wake();
  });
  call.on('error', () => wake());
  return {
    send: (request: Partial<AddStreamRequest>) =>
      call.write({ participant: '', session: '', settledBelow: 1, adds: [], remaining: undefined, traceparent: '', ...request }),
    async results(count: number) {
      while (results.size < count) await new Promise<void>((resolve) => (wake = resolve));
      return results;
    },
    close: () => call.end(),
  };
}

describe('every kind', () => {
  test.each([
    ['strong', Kind.STRONG],
    ['sharded', Kind.SHARDED],
    ['queued', Kind.QUEUED],
    ['replicated', Kind.REPLICATED],
  ])('%s: adds from every replica are counted once each, also when they are retried', async (_, kind) => {
    const counter = await create(kind);
    const session = newId();
    for (let sequence = 1; sequence <= 30; sequence++) {
      const token = { session, sequence, settledBelow: Math.max(1, sequence - 5) };
      await add(counter, 3n, { token }, sequence % 2);
      await add(counter, 3n, { token }, (sequence + 1) % 2);
    }
    await add(counter, -10n, {}, 1);
    await eventually(async () => (await get(counter, Consistency.LINEARIZABLE, 1)).value === 80n);
    const value = await get(counter);
    expect([value.value, value.kind, value.pendingAdds]).toEqual([80n, kind, 0]);
    const rates = await mesh.call(counters.getRates, { participant: '', counter });
    expect([rates.minute!.added, rates.minute!.adds, rates.day!.added]).toEqual([80n, 31, 80n]);
    await mesh.call(counters.deleteCounter, { participant: '', counter, requestId: '' });
    expect((await failureOf(get(counter))).reason).toBe('COUNTER_NOT_FOUND');
    expect((await failureOf(add(counter, 1n))).reason).toBe('COUNTER_NOT_FOUND');
  });

  test.each([Kind.STRONG, Kind.SHARDED, Kind.QUEUED, Kind.REPLICATED])('kind %i: a transaction adds to it, or to nothing', async (kind) => {
    const counter = await create(kind);
    expect((await execute(putOp('inventory', counter, '1'), operation(counter, 'AddOperation', 7n))).state).not.toBe(State.ABORTED);
    const aborted = await execute(operation('missing', 'AddOperation', 7n), operation(counter, 'AddOperation', 7n));
    expect([aborted.state, aborted.cause?.message]).toEqual([State.ABORTED, expect.stringContaining('missing')]);
    await eventually(async () => (await get(counter)).value === 7n);
  });
});

describe('strong', () => {
  test('a bound refuses what is too much, and says how much is left', async () => {
    const counter = await create(Kind.STRONG, { bounds: { minimum: 0n, maximum: 10n }, initialValue: 4n });
    expect((await add(counter, 3n)).value).toBe(7n);
    const failure = await failureOf(add(counter, 4n));
    expect([failure.reason, failure.metadata?.left]).toEqual(['BOUND_EXCEEDED', '3']);
    const aborted = await execute(operation(counter, 'AddOperation', -8n));
    expect(aborted.cause?.message).toContain('at most 7 can be taken');
    expect((await configuration(counter)).bounds).toEqual({ minimum: 0n, maximum: 10n });
  });

  test('compare-and-set, reset, and the same again under their ids', async () => {
    const counter = await create(Kind.STRONG);
    const set = (expected: bigint, value: bigint, requestId: string) => mesh.call(counters.compareAndSet, { participant: '', counter, expected, value, requestId });
    const requestId = newId();
    await set(0n, 5n, requestId);
    await set(0n, 5n, requestId);
    expect((await failureOf(set(0n, 5n, newId()))).metadata?.value).toBe('5');
    await mesh.call(counters.reset, { participant: '', counter, value: -(2n ** 63n), requestId: '' });
    expect((await get(counter)).value).toBe(-(2n ** 63n));
    expect((await failureOf(add(counter, -1n))).reason).toBe('COUNTER_OVERFLOW');
    const other = await create(Kind.QUEUED);
    expect((await failureOf(mesh.call(counters.reset, { participant: '', counter: other, value: 1n, requestId: '' }))).reason).toBe('COUNTER_KIND');
  });

  test('an interactive transaction reads its own adds, and what it has read is checked', async () => {
    const counter = await create(Kind.STRONG, { initialValue: 1n });
    const transactionId = newId();
    const begun = await mesh.call(coordinator.beginTransaction, { transactionId, timeout: undefined, firstTryTime: undefined, mode: 0 });
    const transaction = { transactionId, attempt: begun.attempt };
    await add(counter, 5n, { transaction });
    const { value } = await mesh.call(counters.get, { participant: '', counter, consistency: 0, maxAge: undefined, transaction });
    expect(value!.value).toBe(6n);
    await add(counter, 1n);
    const ended = await mesh.call(coordinator.commitTransaction, { transactionId, attempt: begun.attempt });
    expect([ended.transaction!.state, ended.transaction!.cause?.message]).toEqual([State.ABORTED, expect.stringContaining('has 2, not 1')]);
    expect((await execute(operation(counter, 'CheckOperation', 2n), operation(counter, 'AddOperation', 1n))).state).not.toBe(State.ABORTED);
  });
});

describe('sharded', () => {
  test('the number of shards changes under load, and every add counts once', async () => {
    const counter = await create(Kind.SHARDED, { shards: 2 });
    const session = newId();
    let changing = true;
    let sent = 0;
    const adding = (async () => {
      while (changing || sent < 200) {
        sent++;
        const token = { session, sequence: sent, settledBelow: sent };
        for (;;) {
          try {
            await add(counter, 1n, { token }, sent % 2);
            if (sent % 3 === 0) await add(counter, 1n, { token }, (sent + 1) % 2);
            break;
          } catch (error) {
            if ((await failureOf(Promise.reject(error))).retryAfterMs === undefined) throw error;
          }
        }
      }
    })();
    for (const shards of [7, 64, 1, 5]) {
      await eventually(async () => update(counter, shards, newId()).then(() => true, async (error) => {
        expect((await failureOf(Promise.reject(error))).reason).toBe('COUNTER_CHANGING');
        return false;
      }));
      await eventually(async () => (await configuration(counter)).movingSlots === 0);
      expect((await configuration(counter)).shards).toBe(shards);
    }
    changing = false;
    await adding;
    expect((await get(counter)).value).toBe(BigInt(sent));
  });

  test('a cached read says how old it is', async () => {
    const counter = await create(Kind.SHARDED);
    await add(counter, 5n);
    expect((await get(counter)).value).toBe(5n);
    await add(counter, 5n);
    const cached = await get(counter, Consistency.EVENTUAL);
    expect([cached.value, cached.age !== undefined]).toEqual([5n, true]);
    expect((await get(counter)).value).toBe(10n);
  });
});

describe('many at a time', () => {
  test('a batch of adds answers each by itself', async () => {
    const [a, b] = [await create(Kind.STRONG, { bounds: { minimum: undefined, maximum: 1n } }), await create(Kind.SHARDED)];
    const adds = [a, a, '', b, 'missing', b].map((counter, i) => ({ sequence: i + 1, counter, amount: 1n }));
    const { results } = await mesh.call(counters.batchAdd, { participant: '', session: '', settledBelow: 0, adds });
    expect(results.map(({ value, error }) => error?.code ?? value)).toEqual([1n, 9, 9, undefined, 5, undefined]);
    const read = await mesh.call(counters.batchGet, { participant: '', counters: [b, 'missing', a], consistency: 0, maxAge: undefined });
    expect(read.results.map(({ result }) => (result?.$case === 'value' ? result.value.value : result?.value.code))).toEqual([2n, 5, 1n]);
  });

  test('a stream takes adds in any number, also of partitions led elsewhere', async () => {
    const all = [await create(Kind.STRONG), await create(Kind.SHARDED), await create(Kind.REPLICATED), await create(Kind.QUEUED), await create(Kind.STRONG)];
    for (const node of [0, 1]) {
      const stream = open(node);
      const session = newId();
      for (let message = 0; message < 10; message++) {
        const adds = Array.from({ length: 500 }, (_, i) => ({ sequence: message * 500 + i + 1, counter: all[i % 5]!, amount: 2n }));
        stream.send({ session, settledBelow: Math.max(1, (message - 2) * 500), adds });
        if (message === 5) stream.send({ session, settledBelow: 2001, adds: adds.slice(0, 100) });
        await stream.results((message + 1) * 500);
      }
      const results = await stream.results(5000);
      expect([...results.values()].filter(({ error }) => error !== undefined)).toEqual([]);
      stream.close();
    }
    await eventually(async () => {
      const values = await Promise.all(all.map((counter) => get(counter)));
      return values.every(({ value }) => value === 4000n);
    });
  });

  test('a stream answers what is wrong with a message to each of its adds', async () => {
    const stream = open();
    stream.send({ session: 'none', adds: [{ sequence: 1, counter: 'x', amount: 1n }] });
    stream.send({ session: newId(), adds: [{ sequence: 2, counter: '', amount: 1n }] });
    stream.send({ session: newId(), participant: 'payments', adds: [{ sequence: 3, counter: 'x', amount: 1n }] });
    stream.send({ session: newId(), remaining: { seconds: 0n, nanos: 0 }, adds: [{ sequence: 4, counter: 'x', amount: 1n }] });
    const results = await stream.results(4);
    expect([1, 2, 3].map((sequence) => results.get(sequence)!.error!.message)).toEqual([
      expect.stringContaining('session must be a UUIDv7'),
      expect.stringContaining('adds[0].counter must not be empty'),
      expect.stringContaining('no counter service'),
    ]);
    expect(results.get(4)!.error).toBeDefined();
    stream.close();
  });
});

test('adds without a token go on, though sessions expire soon', async () => {
  const other = await startMesh({ partitions: 1, counters: ['counter'], retentionMs: 150 });
  try {
    await other.call(counters.createCounter, { participant: '', counter: 'c', kind: Kind.STRONG, bounds: undefined, initialValue: 0n, shards: 0, requestId: '' });
    for (let i = 1; i <= 3; i++) {
      const older = Array.from({ length: 250 }, newId);
      const { value } = await other.call(counters.add, { participant: '', counter: 'c', amount: 1n, token: undefined, transaction: undefined });
      expect(value).toBe(BigInt(i));
      const { results } = await other.call(counters.batchAdd, { participant: '', session: '', settledBelow: 0, adds: [{ sequence: 7, counter: 'c', amount: 0n }] });
      expect(results[0]).toMatchObject({ sequence: 7, value: BigInt(i) });
      // The server's own session is forgotten when one that is older is.
      await eventually(async () => {
        const token = { session: older.pop()!, sequence: 1, settledBelow: 1 };
        const call = other.call(counters.add, { participant: '', counter: 'c', amount: 0n, token, transaction: undefined });
        return call.then(() => false, async (error: unknown) => (await failureOf(Promise.reject(error))).reason === 'SESSION_EXPIRED');
      });
    }
  } finally {
    await other.close();
  }
});

describe('listing and watching', () => {
  test('counters are listed by prefix, page by page, in the order of their bytes', async () => {
    const wanted = ['list/a', 'list/b', 'list/\u{10ffff}', 'list/\uffff', 'list/c'];
    for (const [i, counter] of wanted.entries()) await create([Kind.STRONG, Kind.SHARDED, Kind.QUEUED, Kind.REPLICATED, Kind.STRONG][i]!, { counter });
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = await mesh.call(counters.listCounters, { participant: '', prefix: 'list/', pageSize: 2, pageToken }, mesh.nodes[seen.length % 2]);
      seen.push(...page.counters.map(({ counter }) => counter));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual(['list/a', 'list/b', 'list/c', 'list/\uffff', 'list/\u{10ffff}']);
  });

  test.each([Kind.STRONG, Kind.SHARDED])('kind %i: a watcher hears the value of now and then the newest', async (kind) => {
    const counter = await create(kind);
    const controller = new AbortController();
    const request = { participant: '', counters: [counter, 'later'] };
    const stream = mesh.channels.stream(mesh.nodes[1]!.address, counters.watch, request, { signal: controller.signal })[Symbol.asyncIterator]();
    const told = (name: string, value: bigint | undefined) => (response: WatchResponse) =>
      response.counters.some((each) => each.counter === name && each.value?.value === value);
    await until(stream, told(counter, 0n));
    for (let i = 0; i < 50; i++) await add(counter, 1n);
    const seen = await until(stream, told(counter, 50n));
    expect(seen.length).toBeLessThan(25);
    if (kind === Kind.STRONG) {
      await create(Kind.STRONG, { counter: 'later', initialValue: 3n });
      await until(stream, told('later', 3n));
    }
    controller.abort();
  });
});

describe('administration', () => {
  test('a creation may be repeated under its id, and is refused under another', async () => {
    for (const kind of [Kind.STRONG, Kind.SHARDED]) {
      const requestId = newId();
      const counter = await create(kind, { requestId });
      names--;
      expect(await create(kind, { requestId })).toBe(counter);
      names--;
      expect((await failureOf(create(kind))).reason).toBe('COUNTER_EXISTS');
      const deletion = { participant: '', counter, requestId: newId() };
      await mesh.call(counters.deleteCounter, deletion);
      await mesh.call(counters.deleteCounter, deletion, mesh.nodes[1]);
      expect((await failureOf(mesh.call(counters.deleteCounter, { ...deletion, requestId: newId() }))).reason).toBe('COUNTER_NOT_FOUND');
    }
  });

  test('bounds of other kinds than strong are refused at creation, with the reason', async () => {
    for (const kind of [Kind.SHARDED, Kind.QUEUED, Kind.REPLICATED]) {
      const failure = await failureOf(create(kind, { bounds: { minimum: 0n, maximum: undefined } }));
      expect([failure.reason, failure.violations?.[0]]).toEqual(['INVALID_FIELD', { field: 'bounds', description: expect.stringContaining('no place knows the value') as unknown }]);
    }
  });
});

describe('clusters', () => {
  test('C7: replicated counters of two clusters come to the same value, whichever was created first', async () => {
    const counter = await create(Kind.REPLICATED);
    await add(counter, 5n);
    const other = await startMesh({ partitions: 2, counters: ['counter'], counterPeers: [mesh.nodes[1]!.address] });
    try {
      const there = async () => (await other.call(counters.get, { participant: '', counter, consistency: 0, maxAge: undefined, transaction: undefined })).value!.value;
      await other.call(counters.createCounter, { participant: '', counter, kind: Kind.REPLICATED, bounds: undefined, initialValue: 0n, shards: 0, requestId: '' });
      await eventually(async () => (await there()) === 5n);
      await other.call(counters.add, { participant: '', counter, amount: -2n, token: undefined, transaction: undefined });
      await eventually(async () => (await get(counter)).value === 3n);
      await add(counter, 10n);
      await other.call(counters.add, { participant: '', counter, amount: 1n, token: undefined, transaction: undefined });
      await eventually(async () => (await there()) === 14n && (await get(counter)).value === 14n);
      // What tools carry is merged, too, and may come again.
      const states = [{ counter, components: [{ clusterId: 'third', partition: 0, added: 100n, subtracted: 1n }] }, { counter: 'unknown', components: [] }];
      for (let again = 0; again < 2; again++) {
        const merged = await mesh.call(counters.mergeState, { participant: '', states });
        expect(merged.states.map(({ components }) => components.some(({ clusterId }) => clusterId === 'third'))).toEqual([true, false]);
      }
      expect((await get(counter)).value).toBe(113n);
    } finally {
      await other.close();
    }
  });
});
