import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CoordinatorServiceService as coordinator } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import {
  Consistency,
  KeyValueServiceService as keyvalue,
  MergePolicy,
  type DeleteRequest,
  type Entry,
  type GetRequest,
  type PutRequest,
  type ScanRequest,
  type WatchRequest,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { partitionOf } from '../../kernel/hash.ts';
import { ABSENT, checkOp, deleteOp, failureOf, newId, putOp, startMesh, until, VERSION, type Meshed } from '../../runtime/router/testing/nodes.ts';

const PARTITIONS = 4;
let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: PARTITIONS, historyLimit: 2 });
});
afterAll(() => mesh.close());

const named = { participant: 'inventory', collection: 'stock' };

const put = (key: string, value: string, fields: Partial<PutRequest> = {}) =>
  mesh.call(keyvalue.put, {
    ...named,
    key,
    value: Buffer.from(value),
    contentType: 'text/plain',
    precondition: undefined,
    mergePolicy: 0,
    requestId: '',
    transaction: undefined,
    ...fields,
  });

const get = (key: string, fields: Partial<GetRequest> = {}) =>
  mesh.call(keyvalue.get, { ...named, key, consistency: 0, transaction: undefined, ...fields });

const remove = (key: string, fields: Partial<DeleteRequest> = {}) =>
  mesh.call(keyvalue.delete, { ...named, key, precondition: undefined, requestId: '', transaction: undefined, ...fields });

const scan = (fields: Partial<ScanRequest> = {}) =>
  mesh.call(keyvalue.scan, { ...named, prefix: '', pageSize: 0, pageToken: '', ...fields });

const text = (entry: Entry | undefined): string => Buffer.from(entry!.value).toString();

describe('one key', () => {
  test('is put, read, deleted and gone', async () => {
    const { version } = await put('k', 'v');
    const { entry } = await get('k');
    expect([text(entry), entry!.contentType, entry!.version, entry!.absent]).toEqual(['v', 'text/plain', version, false]);
    expect(entry!.updateTime).toBeDefined();
    expect(text((await get('k', { consistency: Consistency.EVENTUAL })).entry)).toBe('v');
    expect((await remove('k')).version).toBeGreaterThan(version);
    expect((await get('k')).entry!.absent).toBe(true);
  });

  test('a put under a request id happens once (K6)', async () => {
    const requestId = newId();
    const first = await put('once', '1', { requestId, precondition: ABSENT });
    const again = await put('once', '1', { requestId, precondition: ABSENT });
    expect(again.version).toBe(first.version);
    expect((await failureOf(put('once', '2', { requestId, precondition: ABSENT }))).reason).toBe('TRANSACTION_ID_REUSED');
  });

  test('a precondition that does not hold names what is there', async () => {
    const { version } = await put('pre', '1');
    const failure = await failureOf(put('pre', '2', { precondition: VERSION(version + 1) }));
    expect(failure.reason).toBe('PRECONDITION_FAILED');
    expect(failure.detail?.typeUrl).toContain('ConflictDetail');
    await put('pre', '2', { precondition: VERSION(version) });
    expect((await failureOf(remove('pre', { precondition: ABSENT }))).reason).toBe('PRECONDITION_FAILED');
  });

  test('documents are merged against the version that they were made from', async () => {
    const { version } = await put('doc', '{"a":1,"b":1}');
    await put('doc', '{"a":2,"b":1}');
    const merged = { mergePolicy: MergePolicy.JSON_THREE_WAY, precondition: VERSION(version) };
    await put('doc', '{"a":1,"b":3}', merged);
    expect(JSON.parse(text((await get('doc')).entry))).toEqual({ a: 2, b: 3 });
    await put('doc', '{"b":null}', { mergePolicy: MergePolicy.JSON_MERGE_PATCH });
    expect(JSON.parse(text((await get('doc')).entry))).toEqual({ a: 2 });
  });

  test('earlier versions are listed, newest first', async () => {
    for (const value of ['1', '2', '3', '4']) await put('old', value);
    const { versions } = await mesh.call(keyvalue.listVersions, { ...named, key: 'old' });
    expect(versions.map(text)).toEqual(['4', '3', '2']);
  });
});

describe('bad input', () => {
  const everywhere: [string, object, string, string][] = [
    ['no participant', { participant: '' }, 'INVALID_FIELD', 'participant'],
    ['no collection', { collection: '' }, 'INVALID_FIELD', 'collection'],
    ['a long collection', { collection: 'c'.repeat(65) }, 'INVALID_FIELD', 'collection'],
    ['a collection with a slash', { collection: 'a/b' }, 'INVALID_FIELD', 'collection'],
    ['no key', { key: '' }, 'INVALID_FIELD', 'key'],
    ['a long key', { key: 'é'.repeat(513) }, 'LIMIT_EXCEEDED', 'key'],
    ['a control character', { key: 'a\u0000b' }, 'INVALID_FIELD', 'key'],
    ['an unknown participant', { participant: 'nobody' }, 'UNKNOWN_PARTICIPANT', 'participant'],
    ['the coordinator', { participant: 'coordinator' }, 'UNKNOWN_PARTICIPANT', 'participant'],
  ];
  test.each(everywhere)('%s', async (_, fields, reason, field) => {
    for (const call of [get('k', fields), put('k', 'v', fields), remove('k', fields), mesh.call(keyvalue.listVersions, { ...named, key: 'k', ...fields })])
      expect(await failureOf(call)).toMatchObject({ reason, violations: expect.arrayContaining([expect.objectContaining({ field })]) });
  });

  test.each<[string, Partial<PutRequest>, string, string]>([
    ['a large value', { value: Buffer.alloc(1024 * 1024 + 1) }, 'LIMIT_EXCEEDED', 'value'],
    ['a long content type', { contentType: 'x'.repeat(256) }, 'LIMIT_EXCEEDED', 'content_type'],
    ['an empty precondition', { precondition: { condition: undefined } }, 'INVALID_FIELD', 'precondition.condition'],
    ['absent: false', { precondition: { condition: { $case: 'absent', value: false } } }, 'INVALID_FIELD', 'precondition.absent'],
    ['a version beyond 2^53', { precondition: { condition: { $case: 'version', value: 2n ** 60n } } }, 'INVALID_FIELD', 'precondition.version'],
    ['an unknown policy', { mergePolicy: 9 as never }, 'INVALID_FIELD', 'merge_policy'],
    ['a merge without a base', { mergePolicy: MergePolicy.JSON_THREE_WAY }, 'INVALID_FIELD', 'precondition.version'],
    ['a request id of another form', { requestId: 'r' }, 'INVALID_FIELD', 'request_id'],
    ['two identities', { requestId: newId(), transaction: { transactionId: newId(), attempt: { epoch: 1, counter: 1 } } }, 'INVALID_FIELD', 'request_id'],
    ['a transaction without attempt', { transaction: { transactionId: newId(), attempt: undefined } }, 'INVALID_FIELD', 'transaction.attempt'],
  ])('a put with %s', async (_, fields, reason, field) => {
    expect(await failureOf(put('k', 'v', fields))).toMatchObject({ reason, violations: [{ field }] });
  });

  test.each<[string, Partial<GetRequest>]>([
    ['serializable', { consistency: Consistency.SERIALIZABLE }],
    ['unknown', { consistency: 77 as never }],
    ['eventual within a transaction', { consistency: Consistency.EVENTUAL, transaction: { transactionId: newId(), attempt: { epoch: 1, counter: 1 } } }],
  ])('a get with a consistency that is %s', async (_, fields) => {
    expect(await failureOf(get('k', fields))).toMatchObject({ reason: 'INVALID_FIELD', violations: [{ field: 'consistency' }] });
  });
});

describe('ExecuteLocal', () => {
  const local = (operations: ReturnType<typeof putOp>[], fields: object = {}) =>
    mesh.call(keyvalue.executeLocal, { transactionId: newId(), operations, timeout: undefined, firstTryTime: undefined, ...fields });
  const at = (op: ReturnType<typeof putOp>) => ({ ...op, routingKey: 't' });

  test('carries out the operations of one partition in one write, or none of them', async () => {
    const { revision } = await local([putOp('inventory', '{t}1', '1'), putOp('inventory', '{t}2', '1')].map(at));
    expect((await get('{t}1')).entry!.version).toBe(revision);
    expect((await failureOf(local([putOp('inventory', '{t}3', '1'), checkOp('inventory', '{t}1', ABSENT)].map(at)))).reason).toBe('PRECONDITION_FAILED');
    expect((await get('{t}3')).entry!.absent).toBe(true);
    await local([deleteOp('inventory', '{t}1')].map(at));
    expect((await get('{t}1')).entry!.absent).toBe(true);
  });

  test('a refusal is remembered under its id (K6)', async () => {
    const transactionId = newId();
    const operations = [checkOp('inventory', '{t}4', VERSION(17))].map(at);
    expect((await failureOf(local(operations, { transactionId }))).reason).toBe('PRECONDITION_FAILED');
    expect((await failureOf(local(operations, { transactionId }))).reason).toBe('PRECONDITION_FAILED');
    expect((await failureOf(local([putOp('inventory', '{t}4', '1')].map(at), { transactionId }))).reason).toBe('TRANSACTION_ID_REUSED');
  });

  test.each([
    ['no id', [putOp('inventory', 'a', '1')], { transactionId: '' }, 'INVALID_FIELD'],
    ['no operations', [], {}, 'INVALID_FIELD'],
    ['two participants', [putOp('inventory', 'a', '1'), putOp('payments', 'a', '1')], {}, 'WRONG_PARTITION'],
    ['two partitions', ['a', 'b', 'c', 'd', 'e'].map((key) => putOp('inventory', key, '1')), {}, 'WRONG_PARTITION'],
    ['a key of another partition', ['a', 'b', 'c', 'd', 'e'].map((key) => at(putOp('inventory', key, '1'))), {}, 'WRONG_PARTITION'],
    ['too many operations', Array.from({ length: 121 }, () => putOp('inventory', 'a', '1')), {}, 'LIMIT_EXCEEDED'],
    ['an unknown type', [{ ...putOp('inventory', 'a', '1'), operation: { typeUrl: 'a/b.C', value: Buffer.alloc(0) } }], {}, 'UNKNOWN_OPERATION'],
    ['a timeout of zero', [putOp('inventory', 'a', '1')], { timeout: { seconds: 0n, nanos: 0 } }, 'INVALID_FIELD'],
  ])('%s is refused', async (_, operations, fields, reason) => {
    expect((await failureOf(local(operations, fields))).reason).toBe(reason);
  });
});

describe('BatchGet', () => {
  const keys = Array.from({ length: 30 }, (_, i) => `bg${i}`);
  const batch = (consistency: Consistency, names = keys) =>
    mesh.call(keyvalue.batchGet, { participant: 'inventory', keys: names.map((key) => ({ collection: 'stock', key })), consistency });

  test.each([Consistency.UNSPECIFIED, Consistency.LINEARIZABLE, Consistency.EVENTUAL, Consistency.SERIALIZABLE])(
    'answers in the order of the question, consistency %s',
    async (consistency) => {
      await Promise.all(keys.slice(0, 20).map((key) => put(key, key)));
      const { entries } = await batch(consistency);
      expect(entries.map(({ key }) => key)).toEqual(keys);
      expect(entries.map(({ absent }) => absent)).toEqual(keys.map((_, i) => i >= 20));
    },
  );

  test('K1 an absent key that came and went has another version, and the same one as long as nothing happens', async () => {
    const versions = async () => (await batch(Consistency.SERIALIZABLE, ['gone1', 'gone2', 'gone3'])).entries.map(({ version, absent }) => absent && version);
    const before = await versions();
    expect(await versions()).toEqual(before);
    await put('gone1', 'v');
    const { version } = await mesh.call(keyvalue.delete, { ...named, key: 'gone1', precondition: undefined, requestId: '', transaction: undefined });
    expect(await versions()).toEqual([version, before[1], before[2]]);
  });

  test('serializable, it shows what all keys were at one moment', async () => {
    const [a, b] = ['sa', keys.find((key) => partitionOf(key, PARTITIONS) !== partitionOf('sa', PARTITIONS))!];
    const write = (value: string) =>
      mesh.call(coordinator.execute, {
        transactionId: '',
        operations: [putOp('inventory', a, value), putOp('inventory', b, value)],
        timeout: undefined,
        firstTryTime: undefined,
        mode: 0,
      });
    await write('0');
    let writing = true;
    let written = 0;
    const writer = (async () => {
      while (writing) await write(String(++written));
    })();
    let seen = 0;
    while (seen < 30) {
      const answer = await batch(Consistency.SERIALIZABLE, [a, b]).catch((error: { failure: { reason: string } }) => error);
      if ('failure' in answer) expect(answer.failure.reason).toBe('LOCK_CONFLICT');
      else {
        expect(text(answer.entries[0])).toBe(text(answer.entries[1]));
        seen++;
      }
      if (seen === 15) writing = false;
    }
    await writer;
    expect(written).toBeGreaterThan(0);
  });

  test.each([
    ['no keys', []],
    ['too many keys', Array.from({ length: 1001 }, (_, i) => `k${i}`)],
    ['an empty key', ['']],
  ])('%s are refused', async (_, names) => {
    expect((await failureOf(batch(0, names))).reason).toMatch(/INVALID_FIELD|LIMIT_EXCEEDED/);
  });
});

describe('Scan', () => {
  const keys = ['a', 'a1', 'a\u{10000}', 'a\uffff', 'ab', 'b', 'é', 'z{x}1', '{x}z'];
  beforeAll(async () => {
    for (const key of keys) await put(key, key, { collection: 'scanned' });
    await put('gone', 'x', { collection: 'scanned' });
    await remove('gone', { collection: 'scanned' });
    await put('a', 'other', { collection: 'scanned2' });
  });
  const inOrder = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

  async function scanAll(fields: Partial<ScanRequest>): Promise<string[]> {
    const found: string[] = [];
    let pageToken = '';
    do {
      const page = await scan({ collection: 'scanned', ...fields, pageToken });
      expect(page.entries.length).toBeLessThanOrEqual(fields.pageSize || 100);
      found.push(...page.entries.map(({ key }) => key));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return found;
  }

  test.each([0, 1, 2, 5])('gives the keys in the order of their bytes, pages of %s', async (pageSize) => {
    expect(await scanAll({ pageSize })).toEqual(inOrder);
  });

  test.each(['a', 'a\u{10000}', 'é', '{', 'nothing'])('gives only keys with the prefix %j', async (prefix) => {
    expect(await scanAll({ prefix, pageSize: 2 })).toEqual(inOrder.filter((key) => key.startsWith(prefix)));
  });

  test('a page ends at 2 MiB', async () => {
    const large = 'x'.repeat(900_000);
    for (let i = 0; i < 6; i++) await put(`l${i}`, large, { collection: 'large' });
    const page = await scan({ collection: 'large', pageSize: 100 });
    expect(page.entries.length).toBe(2);
    expect(await scanAll({ collection: 'large' })).toHaveLength(6);
  });

  test('a key that a transaction holds is waited for', async () => {
    const operations = [putOp('inventory', 'held', '1'), putOp('payments', 'held', '1')];
    await mesh.call(coordinator.execute, { transactionId: '', operations, timeout: undefined, firstTryTime: undefined, mode: 0 });
    expect((await scan({ prefix: 'held' })).entries.map(({ key }) => key)).toEqual(['held']);
  });

  test.each([
    ['a token of another question', { prefix: 'b', pageToken: 'x' }, 'page_token'],
    ['a large page', { pageSize: 1001 }, 'page_size'],
    ['a prefix with a control character', { prefix: '\n' }, 'prefix'],
  ])('%s is refused', async (_, fields, field) => {
    expect(await failureOf(scan(fields))).toMatchObject({ reason: 'INVALID_FIELD', violations: [{ field }] });
  });
});

describe('Watch', () => {
  const watch = (fields: Partial<WatchRequest> = {}) => {
    const controller = new AbortController();
    const request = { participant: 'payments', collection: '', prefix: '', revisions: [], ...fields };
    return { stream: mesh.channels.stream(mesh.nodes[0]!.address, keyvalue.watch, request, { signal: controller.signal }), end: () => controller.abort() };
  };
  const write = (key: string, value: string) => put(key, value, { participant: 'payments' });

  test('tells changes, resumes after any revision, and says what was replaced', async () => {
    const live = watch();
    const start = new Map<number, { partition: number; revision: number }>();
    await until(live.stream, ({ revision }) => start.set(revision!.partition, revision!).size === PARTITIONS);
    for (let i = 0; i < 10; i++) await write(`w${i % 5}`, String(i));
    await remove('w0', { participant: 'payments' });
    const seen: string[] = [];
    await until(live.stream, ({ events }) => {
      seen.push(...events.map(({ entry }) => `${entry!.key}=${entry!.absent ? 'deleted' : text(entry)}`));
      return seen.length === 11;
    });
    for (let i = 0; i < 5; i++) expect(seen.filter((change) => change.startsWith(`w${i}`)).slice(0, 2)).toEqual([`w${i}=${i}`, `w${i}=${i + 5}`]);
    live.end();
    const replayed: [string, boolean][] = [];
    const resumed = watch({ revisions: [...start.values()] });
    await until(resumed.stream, ({ events }) => {
      replayed.push(...events.map(({ entry, superseded }): [string, boolean] => [entry!.key, superseded]));
      return replayed.length === 11;
    });
    resumed.end();
    expect(replayed.filter(([key]) => key === 'w0')).toHaveLength(3);
  });

  test('only what is asked for is told', async () => {
    const { stream, end } = watch({ collection: 'stock', prefix: 'only' });
    const partitions = new Set<number>();
    await until(stream, ({ revision }) => partitions.add(revision!.partition).size === PARTITIONS);
    await put('only1', '1', { participant: 'payments', collection: 'stick' });
    await write('nly', '1');
    await write('only1', '2');
    const told = await until(stream, ({ events }) => events.length > 0);
    expect(told.at(-1)!.events.map(({ entry }) => text(entry))).toEqual(['2']);
    end();
  });

  test.each([
    ['a partition that there is not', { revisions: [{ partition: PARTITIONS, revision: 0 }] }, 'INVALID_FIELD'],
    ['a revision that is ahead', { revisions: [{ partition: 0, revision: 1e12 }] }, 'INVALID_FIELD'],
    ['a partition twice', { revisions: [{ partition: 0, revision: 0 }, { partition: 0, revision: 0 }] }, 'INVALID_FIELD'],
    ['an unknown participant', { participant: 'nobody' }, 'UNKNOWN_PARTICIPANT'],
  ])('%s is refused', async (_, fields, reason) => {
    expect((await failureOf(until(watch(fields).stream, () => false))).reason).toBe(reason);
  });
});

test('a revision whose changes are collected is refused, naming the oldest that is kept', async () => {
  const short = await startMesh({ partitions: 1, retentionMs: 1000 });
  try {
    const request = { ...named, key: 'k', value: Buffer.from('v'), contentType: '', precondition: undefined, mergePolicy: 0 as const, requestId: '', transaction: undefined };
    const watched = { participant: 'inventory', collection: '', prefix: '', revisions: [{ partition: 0, revision: 0 }] };
    const refusal = async (): Promise<unknown> => {
      await short.call(keyvalue.put, request);
      const stream = short.channels.stream(short.nodes[0]!.address, keyvalue.watch, watched);
      const failure = await stream.next().then(() => undefined, (error: { failure: unknown }) => error.failure);
      await stream.return(undefined);
      return failure;
    };
    // Not as fast as it can: HTTP/2 closes a session whose streams are cancelled by the thousand.
    await expect
      .poll(refusal, { interval: 100, timeout: 30_000 })
      .toMatchObject({ reason: 'POSITION_COMPACTED', message: expect.stringMatching(/oldest revision to continue after is [1-9]/) });
  } finally {
    await short.close();
  }
}, 60_000);
