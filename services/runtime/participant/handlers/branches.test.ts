import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CoordinatorServiceService as coordinator } from '../../../gen/txmesh/coordinator/v1/coordinator.ts';
import { KeyValueServiceService as keyvalue } from '../../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { HeuristicOutcome, ParticipantServiceService as participant, Vote, type BranchId, type PrepareRequest } from '../../../gen/txmesh/participant/v1/participant.ts';
import { partitionOf } from '../../../kernel/hash.ts';
import { statusToFailure } from '../../errors/status.ts';
import { ABSENT, checkOp, failureOf, putOp, startMesh, type Meshed } from '../../router/testing/nodes.ts';

const PARTITIONS = 2;
let mesh: Meshed;
let counter = 0;
let branch: BranchId;
let key: string;

beforeAll(async () => {
  // The attempts that the tests prepare were begun and not executed, so the coordinator's mark soon passes them: it must not arrive.
  mesh = await startMesh({ partitions: PARTITIONS }, 1, { faults: { loses: ({ to }) => to === 'everybody' } });
});
afterAll(() => mesh.close());

/** Of a transaction that its coordinator knows and has not decided: what inquires meanwhile hears that it is pending. */
async function newBranch(): Promise<BranchId> {
  const { transactionId, attempt } = await mesh.call(coordinator.beginTransaction, { transactionId: '', timeout: undefined, firstTryTime: undefined, mode: 0 });
  return {
    clusterId: mesh.nodes[0]!.view.clusterId,
    transactionId,
    attempt,
    coordinatorPartition: partitionOf(transactionId, PARTITIONS),
    participant: 'inventory',
    partition: partitionOf(key, PARTITIONS),
  };
}

beforeEach(async () => {
  key = `k${++counter}`;
  branch = await newBranch();
});

const prepare = (fields: Partial<PrepareRequest> = {}) =>
  mesh.call(participant.prepare, {
    branch,
    operations: [putOp('inventory', key, '1').operation!],
    firstTryTime: undefined,
    remaining: undefined,
    readOnly: false,
    workspaceAttempt: undefined,
    enlistedEpoch: 0,
    traceparent: '',
    lowWaterMark: undefined,
    ...fields,
  });

const outcome = () => ({ branch, traceparent: '', lowWaterMark: undefined });
const value = async () =>
  Buffer.from((await mesh.call(keyvalue.get, { participant: 'inventory', collection: 'stock', key, consistency: 2, transaction: undefined })).entry!.value).toString();

describe('the plain contract', () => {
  test('prepares, lists, commits, and commits again', async () => {
    expect((await prepare()).vote).toBe(Vote.YES);
    expect((await prepare()).vote).toBe(Vote.YES);
    const { branches } = await mesh.call(participant.listPrepared, { participant: 'inventory', pageSize: 0, pageToken: '' });
    expect(branches.map((prepared) => prepared.branch)).toContainEqual(branch);
    expect(await value()).toBe('');
    await mesh.call(participant.commit, outcome());
    await mesh.call(participant.commit, outcome());
    expect(await value()).toBe('1');
  });

  test('aborts, and leaves nothing', async () => {
    await prepare();
    await mesh.call(participant.abort, outcome());
    expect((await mesh.call(participant.listPrepared, { participant: 'inventory', pageSize: 0, pageToken: '' })).branches).toEqual([]);
    expect(await value()).toBe('');
  });

  test('votes no with the cause, and read-only for checks alone', async () => {
    await prepare();
    await mesh.call(participant.commit, outcome());
    const checks = [checkOp('inventory', key, ABSENT).operation!];
    branch = await newBranch();
    const no = await prepare({ operations: checks, readOnly: true });
    expect([no.vote, statusToFailure(no.cause!).reason]).toEqual([Vote.NO, 'PRECONDITION_FAILED']);
  });

  test.each([
    ['an unknown operation', { typeUrl: 'a/b.C', value: Buffer.alloc(0) }, 'UNKNOWN_OPERATION'],
    ['a malformed operation', { typeUrl: 'a/txmesh.keyvalue.v1.PutOperation', value: Buffer.from([1]) }, 'MALFORMED_MESSAGE'],
  ])('votes no about %s', async (_, operation, reason) => {
    const { vote, cause } = await prepare({ operations: [operation] });
    expect([vote, statusToFailure(cause!).reason]).toEqual([Vote.NO, reason]);
  });

  test('votes no about a key of another partition', async () => {
    branch = { ...branch, partition: 1 - branch.partition };
    const { vote, cause } = await prepare();
    expect([vote, statusToFailure(cause!).reason]).toEqual([Vote.NO, 'WRONG_PARTITION']);
  });

  test('resolves by force, and says what was there before', async () => {
    await prepare();
    const forced = await mesh.call(participant.resolve, { branch: { ...branch, attempt: undefined }, outcome: HeuristicOutcome.COMMIT });
    expect(forced.outcome).toBe(HeuristicOutcome.COMMIT);
    expect(await value()).toBe('1');
    const again = await mesh.call(participant.resolve, { branch, outcome: HeuristicOutcome.ABORT });
    expect(again.outcome).toBe(HeuristicOutcome.COMMIT);
    expect((await mesh.call(participant.abort, outcome())).heuristic).toBe(HeuristicOutcome.COMMIT);
  });
});

describe('bad input', () => {
  test.each<[string, (good: BranchId) => Partial<PrepareRequest>, string]>([
    ['no branch', () => ({ branch: undefined }), 'INVALID_FIELD'],
    ['another cluster', (good) => ({ branch: { ...good, clusterId: 'other' } }), 'FOREIGN_CLUSTER'],
    ['no cluster', (good) => ({ branch: { ...good, clusterId: '' } }), 'INVALID_FIELD'],
    ['no attempt', (good) => ({ branch: { ...good, attempt: undefined } }), 'INVALID_FIELD'],
    ['an attempt of zero', (good) => ({ branch: { ...good, attempt: { epoch: 0, counter: 0 } } }), 'INVALID_FIELD'],
    ['an epoch from the future', (good) => ({ branch: { ...good, attempt: { epoch: 1e9, counter: 1 } } }), 'WRONG_ATTEMPT'],
    ['a mark from the future', () => ({ lowWaterMark: { epoch: 1e9, counter: 1 } }), 'WRONG_ATTEMPT'],
    ['an unknown participant', (good) => ({ branch: { ...good, participant: 'nobody' } }), 'UNKNOWN_PARTICIPANT'],
    ['a partition that there is not', (good) => ({ branch: { ...good, partition: 7 } }), 'PARTITION_MISMATCH'],
    ['a coordinator partition that there is not', (good) => ({ branch: { ...good, coordinatorPartition: 7 } }), 'PARTITION_MISMATCH'],
    ['no operations', () => ({ operations: [] }), 'INVALID_FIELD'],
    ['operations and a workspace', () => ({ workspaceAttempt: { epoch: 1, counter: 1 }, enlistedEpoch: 1 }), 'INVALID_FIELD'],
    ['an enlisted epoch without a workspace', () => ({ enlistedEpoch: 1 }), 'INVALID_FIELD'],
  ])('%s is refused', async (_, fields, reason) => {
    expect((await failureOf(prepare(fields(branch)))).reason).toBe(reason);
  });

  test('no outcome to resolve to, and no branch of this name', async () => {
    expect((await failureOf(mesh.call(participant.resolve, { branch, outcome: HeuristicOutcome.UNSPECIFIED }))).reason).toBe('INVALID_FIELD');
    expect((await failureOf(mesh.call(participant.resolve, { branch, outcome: HeuristicOutcome.ABORT }))).reason).toBe('BRANCH_NOT_FOUND');
  });

  test('prepared branches are listed page by page', async () => {
    await prepare();
    const list = (pageToken: string) => mesh.call(participant.listPrepared, { participant: 'inventory', pageSize: 1, pageToken });
    const found: string[] = [];
    for (let pageToken = ''; ; ) {
      const page = await list(pageToken);
      found.push(...page.branches.map((prepared) => prepared.branch!.transactionId));
      if ((pageToken = page.nextPageToken) === '') break;
    }
    expect(found).toContain(branch.transactionId);
    expect((await failureOf(list('bad'))).reason).toBe('INVALID_FIELD');
    await mesh.call(participant.abort, outcome());
  });
});
