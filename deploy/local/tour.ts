/** The tour that `npm start` runs: orders that span four services, over real gRPC, and a consumer that is killed. */

import { connect, TransactionAborted, type Mesh, type TransactionInfo } from '../../services/client/index.ts';
import { look, openShop, order, PRICE, type Shown } from './shop.ts';

/** What the tour needs of the processes around it. */
export interface TourServer {
  readonly address: string;
  /** Starts the server anew so that decisions are durable but are told to nobody. */
  restartHolding(): Promise<void>;
  /** kill -9, and a normal start. */
  crashAndRestart(): Promise<void>;
  /** Starts a consumer; with `hang` it gets no further than taking an order. */
  startConsumer(hang: boolean): TourConsumer;
}

/** A consumer in a process of its own. */
export interface TourConsumer {
  /** The next order that it has taken. */
  taken(): Promise<Taken>;
  /** kill -9 */
  kill(): Promise<void>;
}

export interface Taken {
  readonly order: string;
  /** The transaction in which it handles the order. */
  readonly transactionId: string;
  readonly deliveryAttempt: number;
}

/** What it uses of what a server may run. */
export const TOUR_SERVICES = { participants: ['inventory', 'payments'], queues: ['queue'], counters: ['counter'] } as const;

const FINISH_BOUND_MS = 30_000;
/** Longer than the acknowledgement deadline: what is to come again comes by then. */
const QUIET_MS = 3_000;

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
    const orders = await openShop(mesh);
    if (orders > 0) print(dim(`The data of earlier starts is here: ${orders} ${orders === 1 ? 'order' : 'orders'}.\n`));
    await goodOrder(mesh, print);
    await soldOutOrder(mesh, print);
    print(bold('3. A consumer that ships the order, and is killed twice'));
    const before = await look(mesh);
    await server.restartHolding();
    mesh.close();
    mesh = connect(server.address);
    const id = await killConsumers(mesh, server, print);
    mesh.close();
    mesh = connect(server.address);
    await shippedOnce(mesh, id, before, print);
  } finally {
    mesh.close();
  }
}

async function goodOrder(mesh: Mesh, print: Print): Promise<void> {
  print(bold('1. An order: stock, money, a message and a counter, in one transaction'));
  const before = await look(mesh);
  const id = await order(mesh, 'alice', 1);
  const after = await look(mesh);
  expectChange(before, after, { teapots: -1, balance: -PRICE, waiting: 1, sales: 1 });
  print(`   ${green('committed')}  ${id}`);
  show(print, before, after, ORDER);
}

async function soldOutOrder(mesh: Mesh, print: Print): Promise<void> {
  print(bold('2. An order of more than there is'));
  const before = await look(mesh);
  const error = await order(mesh, 'alice', before.teapots + 1).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof TransactionAborted)) throw new Error('the tour sold more than there is', { cause: error });
  const after = await look(mesh);
  expectChange(before, after, {});
  print(`   ${yellow('aborted')}    ${error.transactionId}`);
  print(dim(`   ${error.message}`));
  show(print, before, after, ORDER);
}

/** Returns the transaction that was decided when the second consumer and the coordinator were killed. */
async function killConsumers(mesh: Mesh, server: TourServer, print: Print): Promise<string> {
  const first = server.startConsumer(true);
  const { order: shipped } = await first.taken();
  await first.kill();
  print(dim(`   the first one takes order ${shipped} and works on it`));
  print(`   ${yellow('kill -9')}    of the consumer: the order comes again`);
  const second = server.startConsumer(false);
  const { order: again, transactionId, deliveryAttempt } = await second.taken();
  if (again !== shipped) throw new Error(`the tour found order ${again} where ${shipped} was to come again`);
  const { state, branches } = await awaitDecided(mesh, transactionId);
  print(dim(`   the second one takes it (delivery ${deliveryAttempt}); its transaction is decided, nobody has been told:`));
  print(dim(`   ${branches.map((branch) => `${branch.participant} ${branch.state}`).join(', ')}`));
  print(`   ${yellow('kill -9')}    of the consumer and of the server, and a new start`);
  if (state !== 'COMMITTING') throw new Error(`the tour found ${state} where the decision was held`);
  await second.kill();
  await server.crashAndRestart();
  return transactionId;
}

async function shippedOnce(mesh: Mesh, id: string, before: Shown, print: Print): Promise<void> {
  const finished = await awaitState(mesh, id, ({ state }) => state === 'COMMITTED');
  const rest = await mesh.queue().pull('shipping', { waitMs: QUIET_MS });
  if (rest.length > 0) throw new Error(`the tour found message ${rest[0]!.id} again`);
  const after = await look(mesh);
  expectChange(before, after, { waiting: -before.waiting, shipments: 1, shipped: 1 });
  print(`   ${green('committed')}  ${finished.transactionId}`);
  show(print, before, after, SHIPMENT);
}

function awaitDecided(mesh: Mesh, id: string): Promise<TransactionInfo> {
  return awaitState(mesh, id, ({ state }) => state !== 'ACTIVE' && state !== 'PREPARING');
}

/** Follows the transaction until it is as wanted. */
async function awaitState(mesh: Mesh, id: string, isWanted: (transaction: TransactionInfo) => boolean): Promise<TransactionInfo> {
  const bound = AbortSignal.timeout(FINISH_BOUND_MS);
  const events = mesh.watchTransactions({ transactionId: id, fromStart: true, signal: bound });
  for await (const { transaction: seen } of events) {
    const transaction = isWanted(seen) ? seen : await mesh.get(id, { signal: bound });
    if (isWanted(transaction)) return mesh.get(id, { signal: bound });
  }
  throw new Error('the watch of transactions ended');
}

/** What is shown, with the service that has it. */
type Line = readonly [service: string, words: string, field: keyof Shown];

const ORDER: readonly Line[] = [
  ['counter', 'teapots', 'teapots'],
  ['payments', "alice's balance", 'balance'],
  ['queue', 'orders to ship', 'waiting'],
  ['counter', 'sales', 'sales'],
];
const SHIPMENT: readonly Line[] = [
  ['queue', 'orders to ship', 'waiting'],
  ['inventory', 'shipments', 'shipments'],
  ['counter', 'shipped', 'shipped'],
];

function show(print: Print, before: Shown, after: Shown, lines: readonly Line[]): void {
  for (const [service, words, field] of lines) {
    const [a, b] = [before[field], after[field]];
    print(`     ${service.padEnd(11)} ${words.padEnd(16)} ${a === b ? `${a} ${dim('(unchanged)')}` : `${a} → ${bold(String(b))}`}`);
  }
  print();
}

function expectChange(before: Shown, after: Shown, change: Partial<Shown>): void {
  const fields = Object.keys(before) as (keyof Shown)[];
  const wrong = fields.filter((field) => after[field] !== before[field] + (change[field] ?? 0));
  if (wrong.length > 0) throw new Error(`the tour found ${JSON.stringify(after)} after ${JSON.stringify(before)}: ${wrong.join(', ')}`);
}

/** What to try next, as the README says it too. */
export function nextSteps(address: string): string {
  return [
    bold('Try next, in another terminal (grpcurl, or buf curl with --http2-prior-knowledge):'),
    '',
    `  grpcurl -plaintext ${address} list`,
    `  grpcurl -plaintext -d '{"participant":"payments","collection":"accounts","key":"alice"}' \\`,
    `    ${address} txmesh.keyvalue.v1.KeyValueService/Get`,
    `  grpcurl -plaintext -d '{"counter":"sales"}' ${address} txmesh.counter.v1.CounterService/Get`,
    `  grpcurl -plaintext -d '{"topic":"orders","messages":[{"data":"e30="}]}' ${address} txmesh.queue.v1.QueueService/Publish`,
    `  grpcurl -plaintext -d '{"pageSize":3}' ${address} txmesh.coordinator.v1.CoordinatorService/ListTransactions`,
    `  grpcurl -plaintext -d '{"fromStart":true}' ${address} txmesh.coordinator.v1.CoordinatorService/WatchTransactions`,
    '',
  ].join('\n');
}
