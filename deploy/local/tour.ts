/** The tour that `npm start` runs: three orders that span two services, over real gRPC. */

import { connect, json, type Mesh, type TransactionInfo } from '../../services/client/index.ts';

/** What the tour needs of the server around it. */
export interface TourServer {
  readonly address: string;
  /** Starts the server anew so that decisions are durable but are told to nobody. */
  restartHolding(): Promise<void>;
  /** kill -9, and a normal start. */
  crashAndRestart(): Promise<void>;
}

const STOCK = ['inventory', 'stock', 'teapot'] as const;
const PRICE = 40;
const FULL = { teapots: 10, money: 200 };
const FINISH_BOUND_MS = 30_000;

interface Stock {
  readonly teapots: number;
}
interface Account {
  readonly money: number;
}

const bold = (text: string): string => `\x1b[1m${text}\x1b[0m`;
const dim = (text: string): string => `\x1b[2m${text}\x1b[0m`;
const green = (text: string): string => `\x1b[32m${text}\x1b[0m`;
const yellow = (text: string): string => `\x1b[33m${text}\x1b[0m`;

export type Print = (line?: string) => void;

/** Colours only where somebody looks at them. */
export function printer(write: (line: string) => void, colours: boolean): Print {
  // eslint-disable-next-line no-control-regex
  return (line = '') => write(colours ? line : line.replaceAll(/\x1b\[\d+m/g, ''));
}

/** Runs the tour. Throws if anything is not as it must be. */
export async function tour(server: TourServer, print: Print): Promise<void> {
  let mesh = connect(server.address);
  try {
    await openShop(mesh, print);
    await paidOrder(mesh, print);
    await unpaidOrder(mesh, print);
    print(bold('3. An order whose coordinator is killed in the middle'));
    await server.restartHolding();
    mesh.close();
    mesh = connect(server.address);
    const { id, before } = await heldOrder(mesh, print);
    await server.crashAndRestart();
    mesh.close();
    mesh = connect(server.address);
    await finishedOrder(mesh, id, before, print);
  } finally {
    mesh.close();
  }
}

async function openShop(mesh: Mesh, print: Print): Promise<void> {
  const orders = await count(mesh);
  if (orders > 0) print(dim(`The data of earlier starts is here: ${orders} orders.\n`));
  await mesh.transaction(async (tx) => {
    const stock = (await tx.get(...STOCK))?.json<Stock>();
    const alice = (await tx.get('payments', 'accounts', 'alice'))?.json<Account>();
    const bob = (await tx.get('payments', 'accounts', 'bob'))?.json<Account>();
    if ((stock?.teapots ?? 0) < 3) tx.put(...STOCK, json({ teapots: FULL.teapots } satisfies Stock));
    if ((alice?.money ?? 0) < 3 * PRICE) tx.put('payments', 'accounts', 'alice', json({ money: FULL.money } satisfies Account));
    if (bob === undefined) tx.put('payments', 'accounts', 'bob', json({ money: 15 } satisfies Account));
  });
}

async function count(mesh: Mesh): Promise<number> {
  let orders = 0;
  for await (const _ of mesh.keyValue('inventory').collection('orders').scan()) orders++;
  return orders;
}

/** Takes stock and money and notes the order: one transaction over two participants. */
async function order(mesh: Mesh, customer: string): Promise<string> {
  return mesh.transaction(async (tx) => {
    const stock = (await tx.get(...STOCK))!.json<Stock>();
    const account = (await tx.get('payments', 'accounts', customer))!.json<Account>();
    tx.put(...STOCK, json({ teapots: stock.teapots - 1 } satisfies Stock));
    tx.put('payments', 'accounts', customer, json({ money: account.money - PRICE } satisfies Account));
    tx.put('inventory', 'orders', tx.id, json({ customer, price: PRICE }), { precondition: 'absent' });
    return tx.id;
  });
}

interface Shown {
  readonly teapots: number;
  readonly money: number;
}

async function look(mesh: Mesh, customer: string): Promise<Shown> {
  const stock = await mesh.keyValue('inventory').collection('stock').get('teapot');
  const account = await mesh.keyValue('payments').collection('accounts').get(customer);
  return { teapots: stock!.json<Stock>().teapots, money: account!.json<Account>().money };
}

function show(print: Print, customer: string, before: Shown, after: Shown): void {
  const arrow = (a: number, b: number): string => (a === b ? `${a} ${dim('(unchanged)')}` : `${a} → ${bold(String(b))}`);
  print(`     inventory   teapots          ${arrow(before.teapots, after.teapots)}`);
  print(`     payments    ${`${customer}'s money`.padEnd(16)} ${arrow(before.money, after.money)}`);
  print();
}

function expectChange(before: Shown, after: Shown, orders: number): void {
  const right = after.teapots === before.teapots - orders && after.money === before.money - orders * PRICE;
  if (!right) throw new Error(`the tour found ${JSON.stringify(after)} after ${JSON.stringify(before)} and ${orders} orders`);
}

async function paidOrder(mesh: Mesh, print: Print): Promise<void> {
  print(bold('1. An order that takes stock and money'));
  const before = await look(mesh, 'alice');
  const id = await order(mesh, 'alice');
  const after = await look(mesh, 'alice');
  expectChange(before, after, 1);
  print(`   ${green('committed')}  ${id}`);
  show(print, 'alice', before, after);
}

async function unpaidOrder(mesh: Mesh, print: Print): Promise<void> {
  print(bold('2. An order that fails for lack of money'));
  const before = await look(mesh, 'bob');
  const tx = await mesh.begin();
  const stock = (await tx.get(...STOCK))!.json<Stock>();
  await tx.put(...STOCK, json({ teapots: stock.teapots - 1 } satisfies Stock));
  print(dim(`   one teapot is put aside within the transaction, then the money is looked at …`));
  const account = (await tx.get('payments', 'accounts', 'bob'))!.json<Account>();
  const outcome = account.money < PRICE ? await tx.abort() : await tx.commit();
  const after = await look(mesh, 'bob');
  expectChange(before, after, 0);
  print(`   ${yellow(outcome.committed ? 'committed' : 'aborted')}    ${tx.id}`);
  show(print, 'bob', before, after);
}

async function heldOrder(mesh: Mesh, print: Print): Promise<{ id: string; before: Shown }> {
  await mesh.ready();
  const before = await look(mesh, 'alice');
  const id = await order(mesh, 'alice');
  const { state, branches } = await mesh.get(id);
  print(`   decided    ${id}`);
  print(dim(`   the decision is durable, nobody has been told: the coordinator says ${state},`));
  print(dim(`   ${branches.map((b) => `${b.participant} ${b.state}`).join(', ')}`));
  print(`   ${yellow('kill -9')}    and a new start`);
  if (state !== 'COMMITTING') throw new Error(`the tour found ${state} where the decision was held`);
  return { id, before };
}

async function finishedOrder(mesh: Mesh, id: string, before: Shown, print: Print): Promise<void> {
  const finished = await awaitCommitted(mesh, id);
  const after = await look(mesh, 'alice');
  expectChange(before, after, 1);
  print(`   ${green('committed')}  ${finished.transactionId}`);
  show(print, 'alice', before, after);
}

/** Follows the transaction until every branch has acknowledged. */
async function awaitCommitted(mesh: Mesh, id: string): Promise<TransactionInfo> {
  const bound = AbortSignal.timeout(FINISH_BOUND_MS);
  const events = mesh.watchTransactions({ transactionId: id, fromStart: true, signal: bound });
  for await (const _ of events) {
    const transaction = await mesh.get(id, { signal: bound });
    if (transaction.state === 'COMMITTED') return transaction;
  }
  throw new Error('the watch of transactions ended');
}

/** What to try next, as the README says it too. */
export function nextSteps(address: string): string {
  return [
    bold('Try next, in another terminal (grpcurl, or buf curl with --http2-prior-knowledge):'),
    '',
    `  grpcurl -plaintext ${address} list`,
    `  grpcurl -plaintext -d '{"participant":"payments","collection":"accounts","key":"alice"}' \\`,
    `    ${address} txmesh.keyvalue.v1.KeyValueService/Get`,
    `  grpcurl -plaintext -d '{"pageSize":3}' ${address} txmesh.coordinator.v1.CoordinatorService/ListTransactions`,
    `  grpcurl -plaintext -d '{"fromStart":true}' ${address} txmesh.coordinator.v1.CoordinatorService/WatchTransactions`,
    '',
  ].join('\n');
}
