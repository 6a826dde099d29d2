import { describe, expect, it, onTestFinished } from 'vitest';
import { Service_Kind as Kind } from '../../gen/txmesh/cluster/v1/cluster.ts';
import type { Failure } from '../../kernel/failure.ts';
import { systemClock } from '../clock.ts';
import { FailureError } from '../errors/failure-error.ts';
import { MemoryStore } from '../store/memory.ts';
import type { CallContext } from '../transport/service.ts';
import { until } from '../transport/testing/mesh.ts';
import { externalCodec, leaderCodec } from './codec.ts';
import { ClusterHandlers } from './handlers.ts';
import { joinService } from './identity.ts';
import { externalKey, leaderKey } from './keys.ts';
import { ClusterView } from './view.ts';

const CLUSTER = '0198c0de-0000-4000-8000-000000000001';
const context = (signal = new AbortController().signal): CallContext => ({ signal }) as CallContext;
const request = (fields: Partial<{ name: string; address: string; registrationId: string; ttlMs: number }> = {}) => ({
  name: fields.name ?? 'bank',
  address: fields.address ?? '127.0.0.1:7000',
  registrationId: fields.registrationId ?? '',
  timeToLive: { seconds: BigInt(Math.floor((fields.ttlMs ?? 60_000) / 1000)), nanos: 0 },
});

async function open() {
  const store = new MemoryStore(systemClock);
  await joinService(store, 'stock', 'key-value', 2, 2);
  const view = new ClusterView({ clusterId: CLUSTER, numbersAbove: 0 }, store, systemClock);
  await view.ready;
  await view.refreshServices();
  let ids = 0;
  const replica = (): ClusterHandlers => {
    const handlers = new ClusterHandlers({ view, store, clock: systemClock, newId: () => `registration-${++ids}` });
    onTestFinished(() => handlers.close());
    return handlers;
  };
  onTestFinished(() => view.close());
  return { store, view, handlers: replica(), replica };
}

const failureOf = async (call: Promise<unknown>): Promise<Failure> =>
  call.then(
    () => { throw new Error('did not fail'); },
    (error: unknown) => { if (error instanceof FailureError) return error.failure; throw error; },
  );

describe('cluster service', () => {
  it('shows every partition with its leader, and external participants while they are registered', async () => {
    const { store, view, handlers } = await open();
    const lease = await store.grantLease(60_000);
    const result = await store.write({ puts: [{ key: leaderKey('stock', 1), value: leaderCodec.encode({ replica: 'r', address: 'a:1' }), lease }] });
    await handlers.registerParticipant(request(), context());
    await until(() => view.externals.has('bank') && view.leader('stock', 1) !== undefined);
    const { cluster } = await handlers.getCluster({}, context());
    expect(cluster).toEqual({
      clusterId: CLUSTER,
      hash: 'fnv1a-32',
      services: [
        { name: 'bank', kind: Kind.EXTERNAL, partitions: [{ number: 0, address: '127.0.0.1:7000', epoch: 0 }] },
        {
          name: 'stock',
          kind: Kind.KEY_VALUE,
          partitions: [
            { number: 0, address: '', epoch: 0 },
            { number: 1, address: 'a:1', epoch: result.type === 'written' ? result.revision : -1 },
          ],
        },
      ],
    });
  });

  it('a watch begins with the cluster as it is, follows it, and ends with its caller', async () => {
    const { handlers } = await open();
    const controller = new AbortController();
    const iterator = handlers.watchCluster({}, context(controller.signal))[Symbol.asyncIterator]();
    const names = async () => (await iterator.next()).value?.cluster.services.map(({ name }: { name: string }) => name);
    expect(await names()).toEqual(['stock']);
    const next = names();
    await handlers.registerParticipant(request(), context());
    expect(await next).toEqual(['bank', 'stock']);
    const last = iterator.next();
    controller.abort();
    expect((await last).done).toBe(true);
  });

  it('a name has one address at a time, until its registration lapses', async () => {
    const { store, handlers } = await open();
    const { registrationId } = await handlers.registerParticipant(request({ ttlMs: 1_000 }), context());
    expect(await failureOf(handlers.registerParticipant(request({ address: 'b:2' }), context()))).toMatchObject({
      reason: 'PARTICIPANT_NAME_TAKEN',
    });
    await until(() => (handlers as unknown as { registered: Map<string, unknown> }).registered.size === 0);
    const second = await handlers.registerParticipant(request({ address: 'b:2' }), context());
    expect(second.registrationId).not.toBe(registrationId);
    expect(await failureOf(handlers.registerParticipant(request({ registrationId }), context()))).toMatchObject({
      reason: 'INVALID_FIELD',
      violations: [{ field: 'registration_id' }],
    });
    expect(store.description).toBeTruthy();
  });

  it('a registration is renewed at any replica, and may move', async () => {
    const { view, handlers, replica } = await open();
    const other = replica();
    const { registrationId, clusterId, timeToLive } = await handlers.registerParticipant(request(), context());
    expect([clusterId, timeToLive]).toEqual([CLUSTER, { seconds: 60n, nanos: 0 }]);
    await handlers.registerParticipant(request({ registrationId }), context());
    await until(() => view.externals.has('bank'));
    await other.registerParticipant(request({ registrationId, address: 'c:3', ttlMs: 30_000 }), context());
    await until(() => view.externals.get('bank')?.address === 'c:3');
    const again = await handlers.registerParticipant(request({ registrationId, address: 'c:3' }), context());
    expect(again.registrationId).toBe(registrationId);
  });

  it('a name that the mesh has taken for a service of its own is no participant outside of it any more', async () => {
    const { store, view, handlers } = await open();
    const { registrationId } = await handlers.registerParticipant(request({ name: 'queue' }), context());
    await until(() => view.externals.has('queue'));
    await joinService(store, 'queue', 'queue', 2, 2);
    await view.refreshServices();
    expect(view.service('queue')).toEqual({ name: 'queue', kind: 'queue', partitions: 2 });
    // Written again, by a replica that has not seen the service yet.
    const lease = await store.grantLease(60_000);
    await store.write({ puts: [{ key: externalKey('queue'), value: externalCodec.encode({ registrationId, address: 'b:2' }), lease }] });
    await handlers.registerParticipant(request(), context());
    await until(() => view.externals.has('bank'));
    expect([...view.externals.keys()]).toEqual(['bank']);
  });

  it('the same participant that starts again takes its registration over', async () => {
    const { handlers } = await open();
    const first = await handlers.registerParticipant(request(), context());
    expect((await handlers.registerParticipant(request(), context())).registrationId).toBe(first.registrationId);
  });

  it.each([
    ['name', { name: 'Bank' }],
    ['name', { name: 'stock' }],
    ['address', { address: 'nowhere' }],
    ['address', { address: 'host:70000' }],
    ['time_to_live', { ttlMs: 0 }],
    ['time_to_live', { ttlMs: 301_000 }],
  ])('%s has its rule', async (field, fields) => {
    const { handlers } = await open();
    expect(await failureOf(handlers.registerParticipant(request(fields), context()))).toMatchObject({
      reason: 'INVALID_FIELD',
      violations: [{ field }],
    });
  });
});
