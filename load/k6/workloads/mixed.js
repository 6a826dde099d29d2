// Orders: one transaction takes an item from the stock and money from a purse, publishes the order and
// adds to the sales. A consumer writes one invoice for each order; every other one in the transaction
// that acknowledges the message, the rest before they acknowledge it.
import { conclude, until } from '../lib/audit.js';
import { createCounter, deleteCounter, read } from '../lib/counters.js';
import { uuidv7 } from '../lib/ids.js';
import { Ledger } from '../lib/ledger.js';
import { acknowledge, backlogOf, createTopic, deleteTopic, pull } from '../lib/messages.js';
import { decode, encode } from '../lib/mesh.js';
import { below, newRunName } from '../lib/run.js';
import { create, execute, get, operation, put, putAlone, scan } from '../lib/transactions.js';

const KEYS = Number(__ENV.KEYS || 200);
const MONEY = 1_000_000;
const DEAREST = 10;
const AT_ONCE = 20;

const orders = new Ledger('orders');

/** Names of what belongs to the run. */
function namesOf(run) {
  return { stock: `${run}-stock`, purses: `${run}-purses`, invoices: `${run}-invoices`, orders: `${run}-orders`, billing: `${run}-billing`, sales: `${run}-sales` };
}

function open() {
  const names = namesOf(newRunName());
  const numbers = Array.from({ length: KEYS }, (_, i) => i);
  create([
    ...numbers.map((i) => put('inventory', names.stock, `item-${i}`, { sold: 0 }, { absent: true })),
    ...numbers.map((i) => put('payments', names.purses, `customer-${i}`, { money: MONEY, spent: 0 }, { absent: true })),
  ]);
  createTopic(names.orders, names.billing);
  createCounter(names.sales, 'strong');
  return names;
}

function order({ stock, purses, orders: topic, sales }) {
  const [item, customer] = [`item-${below(KEYS)}`, `customer-${below(KEYS)}`];
  const shelf = get('inventory', stock, item);
  const purse = get('payments', purses, customer);
  if (!shelf || !purse) return;
  const price = 1 + below(DEAREST);
  const { money, spent } = purse.value;
  const content = encode({ order: uuidv7(), price });
  orders.write(1, () =>
    execute([
      put('inventory', stock, item, { sold: shelf.value.sold + 1 }, { version: shelf.version }),
      put('payments', purses, customer, { money: money - price, spent: spent + price }, { version: purse.version }),
      operation('queue', customer, 'queue.v1.PublishOperation', { topic, message: { data: content, orderingKey: customer } }),
      operation('counter', sales, 'counter.v1.AddOperation', { counter: sales, amount: String(price) }),
    ]),
  );
}

/** An order whose acknowledgement is not taken comes again, and finds its invoice written. */
function bill({ invoices, billing }) {
  for (const { ackId, message } of pull(billing, AT_ONCE)) {
    const { order: id, price } = decode(message.data);
    if (price % 2 === 0) {
      const partition = ackId.split(':')[0];
      execute([
        put('payments', invoices, id, { price }, { absent: true }),
        operation('queue', partition, 'queue.v1.AcknowledgeOperation', { subscription: billing, ackId }),
      ]);
    } else if (putAlone('payments', invoices, id, { price })) acknowledge(billing, [ackId]);
  }
}

/** What is left is billed; then stock, purses, sales and invoices tell the same story. */
function audit(names) {
  console.log(`${backlogOf(names.billing)} orders were left to bill`);
  until('to bill what was left', () => {
    bill(names);
    return backlogOf(names.billing) === 0;
  });
  const sum = (values, field) => values.reduce((total, value) => total + value[field], 0);
  const stock = scan('inventory', names.stock);
  const purses = scan('payments', names.purses);
  const invoices = scan('payments', names.invoices);
  const sales = read(names.sales);
  orders.find(invoices.length);
  conclude({
    'orders with an invoice': [invoices.length, sum(stock, 'sold')],
    'money on invoices': [sum(invoices, 'price'), sum(purses, 'spent')],
    'money spent and left': [sum(purses, 'spent') + sum(purses, 'money'), MONEY * KEYS],
    sales: [sales && sales.value, sum(purses, 'spent')],
  });
  deleteTopic(names.orders, names.billing);
  deleteCounter(names.sales);
}

export const mixed = {
  open,
  audit,
  flows: { order: { run: order, share: 1 }, bill: { run: bill, share: 0.2 } },
  timed: ['execute', 'get', 'put', 'acknowledge'],
  thresholds: orders.thresholds,
};
