import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { startNode, type Node } from '../../mesh.ts';
import { QueueServiceService as methods, Storage } from '../../gen/txmesh/queue/v1/queue.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Meshed } from '../../runtime/router/testing/nodes.ts';
import { openStore } from '../../runtime/store/open.ts';
import { Channels } from '../../runtime/transport/channels.ts';
import { messageOf, QueueClient, subscriptionOf, textOf, topicOf } from './testing/client.ts';

async function start(dataDir: string): Promise<Node> {
  const store = await openStore({ store: 'embedded', dataDir, clock: systemClock, warn: () => undefined } as unknown as Parameters<typeof openStore>[0]);
  const node = await startNode({ host: '127.0.0.1', port: 0, coordinator: true, participants: [], queues: ['queue'], partitions: 1 }, { store, log: () => undefined });
  await node.ready();
  return node;
}

test('what a disk topic has taken is there after a restart, with what is left to do; a memory topic is empty', async () => {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'txmesh-queue-'));
  const channels = new Channels({ clock: systemClock });
  let node = await start(dataDir);
  const mesh = {
    channels,
    nodes: [] as Node[],
    call: ((method, request, _, options) => channels.unary(node.address, method, request, options)) as Meshed['call'],
  } as Meshed;
  try {
    const client = new QueueClient(mesh);
    await client.create(topicOf('orders'), subscriptionOf('billing', 'orders'), subscriptionOf('mail', 'orders'));
    await client.create(topicOf('news', { storage: Storage.MEMORY }), subscriptionOf('readers', 'news'));
    for (let i = 0; i < 30; i++) await client.publish('orders', messageOf(`m${i}`, { orderingKey: 'k', attributes: { n: String(i) } }));
    await client.publish('news', 'now');
    const messages = await client.pull('billing', 20);
    expect(await client.acknowledge('billing', messages.slice(5, 15))).toEqual([]);
    await node.drain();
    node = await start(dataDir);
    const rest = await client.pull('billing', 100);
    const expected = Array.from({ length: 30 }, (_, i) => `m${i}`);
    expect(rest.map(textOf)).toEqual([...expected.slice(0, 5), ...expected.slice(15)]);
    expect(rest[0]!.message!.attributes).toEqual({ n: '0' });
    expect((await client.pull('mail', 100)).map(textOf)).toEqual(expected);
    expect(await client.pull('readers')).toEqual([]);
    expect(await client.call(methods.getSubscriptionStatistics, { name: 'billing' })).toMatchObject({ backlogMessages: 20, inFlight: 20 });
    expect(await client.publish('orders', 'next')).toEqual(['0-31']);
  } finally {
    channels.close();
    await node.drain(0);
    await rm(dataDir, { recursive: true, force: true });
  }
});
