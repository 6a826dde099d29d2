/**
 * A pipeline of orders. Stage one takes an order from the first queue, takes one piece off the stock,
 * notes the order and publishes it to the second queue; stage two takes it from there, puts it as the
 * next one into its customer's account and adds its amount to the turnover. Each stage is one
 * transaction for each order, so an order that is handled twice, lost or out of turn shows.
 */

import { json, type Message, type Mesh, type ReceivedMessage, type Transaction } from 'txmesh/client';

export const ORDERS = 'orders';
export const ACCEPTED = 'accepted';
export const HANDLE_ORDERS = 'handle-orders';
export const SETTLE_ORDERS = 'settle-orders';
export const STOCK = 'stock';
export const TURNOVER = 'turnover';

const CUSTOMERS = 100;

export interface Order {
  readonly customer: string;
  /** Of the customer's orders, from 1 on. */
  readonly number: number;
  readonly amount: number;
}

export interface Account {
  readonly orders: number;
  readonly amount: number;
}

/** What stage two makes of an order. */
export interface Result {
  readonly number: number;
  /** Which of the customer's orders it was when it was settled. */
  readonly settledAs: number;
}

/** The nth order of all, from 0 on. */
export function orderAt(n: number): Order {
  return { customer: `customer-${n % CUSTOMERS}`, number: Math.floor(n / CUSTOMERS) + 1, amount: 1 + (n % 5) };
}

export const keyOf = ({ customer, number }: Order): string => `${customer}/${number}`;

/** A customer's orders keep their order through both queues. */
export const messageOf = (order: Order): Message => ({ data: json(order), orderingKey: order.customer });

/** Runs until the signal fires. */
export async function runStages(mesh: Mesh, concurrency: number, signal: AbortSignal, onError: (error: unknown) => void): Promise<void> {
  const options = { concurrency, signal, onError };
  const queue = mesh.queue();
  await Promise.all([queue.subscribe(HANDLE_ORDERS, handle, options), queue.subscribe(SETTLE_ORDERS, settle, options)]);
}

async function handle(message: ReceivedMessage, tx: Transaction): Promise<void> {
  const order = message.json<Order>();
  tx.put('inventory', 'orders', keyOf(order), json(order));
  tx.add(STOCK, -1);
  tx.publish(ACCEPTED, messageOf(order));
}

async function settle(message: ReceivedMessage, tx: Transaction): Promise<void> {
  const order = message.json<Order>();
  const account = (await tx.get('payments', 'accounts', order.customer))?.json<Account>() ?? { orders: 0, amount: 0 };
  const settledAs = account.orders + 1;
  tx.put('payments', 'accounts', order.customer, json({ orders: settledAs, amount: account.amount + order.amount } satisfies Account));
  tx.put('payments', 'results', keyOf(order), json({ number: order.number, settledAs } satisfies Result));
  tx.add(TURNOVER, order.amount);
}
