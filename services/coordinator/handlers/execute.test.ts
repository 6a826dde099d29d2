import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConflictDetail, KeyValueServiceService as keyvalue } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { CoordinatorServiceService as coordinator, type ExecuteRequest, State, type Transaction } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import { findFailure } from '../../runtime/router/rules.ts';
import { ABSENT, checkOp, failureOf, newId, putOp, startMesh, VERSION, type Meshed } from '../../runtime/router/testing/nodes.ts';
import { executeCall, executeRequest, isPlainCall, isPlainExecute } from './validate.ts';

let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: 4 });
});
afterAll(() => mesh.close());

const request = (fields: Partial<ExecuteRequest>): ExecuteRequest => ({
  transactionId: newId(),
  operations: [putOp('inventory', 'a', '1')],
  timeout: undefined,
  firstTryTime: undefined,
  mode: 0,
  ...fields,
});

async function execute(fields: Partial<ExecuteRequest>): Promise<Transaction> {
  return (await mesh.call(coordinator.execute, request(fields))).transaction!;
}

async function read(participant: string, key: string): Promise<string | undefined> {
  const { entry } = await mesh.call(keyvalue.get, { participant, collection: 'stock', key, consistency: 0, transaction: undefined });
  return entry!.absent ? undefined : Buffer.from(entry!.value).toString();
}

describe('Execute', () => {
  test('changes two participants, and the changes can be read at once', async () => {
    const { state, branches, attempt, decideTime } = await execute({
      operations: [putOp('inventory', 'apples', '9'), putOp('payments', 'ann', '42')],
    });
    expect([State.COMMITTING, State.COMMITTED]).toContain(state);
    expect(branches).toEqual([]);
    expect(attempt!.epoch).toBeGreaterThan(0);
    expect(decideTime).toBeDefined();
    expect([await read('inventory', 'apples'), await read('payments', 'ann')]).toEqual(['9', '42']);
  });

  test('changes nothing anywhere where one precondition does not hold, and says which', async () => {
    await execute({ operations: [putOp('payments', 'bob', '1')] });
    const { state, cause } = await execute({
      operations: [putOp('inventory', 'pears', '1'), putOp('payments', 'bob', '2', ABSENT)],
    });
    expect(state).toBe(State.ABORTED);
    const { reason, detail } = statusToFailure(cause!);
    expect(reason).toBe('PRECONDITION_FAILED');
    const conflict = ConflictDetail.decode(detail!.value);
    expect([conflict.participant, conflict.key, conflict.expected]).toEqual(['payments', 'bob', 'absent']);
    expect(await read('inventory', 'pears')).toBeUndefined();
  });

  test('chooses an id where none is given', async () => {
    expect((await execute({ transactionId: '' })).transactionId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('the same id with the same content has the same outcome, with another it is refused (T10)', async () => {
    const transactionId = newId();
    const first = await execute({ transactionId, operations: [putOp('inventory', 'once', '1', ABSENT)] });
    const again = await execute({ transactionId, operations: [putOp('inventory', 'once', '1', ABSENT)] });
    expect(again.attempt).toEqual(first.attempt);
    const reused = await failureOf(execute({ transactionId, operations: [putOp('inventory', 'once', '2', ABSENT)] }));
    expect(reused.reason).toBe('TRANSACTION_ID_REUSED');
  });

  test('a transaction of checks alone reads', async () => {
    await execute({ operations: [putOp('inventory', 'c1', '1'), putOp('payments', 'c2', '1')] });
    const good = await execute({ operations: [checkOp('inventory', 'c0', ABSENT), checkOp('payments', 'c3', VERSION(0))] });
    expect(good.state).not.toBe(State.ABORTED);
    const bad = await execute({ operations: [checkOp('inventory', 'c1', ABSENT), checkOp('payments', 'c3', VERSION(0))] });
    expect(bad.state).toBe(State.ABORTED);
  });

  test('an id far in the future is refused', async () => {
    const far = (Date.now() + 600_000).toString(16).padStart(12, '0');
    const transactionId = `${far.slice(0, 8)}-${far.slice(8)}-7000-8000-000000000000`;
    expect((await failureOf(execute({ transactionId }))).reason).toBe('TRANSACTION_ID_IN_FUTURE');
  });
});

describe('bad input', () => {
  const bad: [string, Partial<ExecuteRequest>, string, string?][] = [
    ['an id of another form', { transactionId: 'X' }, 'INVALID_FIELD', 'transaction_id'],
    ['a UUID of another version', { transactionId: '01a1fde8-f485-4f13-8fe2-ffd72457303d' }, 'INVALID_FIELD', 'transaction_id'],
    ['no operations', { operations: [] }, 'INVALID_FIELD', 'operations'],
    ['an unknown participant', { operations: [putOp('nobody', 'a', '1')] }, 'UNKNOWN_PARTICIPANT', 'operations[0].participant'],
    ['the coordinator as a participant', { operations: [putOp('coordinator', 'a', '1')] }, 'UNKNOWN_PARTICIPANT'],
    ['a name of another form', { operations: [putOp('No!', 'a', '1')] }, 'INVALID_FIELD', 'operations[0].participant'],
    ['an empty routing key', { operations: [{ ...putOp('inventory', 'a', '1'), routingKey: '' }] }, 'INVALID_FIELD', 'operations[0].routing_key'],
    ['a long routing key', { operations: [{ ...putOp('inventory', 'a', '1'), routingKey: 'é'.repeat(513) }] }, 'LIMIT_EXCEEDED', 'operations[0].routing_key'],
    ['an operation that is not set', { operations: [{ ...putOp('inventory', 'a', '1'), operation: undefined }] }, 'INVALID_FIELD', 'operations[0].operation'],
    ['a type URL of another form', { operations: [{ ...putOp('inventory', 'a', '1'), operation: { typeUrl: 'x', value: Buffer.alloc(0) } }] }, 'INVALID_FIELD', 'operations[0].operation.type_url'],
    ['a timeout of zero', { timeout: { seconds: 0n, nanos: 0 } }, 'INVALID_FIELD', 'timeout'],
    ['a long timeout', { timeout: { seconds: 601n, nanos: 0 } }, 'INVALID_FIELD', 'timeout'],
    ['a first try before 1970', { firstTryTime: { seconds: -1n, nanos: 0 } }, 'INVALID_FIELD', 'first_try_time'],
    ['an unknown mode', { mode: 7 as never }, 'INVALID_FIELD', 'mode'],
    ['too many operations', { operations: Array.from({ length: 4097 }, () => putOp('inventory', 'a', '1')) }, 'LIMIT_EXCEEDED', 'operations'],
  ];

  test.each(bad)('%s', async (_, fields, reason, field) => {
    const failure = await failureOf(execute(fields));
    expect(failure.reason).toBe(reason);
    if (field !== undefined) expect(failure.violations?.[0]?.field).toBe(field);
  });

  test('a branch over 1 MiB is refused before it is prepared, naming the limit', async () => {
    const half = 'x'.repeat(600_000);
    const failure = await failureOf(execute({ operations: [putOp('inventory', '{k}1', half), putOp('inventory', '{k}2', half)].map((op) => ({ ...op, routingKey: 'k' })) }));
    expect(failure).toMatchObject({ reason: 'LIMIT_EXCEEDED', message: expect.stringContaining('1048576 bytes'), metadata: { limit: 'branch bytes' } });
  });

  test.each([
    ['an unknown type of operation', 'type.googleapis.com/txmesh.keyvalue.v1.Nothing', Buffer.alloc(0), 'UNKNOWN_OPERATION'],
    ['an operation that can not be decoded', 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation', Buffer.from([0xff, 0xff]), 'MALFORMED_MESSAGE'],
    ['an operation with invalid UTF-8', 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation', Buffer.from([0x0a, 1, 0xff]), 'MALFORMED_MESSAGE'],
    ['an operation without a key', 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation', Buffer.alloc(0), 'INVALID_FIELD'],
  ])('%s aborts the transaction, whose cause says so', async (_, typeUrl, value, reason) => {
    const { state, cause } = await execute({ operations: [{ participant: 'inventory', routingKey: 'a', operation: { typeUrl, value } }] });
    expect(state).toBe(State.ABORTED);
    expect(statusToFailure(cause!).reason).toBe(reason);
  });

  test('a key that belongs to another partition than its routing key aborts the transaction', async () => {
    const operations = ['a', 'b', 'c', 'd', 'e', 'f'].map((routingKey) => ({ ...putOp('inventory', 'a', '1'), routingKey }));
    const { state, cause } = await execute({ operations });
    expect(state).toBe(State.ABORTED);
    expect(statusToFailure(cause!).reason).toBe('WRONG_PARTITION');
  });
});

describe('the fast look at a request', () => {
  const operations = fc.array(
    fc.record({
      participant: fc.constantFrom('inventory', 'payments'),
      routingKey: fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('', 'é'.repeat(513), 'x'.repeat(1024))),
      operation: fc.option(
        fc.record({ typeUrl: fc.oneof(fc.string(), fc.constantFrom('a/b.C', '/A', 'é/b', `a/${'b'.repeat(300)}`)), value: fc.constant(new Uint8Array(0)) }),
        { nil: undefined },
      ),
    }),
    { maxLength: 3 },
  );
  const time = fc.option(
    fc.record({ seconds: fc.oneof(fc.bigInt({ min: -2n, max: 700n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })), nanos: fc.oneof(fc.integer(), fc.constantFrom(0, 1_000_000)) }),
    { nil: undefined },
  );
  const arbitrary = fc.record({
    transactionId: fc.oneof(fc.constantFrom('', newId(), newId().toUpperCase()), fc.string()),
    operations,
    timeout: time,
    firstTryTime: time,
    mode: fc.constantFrom(0, 1, 2, -1) as fc.Arbitrary<ExecuteRequest['mode']>,
  });

  test('passes nothing that the rules refuse', () => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        if (isPlainExecute(message)) expect(findFailure(executeRequest, message)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(arbitrary, time, fc.string(), (message, remaining, traceparent) => {
        const call = { sequence: 1, request: message, remaining, traceparent };
        if (isPlainCall(call)) expect(findFailure(executeCall, call)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });

  test('passes an everyday request', () => {
    const everyday = request({ timeout: { seconds: 5n, nanos: 0 } });
    expect(isPlainCall({ sequence: 1, request: everyday, remaining: { seconds: 1n, nanos: 5 }, traceparent: '' })).toBe(true);
  });
});

test('a transaction over more partitions than branches are allowed is refused, naming the limit', async () => {
  const many = await startMesh({ partitions: 200, participants: ['wide'] });
  try {
    const operations = Array.from({ length: 1000 }, (_, i) => putOp('wide', `k${i}`, '1'));
    const failure = await failureOf(many.call(coordinator.execute, request({ operations })));
    expect(failure).toMatchObject({ reason: 'LIMIT_EXCEEDED', message: expect.stringContaining('128 branches'), metadata: { limit: 'branches' } });
    const allowed = await many.call(coordinator.execute, request({ operations: operations.slice(0, 100) }));
    expect(allowed.transaction!.state).not.toBe(State.ABORTED);
  } finally {
    await many.close();
  }
});
