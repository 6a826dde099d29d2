/** Replicas that are told to stop, one after the other, under load of every service over calls and streams. */

import { describe, expect, onTestFinished, test } from 'vitest';
import { connect, put, TxmeshError, type Mesh } from 'txmesh/client';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { unfinished } from './support/in-doubt.ts';
import { Load, prepareLoad } from './support/load.ts';
import { serve } from './support/processes.ts';
import { until } from './support/until.ts';

const BOUND_MS = 60_000;
const CALLS_BETWEEN = 10;
const BEGIN_AGAIN: ReadonlySet<string> = new Set(['WRONG_ATTEMPT', 'WORKSPACE_LOST', 'TRANSACTION_NOT_FOUND']);

describe('replicas that stop under load', () => {
  test('lose no call: each has its true result, once, and none is unknown', async (context) => {
    const tools = await requireGoTools('etcd');
    if (tools === undefined) return context.skip('etcd is not there and could not be built');
    const etcd = await startEtcd({ etcd: tools.etcd });
    onTestFinished(() => etcd.stop());
    const start = () => serve(['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(','), '--lease', '3s', '--partitions', '4', '--participants', 'inventory,payments']);
    const replicas = await Promise.all([start(), start()]);
    const mesh = connect({ addresses: replicas.map(({ address }) => address), timeoutMs: BOUND_MS });
    onTestFinished(() => mesh.close());
    await prepareLoad(mesh);
    await mesh.queue().subscriptions.create('billing', 'orders', { ackDeadlineMs: 2_000 });

    const load = new Load();
    load.addSdk(mesh);
    let puts = 0;
    load.add('unary writes', async () => {
      const number = puts;
      await mesh.keyValue('payments').collection('drained').put(`${number}`, 'x', { precondition: 'absent' });
      puts++;
    });
    load.add('interactive transactions', () => transactInteractively(mesh));
    const billed = new Map<number, number>();
    const stopping = new AbortController();
    const consuming = mesh.queue().subscribe('billing', (message, tx) => {
      const { number } = message.json<{ number: number }>();
      tx.put('inventory', 'bills', `${number}`, '', { precondition: 'absent' });
      billed.set(number, (billed.get(number) ?? 0) + 1);
      return Promise.resolve();
    }, { signal: stopping.signal });

    for (const [i, replica] of replicas.entries()) {
      await load.more(CALLS_BETWEEN);
      replicas[i] = await start();
      await load.more(CALLS_BETWEEN);
      expect(await replica.stop()).toBe(0);
    }
    await load.more(CALLS_BETWEEN);
    await load.stop();
    console.log([...load.done].map(([what, count]) => `${count} ${what}`).join(', '));
    expect(load.failures).toEqual([]);

    expect((await mesh.counter('sold').get()).value).toBe(BigInt(load.done.get('adds')!));
    const published = load.done.get('publishes')!;
    await until('every message is handled', BOUND_MS, () => billed.size === published, () => `${billed.size} of ${published}`);
    stopping.abort();
    await consuming;
    const stored = async (participant: string, collection: string): Promise<number> => {
      let count = 0;
      for await (const _entry of mesh.keyValue(participant).collection(collection).scan({ pageSize: 1000 })) count++;
      return count;
    };
    expect(await stored('inventory', 'bills')).toBe(published);
    expect(await stored('payments', 'drained')).toBe(puts);
    for (const participant of ['inventory', 'payments']) expect(await stored(participant, 'c')).toBe(load.done.get('transactions'));
    await until('nothing is left in doubt', BOUND_MS, async () => (await unfinished(mesh, replicas[0]!.address)).length === 0);
    // What a stopped replica led is led by those that are there.
    const outcome = await mesh.execute({ operations: [put('inventory', 'c', 'last', ''), put('payments', 'c', 'last', '')] });
    expect(outcome.committed).toBe(true);
  }, 5 * BOUND_MS);
});

/** Its work is not durable before it commits: a leader that goes ends it, and says so. Then it begins again. */
async function transactInteractively(mesh: Mesh): Promise<void> {
  for (;;) {
    try {
      await using tx = await mesh.begin();
      await tx.put('inventory', 'interactive', 'one', 'x');
      await tx.put('payments', 'interactive', 'another', 'x');
      await tx.commit();
      return;
    } catch (error) {
      if (!(error instanceof TxmeshError) || !BEGIN_AGAIN.has(error.reason)) throw error;
    }
  }
}
