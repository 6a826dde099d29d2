import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { service as health } from 'grpc-health-check';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { ClusterServiceService as cluster } from './gen/txmesh/cluster/v1/cluster.ts';
import { BranchState, CoordinatorServiceService as coordinator, State } from './gen/txmesh/coordinator/v1/coordinator.ts';
import { KeyValueServiceService as keyvalue } from './gen/txmesh/keyvalue/v1/keyvalue.ts';
import { startNode } from './mesh.ts';
import { systemClock } from './runtime/clock.ts';
import { MemoryStore } from './runtime/store/memory.ts';
import type { Method } from './runtime/transport/channels.ts';
import { failureOf, newId, putOp, startMesh, type Meshed } from './runtime/router/testing/nodes.ts';

let meshes: Meshed[] = [];
const start = async (...args: Parameters<typeof startMesh>): Promise<Meshed> => {
  const mesh = await startMesh(...args);
  meshes.push(mesh);
  return mesh;
};
afterEach(async () => {
  await Promise.all(meshes.map((mesh) => mesh.close()));
  meshes = [];
});

const execute = (mesh: Meshed, key: string) =>
  mesh.call(coordinator.execute, {
    transactionId: newId(),
    operations: [putOp('inventory', key, '1'), putOp('payments', key, '1')],
    timeout: undefined,
    firstTryTime: undefined,
    mode: 0,
  });

const check = (health as unknown as ServiceDefinition).Check as unknown as Method<{ service: string }, { status: string | number }>;
/** A generated deserializer of protobufjs, which reads plain bytes and no reader of ours. */
const healthOf = (mesh: Meshed, service: string): Promise<unknown> =>
  mesh.call({ ...check, responseDeserialize: (reader) => readAll(reader) }, { service });
const readAll = (reader: unknown): string => {
  const at = reader as { buf: Uint8Array; pos: number; len: number };
  at.pos = at.len;
  return Buffer.from(at.buf).toString('hex');
};
const SERVING = '0801';

describe('a node', () => {
  test('serves every API on one port, and says so', async () => {
    const mesh = await start({ partitions: 2 });
    for (const service of ['', 'txmesh.coordinator.v1.CoordinatorService', 'txmesh.keyvalue.v1.KeyValueService', 'txmesh.participant.v1.ParticipantService', 'txmesh.cluster.v1.ClusterService'])
      expect(await healthOf(mesh, service)).toBe(SERVING);
    const { cluster: map } = await mesh.call(cluster.getCluster, {});
    expect(map!.services.map(({ name, partitions }) => [name, partitions.length])).toEqual([['coordinator', 2], ['inventory', 2], ['payments', 2]]);
    expect(map!.services.flatMap(({ partitions }) => partitions.map(({ address }) => address))).toEqual(Array.from({ length: 6 }, () => mesh.nodes[0]!.address));
  });

  test('is healthy as a whole without services of a kind, whose API then does not serve', async () => {
    const mesh = await start({ participants: [], counters: ['counter'] });
    expect(await healthOf(mesh, 'txmesh.counter.v1.CounterService')).toBe(SERVING);
    expect(await healthOf(mesh, 'txmesh.keyvalue.v1.KeyValueService')).not.toBe(SERVING);
    expect(await healthOf(mesh, '')).toBe(SERVING);
  });

  test('takes the recorded partitions, and refuses others (P6)', async () => {
    const mesh = await start({ partitions: 3 });
    const second = await mesh.add({ partitions: undefined });
    expect(second.view.service('inventory')!.partitions).toBe(3);
    await expect(mesh.add({ partitions: 5 })).rejects.toThrow(/created with 3 partitions/);
  });

  test('that can not listen leaves nothing behind', async () => {
    const busy = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => busy.once('listening', resolve));
    const { port } = busy.address() as { port: number };
    const store = new MemoryStore(systemClock);
    const settings = { host: '127.0.0.1', port, coordinator: true, participants: [] };
    await expect(startNode(settings, { store, log: () => undefined })).rejects.toThrow(`port ${port} on 127.0.0.1 is in use`);
    await expect(store.get(['cluster'])).rejects.toThrow('closed');
    await new Promise((resolve) => busy.close(resolve));
  });

  test('that has no coordinator forwards to the one that has', async () => {
    const mesh = await start({ partitions: 2, participants: [] });
    const participant = await mesh.add({ coordinator: false, participants: ['inventory', 'payments'] });
    await participant.ready();
    const { transaction } = await mesh.call(
      coordinator.execute,
      { transactionId: newId(), operations: [putOp('inventory', 'a', '1'), putOp('payments', 'a', '1')], timeout: undefined, firstTryTime: undefined, mode: 0 },
      participant,
    );
    expect([State.COMMITTING, State.COMMITTED]).toContain(transaction!.state);
    // The first node has no participant and asks the second.
    const { entry } = await mesh.call(keyvalue.get, { participant: 'payments', collection: 'stock', key: 'a', consistency: 0, transaction: undefined });
    expect(entry!.absent).toBe(false);
  });

  test('without a coordinator anywhere says that nobody leads', async () => {
    const mesh = await start({ partitions: 1, coordinator: false });
    expect((await failureOf(execute(mesh, 'a'))).reason).toBe('NO_LEADER');
  });
});

describe('stopping', () => {
  test('finishes what was taken, and the data is there for the next start', async () => {
    const mesh = await start({ partitions: 2 });
    const [first] = mesh.nodes;
    const underway = Array.from({ length: 50 }, (_, i) => execute(mesh, `d${i}`).then(({ transaction }) => transaction!.state, (error: { failure: { reason: string } }) => error.failure.reason));
    await first!.drain(5000);
    for (const outcome of await Promise.all(underway))
      expect([State.COMMITTING, State.COMMITTED, 'NO_LEADER', 'DRAINING', 'OUTCOME_UNKNOWN']).toContain(outcome);
    mesh.nodes.length = 0;
    const second = await mesh.add();
    await second.ready();
    const { transaction } = await execute(mesh, 'after');
    expect([State.COMMITTING, State.COMMITTED]).toContain(transaction!.state);
  });

  test('between the decision and phase 2, the next start finishes the transaction', async () => {
    const mesh = await start({ partitions: 1 }, 1, { faults: { loses: (lost) => lost.to === 'participant' && lost.message.type === 'commit' } });
    const { transaction } = await execute(mesh, 'half');
    const { transactionId } = transaction!;
    const held = await mesh.call(coordinator.getTransaction, { transactionId });
    expect(held.transaction!.branches.map(({ state }) => state)).toEqual([BranchState.COMPLETING, BranchState.COMPLETING]);
    await mesh.nodes[0]!.drain(1000);
    mesh.nodes.length = 0;
    const second = await mesh.add({}, { faults: undefined });
    await second.ready();
    // A linearizable read waits for the outcome (K5).
    for (const participant of ['inventory', 'payments']) {
      const { entry } = await mesh.call(keyvalue.get, { participant, collection: 'stock', key: 'half', consistency: 0, transaction: undefined });
      expect(Buffer.from(entry!.value).toString()).toBe('1');
    }
    for (;;) {
      const { transaction: now } = await mesh.call(coordinator.getTransaction, { transactionId });
      if (now!.state === State.COMMITTED) break;
    }
  });
});
