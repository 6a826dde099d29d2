/** Each kind of fault, on a node of a mesh over gRPC. */

import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { connect } from '../../client/index.ts';
import { FaultServiceService as faults, WriteFailure, type Fault } from '../../gen/txmesh/admin/v1/fault.ts';
import { CoordinatorServiceService as coordinator, State } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { KeyValueServiceService as keyvalue } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../../kernel/failure.ts';
import { failureOf, grpc, newId, putOp, startMesh, type Meshed } from '../router/testing/nodes.ts';

const KEY_VALUE = 'txmesh.keyvalue.v1.KeyValueService';
const COORDINATOR = 'txmesh.coordinator.v1.CoordinatorService';
const LATENCY = { seconds: 0n, nanos: 300_000_000 };
const LATENCY_MS = 300;
/** What timers may be early by. */
const EARLY_MS = 5;
const calls = (method: string, participant = ''): Fault['target'] => ({ $case: 'calls', value: { method, participant } });
const writes = (participant: string, partition?: number): Fault['target'] => ({ $case: 'writes', value: { participant, partition } });

let mesh: Meshed;
const start = async (settings: Parameters<typeof startMesh>[0] = {}): Promise<void> => {
  const started = (mesh = await startMesh({ faultInjection: true, partitions: 1, ...settings }));
  onTestFinished(() => started.close());
};

const inject = async (change: Partial<Fault>): Promise<Fault> => {
  const fault: Fault = {
    name: 'test',
    target: undefined,
    latency: undefined,
    effect: undefined,
    afterExecution: false,
    probability: 0,
    duration: undefined,
    expireTime: undefined,
    injections: 0,
    ...change,
  };
  return (await mesh.call(faults.setFault, { fault })).fault!;
};
const injections = async (): Promise<number[]> => (await mesh.call(faults.listFaults, {})).faults.map((fault) => fault.injections);
const clear = (name = '') => mesh.call(faults.clearFaults, { name });

const get = (participant: string) => mesh.call(keyvalue.get, { participant, collection: 'c', key: 'k', consistency: 0, transaction: undefined });
const put = (participant: string) =>
  mesh.call(keyvalue.put, { participant, collection: 'c', key: 'k', value: Buffer.from('1'), contentType: '', precondition: undefined, mergePolicy: 0, requestId: newId(), transaction: undefined });
const execute = (transactionId = newId()) =>
  mesh.call(coordinator.execute, { transactionId, operations: [putOp('inventory', 'k', '1'), putOp('payments', 'k', '1')], timeout: undefined, firstTryTime: undefined, mode: 0 });
const timed = async (work: Promise<unknown>): Promise<number> => {
  const startMs = performance.now();
  await work;
  return performance.now() - startMs;
};

describe('faults of calls', () => {
  beforeEach(() => start());

  test('latency makes calls of the method wait, and no others', async () => {
    const { latency, probability, expireTime } = await inject({ target: calls(`${KEY_VALUE}/Get`), latency: { minimum: LATENCY, maximum: undefined } });
    expect({ latency, probability }).toEqual({ latency: { minimum: LATENCY, maximum: LATENCY }, probability: 1 });
    expect(Number(expireTime!.seconds) * 1000).toBeGreaterThan(Date.now());
    expect(await timed(get('inventory'))).toBeGreaterThan(LATENCY_MS - EARLY_MS);
    await put('inventory');
    expect(await injections()).toEqual([1]);
  });

  test('an error ends calls of the participant, and of no other; cleared, it is over', async () => {
    await inject({ target: calls('', 'inventory'), effect: { $case: 'error', value: { code: 'UNAVAILABLE', message: '' } } });
    expect(await failureOf(get('inventory'))).toMatchObject({ reason: 'NO_LEADER', message: 'the fault "test" was injected', metadata: { fault: 'test' }, retryAfterMs: 100 });
    await get('payments');
    expect((await clear('other')).faults).toEqual([]);
    expect((await clear()).faults).toMatchObject([{ name: 'test', injections: 1 }]);
    await get('inventory');
  });

  test('an error after the execution loses the answer alone, and says nothing of a retry', async () => {
    await inject({ target: calls(`${COORDINATOR}/Execute`), effect: { $case: 'error', value: { code: 'UNKNOWN', message: 'lost' } }, afterExecution: true });
    const id = newId();
    const failure: Failure = await failureOf(execute(id));
    expect(failure).toMatchObject({ reason: 'OUTCOME_UNKNOWN', message: 'lost' });
    expect(failure.retryAfterMs).toBeUndefined();
    await clear();
    const { transaction } = await execute(id);
    expect([State.COMMITTING, State.COMMITTED]).toContain(transaction!.state);
  });

  test('a cut connection loses every call on it, and the next one connects anew', async () => {
    await inject({ target: calls(`${KEY_VALUE}/*`, 'payments'), effect: { $case: 'dropConnection', value: true }, probability: 1 });
    const failures = await Promise.all([failureOf(get('payments')), failureOf(get('payments'))]);
    for (const { reason } of failures) expect(['OUTCOME_UNKNOWN', 'NO_LEADER']).toContain(reason);
    await clear();
    await get('payments');
  });

  test('of a stream each message counts, in its order', async () => {
    await inject({ target: calls(`${COORDINATOR}/ExecuteStream`), latency: { minimum: LATENCY, maximum: undefined } });
    const client = connect(mesh.nodes[0]!.address);
    onTestFinished(() => client.close());
    const transaction = (value: string) => client.transaction((tx) => {
        tx.put('inventory', 'c', value, value);
        tx.put('payments', 'c', value, value);
        return Promise.resolve();
      });
    expect(await timed(transaction('1'))).toBeGreaterThan(LATENCY_MS - EARLY_MS);
    await Promise.all(['2', '3', '4'].map(transaction));
    const [struck] = await injections();
    expect(struck).toBeGreaterThan(1);
    await clear();
    await inject({ target: calls(`${COORDINATOR}/ExecuteStream`), effect: { $case: 'error', value: { code: 'DRAINING', message: '' } }, probability: 0.5 });
    await Promise.all(['5', '6', '7', '8'].map(transaction));
    await inject({ target: calls(`${COORDINATOR}/ExecuteStream`), effect: { $case: 'dropConnection', value: true }, probability: 0.5 });
    await Promise.all(['9', '10', '11', '12'].map(transaction));
  });
});

describe('faults of writes', () => {
  test('latency makes the partition slow', async () => {
    await start();
    await inject({ target: writes('inventory', 0), latency: { minimum: LATENCY, maximum: undefined } });
    expect(await timed(put('inventory'))).toBeGreaterThan(LATENCY_MS - EARLY_MS);
    const [struck] = await injections();
    expect(struck).toBeGreaterThan(0);
    expect(mesh.log.filter((line) => line.startsWith('fault injected')).every((line) => line.includes('"participant":"inventory","partition":0'))).toBe(true);
  });

  test.each([
    ['UNAVAILABLE', WriteFailure.UNAVAILABLE],
    ['FULL', WriteFailure.FULL],
  ])('%s is tried again until it is over', async (_name, value) => {
    await start();
    await inject({ target: writes('inventory'), effect: { $case: 'writeFailure', value }, duration: { seconds: 0n, nanos: 300_000_000 } });
    await put('inventory');
    expect((await mesh.call(faults.listFaults, {})).faults).toEqual([]);
    expect(mesh.log.filter((line) => line.startsWith('fault '))).toEqual([
      expect.stringContaining('fault set'),
      expect.stringContaining('fault injected'),
      expect.stringContaining('"why":"expired"'),
    ]);
  });

  test.each([
    ['written', WriteFailure.AMBIGUOUS_WRITTEN, '1'],
    ['not written', WriteFailure.AMBIGUOUS_NOT_WRITTEN, undefined],
  ])('an ambiguous one that was %s ends the term, and the next leader finds out', async (_what, value, found) => {
    await start();
    await inject({ target: writes('inventory'), effect: { $case: 'writeFailure', value } });
    expect(await failureOf(put('inventory'))).toMatchObject({ reason: 'OUTCOME_UNKNOWN', message: expect.stringContaining('the fault "test" was injected') as string });
    await clear();
    await mesh.nodes[0]!.ready();
    const { entry } = await get('inventory');
    expect(entry!.absent ? undefined : entry!.value.toString()).toBe(found);
  });
});

test.each<[string, Partial<Fault>, RegExp]>([
  ['a name', { name: 'No' }, /fault\.name must be of a-z/],
  ['a target', { target: undefined }, /fault\.target must be there/],
  ['a method that is none', { target: calls('Get') }, /fault\.calls\.method must be like/],
  ['a method that nobody serves', { target: calls('a.B/C') }, /fault\.calls\.method is no method/],
  ['itself', { target: calls('txmesh.admin.v1.FaultService/*') }, /fault\.calls\.method is no method/],
  ['no effect', {}, /fault\.effect must be there, or a latency/],
  ['a long latency', { latency: { minimum: { seconds: 61n, nanos: 0 }, maximum: undefined } }, /fault\.latency must be above 0/],
  ['a maximum below the minimum', { latency: { minimum: LATENCY, maximum: { seconds: 0n, nanos: 1e6 } } }, /fault\.latency/],
  ['an unknown code', { effect: { $case: 'error', value: { code: 'BROKEN', message: '' } } }, /fault\.error\.code must be a reason/],
  ['a name that every object has for a code', { effect: { $case: 'error', value: { code: 'toString', message: '' } } }, /fault\.error\.code must be a reason/],
  ['a write failure of calls', { effect: { $case: 'writeFailure', value: WriteFailure.FULL } }, /fault\.write_failure can't strike calls/],
  ['an error of writes', { target: writes(''), effect: { $case: 'error', value: { code: 'INTERNAL', message: '' } } }, /fault\.error can't strike writes/],
  ['a latency after the execution', { latency: { minimum: LATENCY, maximum: undefined }, afterExecution: true }, /fault\.after_execution/],
  ['a probability', { probability: 2 }, /fault\.probability/],
  ['more than an hour', { duration: { seconds: 3601n, nanos: 0 } }, /fault\.duration must be from 1ms to 1h/],
])('a fault with %s is refused with what is wrong', async (_what, change, message) => {
  await start();
  const failure = await failureOf(inject({ target: calls(''), ...change }));
  expect(failure).toMatchObject({ reason: 'INVALID_FIELD', message: expect.stringMatching(message) as string });
  expect(failure.violations!.length).toBeGreaterThan(0);
});

test('a server without the flag has no such service, and tells of none', async () => {
  await start({ faultInjection: false });
  expect(await failureOf(inject({ target: calls('') }))).toMatchObject({ metadata: { status: 'UNIMPLEMENTED' } });
  expect(await listed()).not.toContain('FaultService');
  await start();
  expect(await listed()).toContain('txmesh.admin.v1.FaultService');
});

/** The services that reflection lists, as bytes of its answer. */
async function listed(): Promise<string> {
  const client = new grpc.Client(mesh.nodes[0]!.address, grpc.credentials.createInsecure());
  onTestFinished(() => client.close());
  const asIs = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', asIs, asIs);
  // ServerReflectionRequest.list_services, field 7, with any text.
  call.write(Buffer.from([0x3a, 0x01, 0x2a]));
  call.end();
  const answers: Buffer[] = [];
  for await (const answer of call) answers.push(answer as Buffer);
  return Buffer.concat(answers).toString('latin1');
}
