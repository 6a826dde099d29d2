/** The pipeline as the test sees it: orders go in, progress is seen, and in the end everything must add up. */

import type { Mesh } from 'txmesh/client';
import { ACCEPTED, HANDLE_ORDERS, keyOf, messageOf, orderAt, ORDERS, SETTLE_ORDERS, STOCK, TURNOVER, type Account, type Order, type Result } from './stages.ts';

/** More than is ordered, so that orders which are handled twice are seen in what is left. */
const SPARE_STOCK = 1_000;
/** After so long the others get what a consumer had that was killed or paused. */
const ACK_DEADLINE_MS = 3_000;
const PUBLISHED_AT_A_TIME = 1_000;
const SAMPLE_MS = 100;

interface Sample {
  readonly atMs: number;
  readonly turnover: number;
}

export class Pipeline {
  private readonly mesh: Mesh;
  private readonly orders: number;
  private published = 0;
  private readonly samples: Sample[] = [];
  private sampling: NodeJS.Timeout | undefined;

  constructor(mesh: Mesh, orders: number) {
    this.mesh = mesh;
    this.orders = orders;
  }

  async open(): Promise<void> {
    const { topics, subscriptions } = this.mesh.queue();
    for (const [topic, subscription] of [[ORDERS, HANDLE_ORDERS], [ACCEPTED, SETTLE_ORDERS]] as const) {
      await topics.create(topic);
      await subscriptions.create(subscription, topic, { mode: 'SEQUENTIAL', ackDeadlineMs: ACK_DEADLINE_MS });
    }
    await this.mesh.counter(STOCK).create({ kind: 'STRONG', bounds: { minimum: 0 }, initialValue: this.orders + SPARE_STOCK });
    await this.mesh.counter(TURNOVER).create({ kind: 'STRONG' });
    let busy = false;
    this.sampling = setInterval(() => {
      if (busy) return;
      busy = true;
      void this.sample().finally(() => (busy = false));
    }, SAMPLE_MS);
  }

  close(): void {
    clearInterval(this.sampling);
  }

  /** Publishes the next orders. Resolves when they are durable. */
  async publish(count: number): Promise<void> {
    const queue = this.mesh.queue();
    while (count > 0) {
      const part = Math.min(count, PUBLISHED_AT_A_TIME);
      const first = this.published;
      this.published += part;
      count -= part;
      await queue.publish(ORDERS, Array.from({ length: part }, (_, i) => messageOf(orderAt(first + i))));
    }
  }

  /** About how many orders are through, by the turnover. */
  get settled(): number {
    return ((this.samples.at(-1)?.turnover ?? 0) / turnoverOf(this.orders)) * this.orders;
  }

  /** Orders a second between two moments, by performance.now(). */
  rate(fromMs: number, toMs: number): number {
    const between = this.samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
    if (between.length < 2) return 0;
    const [first, last] = [between[0]!, between.at(-1)!];
    return (((last.turnover - first.turnover) / turnoverOf(this.orders)) * this.orders * 1000) / (last.atMs - first.atMs);
  }

  /** The longest time without progress between two moments. */
  longestGapMs(fromMs: number, toMs: number): number {
    let longest = 0;
    let last = fromMs;
    let turnover = -1;
    for (const sample of this.samples) {
      if (sample.atMs < fromMs || sample.atMs > toMs || sample.turnover === turnover) continue;
      if (turnover !== -1) longest = Math.max(longest, sample.atMs - last);
      turnover = sample.turnover;
      last = sample.atMs;
    }
    return Math.max(longest, toMs - last);
  }

  /** What is not as it must be when everything is through, in words. */
  async check(): Promise<string[]> {
    const { mesh, orders } = this;
    const wrong: string[] = [];
    const must = (what: string, is: unknown, shall: unknown): void => void (is === shall || wrong.push(`${what} is ${String(is)}, not ${String(shall)}`));
    must('the stock', (await mesh.counter(STOCK).get()).value, BigInt(SPARE_STOCK));
    must('the turnover', (await mesh.counter(TURNOVER).get()).value, BigInt(turnoverOf(orders)));
    for (const subscription of [HANDLE_ORDERS, SETTLE_ORDERS])
      must(`the backlog of ${subscription}`, (await mesh.queue().subscriptions.statistics(subscription)).backlogMessages, 0);
    const expected = new Map(Array.from({ length: orders }, (_, n) => orderAt(n)).map((order) => [keyOf(order), order]));
    const noted = await this.scan<Order>('inventory', 'orders');
    const results = await this.scan<Result>('payments', 'results');
    must('the number of orders that were noted', noted.size, orders);
    must('the number of results', results.size, orders);
    for (const key of expected.keys()) {
      if (!noted.has(key)) wrong.push(`the order ${key} was not noted`);
      const result = results.get(key);
      if (result === undefined) wrong.push(`the order ${key} has no result`);
      else must(`the place of order ${key} among its customer's`, result.settledAs, result.number);
    }
    let accounted = 0;
    for (const account of (await this.scan<Account>('payments', 'accounts')).values()) accounted += account.orders;
    must('the number of orders in accounts', accounted, orders);
    return wrong;
  }

  private async scan<T>(participant: string, collection: string): Promise<Map<string, T>> {
    const found = new Map<string, T>();
    for await (const entry of this.mesh.keyValue(participant).collection(collection).scan({ pageSize: 1000 })) found.set(entry.key, entry.json<T>());
    return found;
  }

  /** What can't be read in time, while its partition has no leader, is no progress. */
  private async sample(): Promise<void> {
    try {
      const { value } = await this.mesh.counter(TURNOVER).get({ consistency: 'eventual', timeoutMs: 1_000 });
      this.samples.push({ atMs: performance.now(), turnover: Number(value) });
    } catch {
      return;
    }
  }
}

/** Of the first so many orders. */
function turnoverOf(orders: number): number {
  let turnover = 0;
  for (let n = 0; n < orders; n++) turnover += orderAt(n).amount;
  return turnover;
}
