/**
 * The consumer of the tour, a process of its own so that it can be killed: ships what was ordered. Tells
 * of each order on its standard output, and with --hang gets no further than that.
 *
 *   node tour-consumer.ts <mesh address> [--hang]
 */

import { connect, json } from '../../services/client/index.ts';

const [address, mode] = process.argv.slice(2);
await using mesh = connect(address!);
await mesh.queue().subscribe(
  'shipping',
  async (message, tx) => {
    const { order } = message.json<{ readonly order: string }>();
    tx.put('inventory', 'shipments', order, json({ order }), { precondition: 'absent' });
    tx.add('shipped', 1);
    console.log(JSON.stringify({ order, transactionId: tx.id, deliveryAttempt: message.deliveryAttempt }));
    if (mode === '--hang') await new Promise(() => undefined);
  },
  { concurrency: 1 },
);
