/** The shop of the tour: what an order changes, and how it is looked at. */

import { AlreadyExists, json, type Mesh } from '../../services/client/index.ts';

export const PRICE = 40;
const FULL = { teapots: 10, balance: 200 };

/** As README.md and docs/examples have it: they go on with what the tour has stored. */
interface Account {
  readonly balance: number;
}

/** Everything that an order or its shipment changes. */
export interface Shown {
  readonly teapots: number;
  readonly balance: number;
  /** Messages of the topic that nobody has handled. */
  readonly waiting: number;
  readonly sales: number;
  readonly shipments: number;
  readonly shipped: number;
}

/** Makes what is not there yet, and fills up what has run out. Returns how many orders there are. */
export async function openShop(mesh: Mesh): Promise<number> {
  const { topics, subscriptions } = mesh.queue();
  await topics.create('orders').catch(isThere);
  await subscriptions.create('shipping', 'orders', { ackDeadlineMs: 2_000 }).catch(isThere);
  await mesh.counter('teapots').create({ bounds: { minimum: 0 }, initialValue: FULL.teapots }).catch(isThere);
  await subscriptions.purge('shipping'); // Of a tour that was broken off.
  for (const counter of ['sales', 'shipped']) await mesh.counter(counter).create().catch(isThere);
  const teapots = await mesh.counter('teapots').get();
  if (teapots.value < 3n) await mesh.counter('teapots').add(BigInt(FULL.teapots) - teapots.value);
  await mesh.transaction(async (tx) => {
    const account = (await tx.get('payments', 'accounts', 'alice'))?.json<Account>();
    if ((account?.balance ?? 0) < 3 * PRICE) tx.put('payments', 'accounts', 'alice', json({ balance: FULL.balance } satisfies Account));
  });
  return count(mesh, 'orders');
}

/** One transaction over four services: takes stock and money, notes the order, tells of it, counts it. */
export async function order(mesh: Mesh, customer: string, teapots: number): Promise<string> {
  return mesh.transaction(async (tx) => {
    const account = (await tx.get('payments', 'accounts', customer))!.json<Account>();
    tx.add('teapots', -teapots);
    tx.put('payments', 'accounts', customer, json({ balance: account.balance - PRICE } satisfies Account));
    tx.put('inventory', 'orders', tx.id, json({ customer, teapots, price: PRICE }), { precondition: 'absent' });
    tx.publish('orders', json({ order: tx.id }));
    tx.add('sales', 1);
    return tx.id;
  });
}

/** How everything is now. */
export async function look(mesh: Mesh): Promise<Shown> {
  const account = await mesh.keyValue('payments').collection('accounts').get('alice');
  const value = async (counter: string): Promise<number> => Number((await mesh.counter(counter).get()).value);
  return {
    teapots: await value('teapots'),
    balance: account!.json<Account>().balance,
    waiting: (await mesh.queue().subscriptions.statistics('shipping')).backlogMessages,
    sales: await value('sales'),
    shipments: await count(mesh, 'shipments'),
    shipped: await value('shipped'),
  };
}

async function count(mesh: Mesh, collection: string): Promise<number> {
  let entries = 0;
  for await (const _ of mesh.keyValue('inventory').collection(collection).scan()) entries++;
  return entries;
}

function isThere(error: unknown): void {
  if (!(error instanceof AlreadyExists)) throw error;
}
