/** Connections that end, and names that lead elsewhere, under clients that go on. */

import dns from 'node:dns';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { connect, json } from 'txmesh/client';
import { systemClock } from '../../services/runtime/clock.ts';
import { startMesh } from '../../services/runtime/router/testing/nodes.ts';
import { MemoryStore } from '../../services/runtime/store/memory.ts';
import { Load, prepareLoad } from './support/load.ts';
import { plainGet } from './support/plain-get.ts';
import { until } from './support/until.ts';

const BOUND_MS = 30_000;

describe('connections with a maximum age', () => {
  test('end in good order: calls of a client that retries nothing but what was refused unseen are all answered, forwarded or not', async () => {
    const cluster = await startMesh({ partitions: 4, leaseTtlMs: 10_000, server: { maxConnectionAgeMs: 250 } }, 2);
    onTestFinished(() => cluster.close());
    const load = new Load();
    let ended = 0;
    for (const { address } of cluster.nodes) {
      const client = new grpc.Client(address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
      onTestFinished(() => client.close());
      await plainGet(client);
      const channel = client.getChannel();
      const follow = (state: grpc.connectivityState): void =>
        channel.watchConnectivityState(state, Infinity, (error) => {
          if (error !== undefined) return;
          if (state === grpc.connectivityState.READY) ended++;
          follow(channel.getConnectivityState(true));
        });
      follow(channel.getConnectivityState(true));
      for (let i = 0; i < 4; i++) load.add(`reads ${address} ${i}`, () => plainGet(client, `${i}`));
    }
    await until('connections have ended some times', BOUND_MS, () => ended >= 8 || load.failures.length > 0, () => ended);
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  test('are cut off after their grace while streams of the SDK run on them, and no call fails or is lost', async () => {
    const ages = { maxConnectionAgeMs: 250, connectionGraceMs: 500 };
    const cluster = await startMesh({ partitions: 4, leaseTtlMs: 10_000, queues: ['queue'], counters: ['counter'], server: ages }, 2);
    onTestFinished(() => cluster.close());
    const mesh = connect({ addresses: cluster.nodes.map(({ address }) => address) });
    onTestFinished(() => mesh.close());
    await prepareLoad(mesh);
    await mesh.queue().subscriptions.create('billing', 'orders', { ackDeadlineMs: 2_000 });
    const streamEnds = vi.spyOn(Reflect.get(mesh, 'executor') as { onEnd(): void }, 'onEnd');
    const handled = new Set<number>();
    const stopping = new AbortController();
    const consuming = mesh.queue().subscribe('billing', (message, tx) => {
      const { number } = message.json<{ number: number }>();
      handled.add(number);
      tx.put('inventory', 'bills', `${number}`, '', { precondition: 'absent' });
      return Promise.resolve();
    }, { signal: stopping.signal });
    const load = new Load();
    load.addSdk(mesh);
    await until('streams have been cut off some times', BOUND_MS, () => streamEnds.mock.calls.length >= 4 || load.failures.length > 0);
    await load.more(20);
    await load.stop();
    expect(load.failures).toEqual([]);
    // What was answered took effect once.
    expect((await mesh.counter('sold').get()).value).toBe(BigInt(load.done.get('adds')!));
    const bills = load.done.get('publishes')!;
    await until('every message is handled', BOUND_MS, () => handled.size >= bills, () => `${handled.size} of ${bills}`);
    stopping.abort();
    await consuming;
    let stored = 0;
    for await (const { key } of mesh.keyValue('inventory').collection('bills').scan({ pageSize: 1000 })) stored += Number(handled.has(Number(key)));
    expect(stored).toBe(bills);
  });
});

describe('a name that leads elsewhere', () => {
  test('is looked up anew by the SDK when every replica that it knew is gone', async (context) => {
    if (process.platform !== 'linux') return context.skip('it needs the addresses 127.0.0.x, which only Linux has without asking');
    let address = '127.0.0.1';
    const lookup = vi.spyOn(dns.promises, 'lookup').mockImplementation((async () => [{ address, family: 4 }]) as never);
    onTestFinished(() => lookup.mockRestore());
    const store = new MemoryStore(systemClock);
    const before = await startMesh({}, 2, { store });
    const { port } = before.nodes[0]!;
    await using mesh = connect({ addresses: [`mesh.test:${port}`] });
    const collection = mesh.keyValue('inventory').collection('c');
    await collection.put('k', json(1));
    await before.close();
    address = '127.0.0.2';
    const after = await startMesh({ host: '127.0.0.2', port }, 1, { store });
    onTestFinished(() => after.close());
    expect((await collection.get('k', { timeoutMs: BOUND_MS }))?.json()).toBe(1);
    // It goes by the map of those that are there now.
    await until('it knows the new replica', BOUND_MS, () => (Reflect.get(mesh, 'rpc').map.known as string[]).includes(`127.0.0.2:${port}`));
  });
});
