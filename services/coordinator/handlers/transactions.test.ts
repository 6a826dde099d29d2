import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BranchState,
  CoordinatorServiceService as coordinator,
  Heuristic,
  InquireResponse_Outcome as Outcome,
  State,
  type ExecuteRequest,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { KeyValueServiceService as keyvalue, type PutRequest } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { ParticipantServiceService as participant, Vote } from '../../gen/txmesh/participant/v1/participant.ts';
import { partitionOf } from '../../kernel/hash.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import { failureOf, newId, putOp, startMesh, type Meshed } from '../../runtime/router/testing/nodes.ts';

let mesh: Meshed;
/** Whether phase 2 is lost on its way. */
let losing = false;

beforeAll(async () => {
  mesh = await startMesh({ partitions: 4 }, 1, { faults: { loses: (lost) => losing && lost.to === 'participant' && lost.message.type === 'commit' } });
});
afterAll(() => mesh.close());

const begin = (fields: object = {}) =>
  mesh.call(coordinator.beginTransaction, { transactionId: '', timeout: undefined, firstTryTime: undefined, mode: 0, ...fields });

const put = (fields: Partial<PutRequest>) =>
  mesh.call(keyvalue.put, {
    participant: 'inventory',
    collection: 'stock',
    key: 'k',
    value: Buffer.from('v'),
    contentType: '',
    precondition: undefined,
    mergePolicy: 0,
    requestId: '',
    transaction: undefined,
    ...fields,
  });

const get = (key: string, transaction?: PutRequest['transaction']) =>
  mesh.call(keyvalue.get, { participant: 'inventory', collection: 'stock', key, consistency: 0, transaction });

const execute = (fields: Partial<ExecuteRequest>) =>
  mesh.call(coordinator.execute, { transactionId: '', operations: [], timeout: undefined, firstTryTime: undefined, mode: 0, ...fields });

describe('an interactive transaction', () => {
  test('sees its own writes, which nobody else sees until it commits', async () => {
    const transaction = await begin();
    expect((await put({ key: 'i1', transaction })).version).toBe(0);
    expect((await get('i1', transaction)).entry!.absent).toBe(false);
    expect((await get('i1')).entry!.absent).toBe(true);
    await put({ participant: 'payments', key: 'i2', transaction });
    const active = await mesh.call(coordinator.getTransaction, transaction);
    expect(active.transaction!.state).toBe(State.ACTIVE);
    expect(active.transaction!.branches.map(({ state }) => state)).toEqual([BranchState.ENLISTED, BranchState.ENLISTED]);
    const { transaction: committed } = await mesh.call(coordinator.commitTransaction, transaction);
    expect([State.COMMITTING, State.COMMITTED]).toContain(committed!.state);
    expect((await get('i1')).entry!.absent).toBe(false);
  });

  test('leaves nothing when it is aborted, and can not be committed any more', async () => {
    const transaction = await begin();
    await put({ key: 'i3', transaction });
    const { transaction: aborted } = await mesh.call(coordinator.abortTransaction, transaction);
    expect(aborted!.state).toBe(State.ABORTED);
    const told = await mesh.call(coordinator.getTransaction, transaction);
    expect(told.transaction!.branches.map(({ state }) => state)).toEqual([BranchState.TOLD]);
    expect((await get('i3')).entry!.absent).toBe(true);
    expect((await mesh.call(coordinator.commitTransaction, transaction)).transaction!.state).toBe(State.ABORTED);
  });

  test('another attempt than its own is refused everywhere (T5)', async () => {
    const transaction = await begin();
    const other = { ...transaction, attempt: { ...transaction.attempt!, counter: transaction.attempt!.counter + 1 } };
    expect((await failureOf(mesh.call(coordinator.commitTransaction, other))).reason).toBe('WRONG_ATTEMPT');
    expect((await failureOf(put({ transaction: other }))).reason).toBe('WRONG_ATTEMPT');
    const enlist = { ...other, participant: 'inventory', partition: 0, epoch: 1 };
    expect((await failureOf(mesh.call(coordinator.enlist, enlist))).reason).toBe('WRONG_ATTEMPT');
  });

  test('enlists by a call of its own, and answers inquiries', async () => {
    const transaction = await begin();
    await mesh.call(coordinator.enlist, { ...transaction, participant: 'payments', partition: 1, epoch: 5 });
    const coordinatorPartition = partitionOf(transaction.transactionId, 4);
    const question = { ...transaction, coordinatorPartition, participant: 'payments', partition: 1 };
    expect((await mesh.call(coordinator.inquire, question)).outcome).toBe(Outcome.PENDING);
    const older = { ...question, attempt: { ...transaction.attempt!, epoch: 1 } };
    expect((await mesh.call(coordinator.inquire, older)).outcome).toBe(Outcome.ABORTED);
    const elsewhere = { ...question, coordinatorPartition: (coordinatorPartition + 1) % 4 };
    expect((await failureOf(mesh.call(coordinator.inquire, elsewhere))).reason).toBe('PARTITION_MISMATCH');
    await mesh.call(coordinator.abortTransaction, transaction);
    expect((await mesh.call(coordinator.inquire, question)).outcome).toBe(Outcome.ABORTED);
  });

  test.each([
    ['an unknown participant', { participant: 'nobody', partition: 0, epoch: 1 }, 'UNKNOWN_PARTICIPANT'],
    ['a partition that there is not', { participant: 'payments', partition: 9, epoch: 1 }, 'PARTITION_MISMATCH'],
    ['no epoch', { participant: 'payments', partition: 0, epoch: 0 }, 'INVALID_FIELD'],
  ])('enlisting %s is refused', async (_, fields, reason) => {
    const transaction = await begin();
    expect((await failureOf(mesh.call(coordinator.enlist, { ...transaction, ...fields }))).reason).toBe(reason);
  });

  test('ends by its timeout', async () => {
    const transaction = await begin({ timeout: { seconds: 0n, nanos: 1_000_000 } });
    // Asked for until the kernel's own timer has rung.
    for (;;) {
      const { transaction: now } = await mesh.call(coordinator.getTransaction, transaction);
      if (now!.state === State.ACTIVE) continue;
      expect([now!.state, statusToFailure(now!.cause!).reason]).toEqual([State.ABORTED, 'TRANSACTION_TIMEOUT']);
      break;
    }
    const { transaction: late } = await mesh.call(coordinator.commitTransaction, transaction);
    expect([late!.state, statusToFailure(late!.cause!).reason]).toEqual([State.ABORTED, 'TRANSACTION_TIMEOUT']);
    expect((await failureOf(put({ key: 'late', transaction }))).reason).toBe('TRANSACTION_TIMEOUT');
  });
});

describe('by id', () => {
  test('a transaction that nobody knows is not found; aborting it settles it', async () => {
    const transactionId = newId();
    expect((await failureOf(mesh.call(coordinator.getTransaction, { transactionId }))).reason).toBe('TRANSACTION_NOT_FOUND');
    expect((await failureOf(mesh.call(coordinator.retryTransaction, { transactionId }))).reason).toBe('TRANSACTION_NOT_FOUND');
    expect((await mesh.call(coordinator.abortTransaction, { transactionId })).transaction!.state).toBe(State.ABORTED);
    const late = await execute({ transactionId, operations: [putOp('inventory', 'late', '1')] });
    expect(late.transaction!.state).toBe(State.ABORTED);
  });

  test.each(['getTransaction', 'abortTransaction', 'retryTransaction'] as const)('%s needs an id', async (name) => {
    const failure = await failureOf(mesh.call(coordinator[name], { transactionId: '' }));
    expect(failure).toMatchObject({ reason: 'INVALID_FIELD', violations: [{ field: 'transaction_id' }] });
  });
});

describe('phase 2 that does not arrive', () => {
  test('is visible, and can be retried at once', async () => {
    losing = true;
    const { transaction } = await execute({ operations: [putOp('inventory', 'p1', '1'), putOp('payments', 'p2', '1')] });
    expect(transaction!.state).toBe(State.COMMITTING);
    const waiting = await mesh.call(coordinator.getTransaction, transaction!);
    expect(waiting.transaction!.branches.map(({ state }) => state)).toEqual([BranchState.COMPLETING, BranchState.COMPLETING]);
    expect(waiting.transaction!.branches[0]!.nextTryTime).toBeDefined();
    losing = false;
    await mesh.call(coordinator.retryTransaction, transaction!);
    // A linearizable read waits for the outcome (K5).
    expect((await get('p1')).entry!.absent).toBe(false);
  });

  test('a branch can be resolved by force, and the conflict shows', async () => {
    losing = true;
    const key = 'p3';
    const { transaction } = await execute({ operations: [putOp('inventory', key, '1'), putOp('payments', 'p4', '1')] });
    const { transactionId } = transaction!;
    const partition = partitionOf(key, 4);
    const resolve = { transactionId, participant: 'inventory', partition, outcome: Heuristic.ABORT };
    expect((await mesh.call(coordinator.resolveTransaction, resolve)).outcome).toBe(Heuristic.ABORT);
    losing = false;
    for (;;) {
      const { transaction: now } = await mesh.call(coordinator.retryTransaction, { transactionId });
      if (now!.state === State.COMMITTED && now!.mixed) break;
    }
    const { transaction: mixed } = await mesh.call(coordinator.getTransaction, { transactionId });
    expect(mixed).toMatchObject({ state: State.COMMITTED, mixed: true });
    const forced = mixed!.branches.map(({ participant, heuristic }) => [participant, heuristic]);
    expect(forced).toEqual([['inventory', Heuristic.ABORT], ['payments', Heuristic.UNSPECIFIED]]);
    expect((await get(key)).entry!.absent).toBe(true);
    // The participant has forgotten it: the conflict is recorded with the decision.
    expect((await failureOf(mesh.call(coordinator.resolveTransaction, resolve))).reason).toBe('BRANCH_NOT_FOUND');
  });

  test('T14 a forced outcome that agrees with the decision shows, and nothing is mixed', async () => {
    losing = true;
    const { transaction } = await execute({ operations: [putOp('inventory', 'p5', '1'), putOp('payments', 'p6', '1')] });
    const { transactionId } = transaction!;
    const resolve = { transactionId, participant: 'inventory', partition: partitionOf('p5', 4), outcome: Heuristic.COMMIT };
    await mesh.call(coordinator.resolveTransaction, resolve);
    expect((await get('p5')).entry!.absent).toBe(false);
    losing = false;
    for (;;) {
      const { transaction: now } = await mesh.call(coordinator.retryTransaction, { transactionId });
      if (now!.state === State.COMMITTED) break;
    }
    const { transaction: agreed } = await mesh.call(coordinator.getTransaction, { transactionId });
    expect(agreed).toMatchObject({ mixed: false, branches: [{ participant: 'inventory', heuristic: Heuristic.COMMIT }, {}] });
  });

  test('T14 a commit forced on a branch whose transaction is aborted shows as mixed, and does not alter the abort', async () => {
    const partition = partitionOf('p7', 4);
    const prepared = async (): Promise<{ transactionId: string; vote: Vote }> => {
      const { transactionId, attempt } = await begin();
      const branch = { clusterId: mesh.nodes[0]!.view.clusterId, transactionId, attempt, coordinatorPartition: partitionOf(transactionId, 4), participant: 'inventory', partition };
      const prepare = { branch, operations: [putOp('inventory', 'p7', '1').operation!], firstTryTime: undefined, remaining: undefined, readOnly: false, workspaceAttempt: undefined, enlistedEpoch: 0, traceparent: '', lowWaterMark: undefined };
      const { vote } = await mesh.call(participant.prepare, prepare);
      return { transactionId, vote };
    };
    let { transactionId, vote } = await prepared();
    // The coordinator's mark may pass the attempt before the prepare that it knows nothing of (T7).
    while (vote !== Vote.YES) ({ transactionId, vote } = await prepared());
    await mesh.call(coordinator.resolveTransaction, { transactionId, participant: 'inventory', partition, outcome: Heuristic.COMMIT });
    expect((await get('p7')).entry!.absent).toBe(false);
    await mesh.call(coordinator.abortTransaction, { transactionId });
    for (;;) {
      const { transaction: now } = await mesh.call(coordinator.getTransaction, { transactionId });
      expect(now!.state).toBe(State.ABORTED);
      if (now!.mixed) {
        expect(now!.branches).toMatchObject([{ participant: 'inventory', partition, heuristic: Heuristic.COMMIT }]);
        break;
      }
    }
    expect((await get('p7')).entry!.absent).toBe(false);
  });

  test.each([
    ['no outcome', { outcome: Heuristic.UNSPECIFIED }, 'INVALID_FIELD'],
    ['an unknown participant', { participant: 'nobody' }, 'UNKNOWN_PARTICIPANT'],
    ['a partition that there is not', { partition: 99 }, 'PARTITION_MISMATCH'],
    ['a branch that there is not', {}, 'BRANCH_NOT_FOUND'],
  ])('resolving with %s is refused', async (_, fields, reason) => {
    const request = { transactionId: newId(), participant: 'inventory', partition: 0, outcome: Heuristic.COMMIT, ...fields };
    expect((await failureOf(mesh.call(coordinator.resolveTransaction, request))).reason).toBe(reason);
  });
});

describe('ListTransactions', () => {
  const list = (fields: object = {}) => mesh.call(coordinator.listTransactions, { states: [], pageSize: 0, pageToken: '', ...fields });

  async function listAll(fields: object): Promise<string[]> {
    const ids: string[] = [];
    let pageToken = '';
    do {
      const page = await list({ ...fields, pageToken });
      ids.push(...page.transactions.map(({ transactionId }) => transactionId));
      ({ nextPageToken: pageToken } = page);
    } while (pageToken !== '');
    return ids;
  }

  test('finds what is under way and what is finished, page by page, each once', async () => {
    const made: string[] = [];
    for (let i = 0; i < 23; i++) made.push((await execute({ operations: [putOp('inventory', `l${i}`, '1')] })).transaction!.transactionId);
    const active = [await begin(), await begin()].map(({ transactionId }) => transactionId);
    const found = await listAll({ pageSize: 5 });
    expect(found).toEqual(expect.arrayContaining([...made, ...active]));
    expect(new Set(found).size).toBe(found.length);
    const filtered = await listAll({ states: [State.ACTIVE], pageSize: 1 });
    expect(filtered).toEqual(expect.arrayContaining(active));
    expect(filtered).not.toEqual(expect.arrayContaining([made[0]]));
  });

  test.each([
    ['a state that is not sent', { states: [State.UNSPECIFIED] }, 'states[0]'],
    ['an unknown state', { states: [99] }, 'states[0]'],
    ['a negative page size', { pageSize: -1 }, 'page_size'],
    ['a large page size', { pageSize: 1001 }, 'page_size'],
    ['a token of nobody', { pageToken: 'abc' }, 'page_token'],
  ])('%s is refused', async (_, fields, field) => {
    const failure = await failureOf(list(fields));
    expect(failure).toMatchObject({ reason: 'INVALID_FIELD', violations: [{ field }] });
  });

  test('a token of another question is refused', async () => {
    const { nextPageToken } = await list({ pageSize: 1 });
    expect(nextPageToken).not.toBe('');
    expect((await failureOf(list({ states: [State.ACTIVE], pageToken: nextPageToken }))).reason).toBe('INVALID_FIELD');
  });
});
