/**
 * A pipeline: each order becomes an invoice and counts as a sale, exactly once, whatever is killed.
 *
 *   npm run example -- orders [mesh address] [how many orders]
 *
 * runs it in a checkout; where the package is installed, `node orders.ts` does.
 */
import { AlreadyExists, connect, json, type Mesh } from 'txmesh/client';

export interface Order {
  readonly customer: string;
  readonly amount: number;
}

/** Makes what the pipeline needs, where it is not there yet. */
export async function prepare(mesh: Mesh): Promise<void> {
  const { topics, subscriptions } = mesh.queue();
  for (const topic of ['orders', 'invoices', 'unbillable']) await topics.create(topic).catch(isThere);
  const billing = { retryPolicy: { minimumBackoffMs: 100 }, deadLetterPolicy: { topic: 'unbillable', maxDeliveryAttempts: 10 } };
  await subscriptions.create('billing', 'orders', billing).catch(isThere);
  await subscriptions.create('accounting', 'invoices', { mode: 'SEQUENTIAL' }).catch(isThere);
  await mesh.counter('sales').create().catch(isThere);
}

/** Turns orders into invoices until the signal fires: key, message and counter change together with the acknowledgement. */
export function bill(mesh: Mesh, signal: AbortSignal): Promise<void> {
  return mesh.queue().subscribe(
    'billing',
    async (message, tx) => {
      const order = message.json<Order>();
      if (!(order.amount > 0)) throw new Error(`order ${message.id} is about nothing`); // It comes again, 10 times at most.
      tx.put('payments', 'invoices', message.id, json(order), { precondition: 'absent' });
      tx.publish('invoices', { data: json({ ...order, of: message.id }), orderingKey: order.customer });
      tx.add('sales', order.amount);
    },
    { signal, concurrency: 20 },
  );
}

function isThere(error: unknown): void {
  if (!(error instanceof AlreadyExists)) throw error;
}

if (import.meta.main) {
  const [address = '127.0.0.1:50051', count = '100'] = process.argv.slice(2);
  await using mesh = connect(address);
  await prepare(mesh);
  const before = (await mesh.counter('sales').get()).value;
  const end = new AbortController();
  const billing = bill(mesh, end.signal);
  const orders = Array.from({ length: Number(count) }, (_, i) => json({ customer: `customer ${i % 10}`, amount: 1 + (i % 3) }));
  await mesh.queue().publish('orders', orders);
  let invoices = 0;
  for await (const message of mesh.queue().messages('accounting')) {
    await message.ack();
    if (++invoices === orders.length) break;
  }
  end.abort();
  await billing;
  const { value } = await mesh.counter('sales').get();
  console.log(`${orders.length} orders, ${invoices} invoices, sales of ${value - before}`);
}
