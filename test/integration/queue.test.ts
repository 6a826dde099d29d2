/** Queues on real processes: what a failover and a restart keep, and what they lose because it was said so. */

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { connect, type Mesh, type ReceivedMessage } from 'txmesh/client';
import { LocalCluster } from '../../deploy/local/cluster.ts';
import { leadersOf } from './support/leaders.ts';
import { folder, serve } from './support/processes.ts';
import { until } from './support/until.ts';

const NO_ETCD = 'etcd is not there and could not be built';
const LEASE_MS = 2_000;
const REPLICAS = 2;
const BOUND_MS = 60_000;
const QUEUE = 'queue';

/** Takes messages until there are so many; leaves them unacknowledged. */
async function take(mesh: Mesh, subscription: string, count: number, ackDeadlineMs?: number): Promise<ReceivedMessage[]> {
  const taken: ReceivedMessage[] = [];
  await until(`${count} messages of ${subscription} are delivered`, BOUND_MS, async () => {
    const options = { maxMessages: count - taken.length, waitMs: 1_000, ...(ackDeadlineMs !== undefined && { ackDeadlineMs }) };
    taken.push(...(await mesh.queue().pull(subscription, options)));
    return taken.length === count;
  }, () => `${taken.length} were`);
  return taken;
}

/** Takes and acknowledges whatever comes until the subscription has nothing left; returns the texts. */
async function drain(mesh: Mesh, subscription: string): Promise<string[]> {
  const texts: string[] = [];
  await until(`${subscription} has nothing left`, BOUND_MS, async () => {
    const messages = await mesh.queue().pull(subscription, { maxMessages: 1_000, waitMs: 500 });
    texts.push(...messages.map((message) => message.text()));
    await Promise.all(messages.map((message) => message.ack()));
    return (await mesh.queue().subscriptions.statistics(subscription)).backlogMessages === 0;
  }, () => `${texts.length} came`, 0);
  return texts;
}

const numbered = (count: number, prefix = 'message'): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

describe('when the leaders of a queue are killed', () => {
  let cluster: LocalCluster | undefined;
  let mesh: Mesh;

  beforeAll(async () => {
    cluster = await LocalCluster.start({ replicas: REPLICAS, lease: `${LEASE_MS}ms`, members: 1 });
    if (cluster !== undefined) mesh = connect({ addresses: cluster.addresses, timeoutMs: 60_000 });
  });
  afterAll(async () => {
    mesh?.close();
    await cluster?.stop();
  });

  /** Kills so many replicas that lead partitions of the queue, and has others take their place. */
  async function killLeaders(count: number): Promise<void> {
    const addresses = await until('the queue is led', BOUND_MS, async () => {
      const leaders = (await leadersOf(cluster!.addresses[0]!)).get(QUEUE) ?? [];
      return leaders.length > 0 && !leaders.includes('') && leaders;
    });
    const victims = [...cluster!.replicas.values()].filter(({ address, running }) => running && addresses.includes(address)).slice(0, count);
    await Promise.all(victims.map((victim) => victim.kill()));
    await Promise.all(victims.map(() => cluster!.add('participant')));
    const gone = new Set(victims.map(({ address }) => address));
    await until('the queue is led by others', BOUND_MS, async () => {
      const alive = [...cluster!.replicas.values()].find(({ running }) => running)!;
      const leaders = (await leadersOf(alive.address)).get(QUEUE) ?? [];
      return leaders.length > 0 && leaders.every((leader) => leader !== '' && !gone.has(leader));
    });
  }

  test('what was delivered and not acknowledged comes again, what was acknowledged does not', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const queue = mesh.queue();
    await queue.topics.create('work');
    await queue.subscriptions.create('workers', 'work', { ackDeadlineMs: 600_000 });
    await queue.publish('work', numbered(200));
    const outstanding = await take(mesh, 'workers', 100);
    const acknowledged = outstanding.slice(0, 60);
    await Promise.all(acknowledged.map((message) => message.ack()));
    const never = new Set(acknowledged.map((message) => message.text()));
    await killLeaders(1);
    // Those whose leader lives are not due before their deadline: they are given back.
    await Promise.all(outstanding.slice(60).map((message) => message.nack()));
    const again = await drain(mesh, 'workers');
    expect(again.filter((text) => never.has(text))).toEqual([]);
    expect(new Set(again)).toEqual(new Set(numbered(200).filter((text) => !never.has(text))));
  });

  test('with exactly-once delivery nothing comes again before its deadline, and a late acknowledgement says so', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const DEADLINE_MS = 8_000;
    const queue = mesh.queue();
    await queue.topics.create('once');
    await queue.subscriptions.create('once-only', 'once', { exactlyOnce: true, ackDeadlineMs: DEADLINE_MS });
    await queue.publish('once', numbered(40));
    const askedMs = performance.now();
    const first = await take(mesh, 'once-only', 40);
    await killLeaders(1);
    const kept = first.slice(0, 10);
    await Promise.all(kept.map((message) => message.ack()));
    const again = await take(mesh, 'once-only', 30);
    expect(performance.now() - askedMs).toBeGreaterThanOrEqual(DEADLINE_MS);
    expect(new Set(again.map(({ id }) => id))).toEqual(new Set(first.slice(10).map(({ id }) => id)));
    await expect(first[20]!.ack()).rejects.toMatchObject({ reason: 'ACK_EXPIRED' });
    await Promise.all(again.map((message) => message.ack()));
    expect(await drain(mesh, 'once-only')).toEqual([]);
  });

  test('a delayed message comes when it is due, once, and not before', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const DELAY_MS = 10_000;
    const queue = mesh.queue();
    await queue.topics.create('later');
    await queue.subscriptions.create('sleepers', 'later');
    const dueMs = Date.now() + DELAY_MS;
    await queue.publish('later', numbered(20).map((data) => ({ data, delayMs: DELAY_MS })));
    await queue.publish('later', { data: 'now' });
    await killLeaders(1);
    const arrived: { readonly message: ReceivedMessage; readonly atMs: number }[] = [];
    const takeOne = async (): Promise<void> => {
      const [message] = await take(mesh, 'sleepers', 1);
      arrived.push({ message: message!, atMs: Date.now() });
      await message!.ack();
    };
    await takeOne();
    const { delayed } = await queue.subscriptions.statistics('sleepers');
    // Unless the failover took longer than the delay.
    expect(Date.now() >= dueMs || delayed === 20, `${delayed} are delayed`).toBe(true);
    while (arrived.length < 21) await takeOne();
    const woken = arrived.filter(({ message }) => message.text() !== 'now');
    expect(new Set(arrived.map(({ message }) => message.text()))).toEqual(new Set([...numbered(20), 'now']));
    for (const { message, atMs } of woken) {
      expect(atMs).toBeGreaterThanOrEqual(dueMs);
      expect(message.deliveryAttempt).toBe(1);
    }
  });

  test('every publish that was answered is there, once, in the order of its key', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const KEYS = 8;
    const EACH = 300;
    const queue = mesh.queue();
    await queue.topics.create('ordered');
    await queue.subscriptions.create('in-order', 'ordered', { mode: 'SEQUENTIAL' });
    let published = 0;
    const publishing = Promise.all(
      numbered(KEYS, 'key').map(async (orderingKey) => {
        for (let i = 0; i < EACH; i++) {
          await queue.publish('ordered', { data: `${orderingKey} ${i}`, orderingKey });
          published++;
        }
      }),
    );
    publishing.catch(() => undefined); // It is thrown below.
    await until('a third is published', BOUND_MS, () => published >= (KEYS * EACH) / 3);
    await killLeaders(1);
    await publishing;
    const texts = await drain(mesh, 'in-order');
    for (const key of numbered(KEYS, 'key'))
      expect(texts.filter((text) => text.startsWith(`${key} `))).toEqual(Array.from({ length: EACH }, (_, i) => `${key} ${i}`));
  });

  test('a memory topic has lost its messages, works on, and has said that it would', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const queue = mesh.queue();
    await queue.topics.create('fleeting', { storage: 'MEMORY' });
    await queue.subscriptions.create('watchers', 'fleeting');
    expect(await queue.topics.get('fleeting')).toMatchObject({ storage: 'MEMORY' });
    await queue.publish('fleeting', numbered(100));
    expect(await queue.topics.statistics('fleeting')).toMatchObject({ messages: 100 });
    await killLeaders(REPLICAS);
    expect(await queue.topics.statistics('fleeting')).toMatchObject({ messages: 0 });
    await queue.publish('fleeting', 'after');
    expect(await drain(mesh, 'watchers')).toEqual(['after']);
    const refused = mesh.transaction(async (tx) => tx.publish('fleeting', 'in a transaction'));
    await expect(refused).rejects.toMatchObject({ message: expect.stringMatching(/fleeting.*memory/is) });
  });
});

describe('a server on one machine that is killed', () => {
  test('has its backlog again, in order, and of a memory topic nothing', async () => {
    const KEYS = 50;
    const MESSAGES = 10_000;
    const dataDir = join(folder(), 'data');
    const first = await serve(['--data-dir', dataDir]);
    const before = connect(first.address);
    onTestFinished(() => before.close());
    await before.queue().topics.create('durable');
    await before.queue().subscriptions.create('reader', 'durable', { mode: 'SEQUENTIAL', ackDeadlineMs: 5_000 });
    await before.queue().topics.create('volatile', { storage: 'MEMORY' });
    await before.queue().subscriptions.create('volatile-reader', 'volatile');
    await before.queue().publish('durable', Array.from({ length: MESSAGES }, (_, i) => ({ data: String(i), orderingKey: `key-${i % KEYS}` })));
    await before.queue().publish('volatile', numbered(100));
    const done = new Set<string>();
    let acks: Promise<void>[] = [];
    for await (const message of before.queue().messages('reader', { maxMessages: 500 })) {
      acks.push(message.ack());
      if (done.add(message.text()).size >= MESSAGES / 10) break;
    }
    await Promise.all(acks);
    await first.kill();
    before.close();

    const second = await serve(['--data-dir', dataDir]);
    const after = connect(second.address);
    onTestFinished(() => after.close());
    const { backlogMessages } = await after.queue().subscriptions.statistics('reader');
    expect(backlogMessages).toBe(MESSAGES - done.size);
    const last = new Map<number, number>();
    let left = backlogMessages;
    acks = [];
    for await (const message of after.queue().messages('reader')) {
      const number = Number(message.text());
      expect(done.has(message.text()), `${number} was acknowledged`).toBe(false);
      expect(number).toBeGreaterThan(last.get(number % KEYS) ?? -1);
      last.set(number % KEYS, number);
      done.add(message.text());
      acks.push(message.ack());
      if (--left === 0) break;
    }
    await Promise.all(acks);
    expect(done.size).toBe(MESSAGES);
    expect(await after.queue().topics.get('volatile')).toMatchObject({ storage: 'MEMORY' });
    expect(await after.queue().topics.statistics('volatile')).toMatchObject({ messages: 0 });
    expect(await after.queue().subscriptions.statistics('volatile-reader')).toMatchObject({ backlogMessages: 0 });
    expect(await after.queue().pull('volatile-reader')).toEqual([]);
  });
});
