/** Counters on real processes: whatever is killed while adds go on, every add that was answered counts once. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, OutcomeUnknown, TxmeshError, type Mesh } from 'txmesh/client';
import { LocalCluster } from '../../deploy/local/cluster.ts';
import { leadersOf } from './support/leaders.ts';
import { until } from './support/until.ts';

const NO_ETCD = 'etcd is not there and could not be built';
const LEASE_MS = 2_000;
const BOUND_MS = 60_000;
const COUNTER = 'counter';
const ADDERS = 16;

let cluster: LocalCluster | undefined;
let mesh: Mesh;

beforeAll(async () => {
  cluster = await LocalCluster.start({ replicas: 2, lease: `${LEASE_MS}ms`, members: 1 });
  if (cluster !== undefined) mesh = connect({ addresses: cluster.addresses, timeoutMs: 60_000 });
});
afterAll(async () => {
  mesh?.close();
  await cluster?.stop();
});

/** Kills a replica that leads partitions of the counters, and has another one take its place. */
async function killLeader(): Promise<void> {
  const addresses = await until('the counters are led', BOUND_MS, async () => {
    const leaders = (await leadersOf(cluster!.addresses[0]!)).get(COUNTER) ?? [];
    return leaders.length > 0 && !leaders.includes('') && leaders;
  });
  await [...cluster!.replicas.values()].find(({ address, running }) => running && addresses.includes(address))!.kill();
  await cluster!.add('participant');
}

/** Adds without a break, each adder one after the other, until it is told to stop. */
class Adders {
  /** Adds that were answered, once each, however often they were sent. */
  counted = 0;
  /** Adds that were refused for good. */
  readonly refused: string[] = [];
  private stopping = false;
  private readonly running: Promise<void>;

  constructor(add: () => Promise<unknown>) {
    this.running = Promise.all(Array.from({ length: ADDERS }, () => this.run(add))).then(() => undefined);
    this.running.catch(() => undefined); // It is thrown by stop.
  }

  /** So many more are counted. */
  async goOn(adds: number): Promise<void> {
    const wanted = this.counted + adds;
    await until(`${adds} more adds are counted`, BOUND_MS, () => this.counted >= wanted, () => `${wanted - this.counted} are missing; ${this.refused.at(-1)}`);
  }

  async stop(): Promise<number> {
    this.stopping = true;
    await this.running;
    return this.counted;
  }

  private async run(add: () => Promise<unknown>): Promise<void> {
    while (!this.stopping) {
      try {
        await add();
        this.counted++;
      } catch (error) {
        if (error instanceof OutcomeUnknown) {
          if (await error.settle()) this.counted++;
        } else if (error instanceof TxmeshError) this.refused.push(error.message);
        else throw error;
      }
    }
  }
}

describe('while the leaders of the counters are killed', () => {
  test('a strong counter counts every add once', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const counter = mesh.counter('strong');
    await counter.create({ kind: 'STRONG' });
    const adders = new Adders(() => counter.add(1));
    for (let i = 0; i < 2; i++) {
      await adders.goOn(500);
      await killLeader();
    }
    await adders.goOn(500);
    const counted = await adders.stop();
    expect(await counter.get()).toMatchObject({ value: BigInt(counted) });
  });

  test('a sharded counter counts every add once, also while its number of shards changes up and down', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const counter = mesh.counter('sharded');
    await counter.create({ kind: 'SHARDED', shards: 3 });
    const adders = new Adders(() => counter.add(1));
    for (const shards of [16, 2, 64]) {
      await adders.goOn(500);
      await counter.update({ shards });
      await killLeader();
      await until(`the slots have moved to ${shards} shards`, BOUND_MS, async () => (await counter.info()).movingSlots === 0);
      expect(await counter.info()).toMatchObject({ shards });
    }
    await adders.goOn(500);
    const counted = await adders.stop();
    expect(await counter.get()).toMatchObject({ value: BigInt(counted) });
  });

  test.for(['QUEUED', 'REPLICATED'] as const)('a %s counter comes to count every add once', async (kind, context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const counter = mesh.counter(kind);
    await counter.create({ kind });
    const adders = new Adders(() => counter.add(1));
    await adders.goOn(500);
    await killLeader();
    await adders.goOn(500);
    const counted = await adders.stop();
    let value = -1n;
    await until('everything is in the value', BOUND_MS, async () => (value = (await counter.get()).value) === BigInt(counted), () => `${value}, not ${counted}`);
    expect(await counter.get()).toMatchObject({ kind, value: BigInt(counted), pendingAdds: 0 });
  });

  test('bounds hold, whoever adds in transactions and beside them, and every piece is sold once', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const STOCK = 700;
    const counter = mesh.counter('stock');
    await counter.create({ kind: 'STRONG', bounds: { minimum: 0 }, initialValue: STOCK });
    const direct = new Adders(() => counter.add(-1));
    const within = new Adders(() =>
      mesh.transaction(async (tx) => {
        tx.add('stock', -1);
        tx.put('inventory', 'sold', tx.id, '');
      }),
    );
    await until('some are sold', BOUND_MS, () => direct.counted + within.counted > STOCK / 4);
    await killLeader();
    await until('all are sold', BOUND_MS, () => direct.counted + within.counted === STOCK, () => `${direct.counted} + ${within.counted}`);
    const sold = (await direct.stop()) + (await within.stop());
    expect(sold).toBe(STOCK);
    expect(await counter.get()).toMatchObject({ value: 0n });
    let receipts = 0;
    for await (const _ of mesh.keyValue('inventory').collection('sold').scan({ pageSize: 1000 })) receipts++;
    expect(receipts).toBe(within.counted);
    expect(direct.refused.at(-1)).toMatch(/stock.*0/is);
  });
});
