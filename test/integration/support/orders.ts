/**
 * Orders that are placed one after the other by several workers: each is one transaction that puts a key at
 * two participants, publishes a message and adds one to a counter. So whatever moment a store shows, once
 * what is in doubt there is settled the keys, the messages and the count are of the same orders.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { add, newTransactionId, OutcomeUnknown, publish, put, TxmeshError, type Mesh } from 'txmesh/client';
import { until } from './until.ts';

const PARTICIPANTS = ['inventory', 'payments'] as const;
const NAME = 'orders';
const READER = 'readers';
const RETRY_MS = 20;
const BOUND_MS = 60_000;

export class Orders {
  /** Orders that were told to be placed, with when, by Date.now(). */
  readonly placed = new Map<string, number>();
  /** Orders that were begun, with when. */
  readonly begun = new Map<string, number>();
  /** What must never happen, in words. */
  readonly violations: string[] = [];
  /** Orders that were not placed, by reason. */
  readonly refused = new Map<string, number>();
  private readonly mesh: Mesh;
  private readonly stopping = new AbortController();
  private workers: Promise<void>[] = [];

  constructor(mesh: Mesh) {
    this.mesh = mesh;
  }

  async open(): Promise<void> {
    await this.mesh.counter(NAME).create();
    await this.mesh.queue().topics.create(NAME);
    await this.mesh.queue().subscriptions.create(READER, NAME);
  }

  run(workers: number): void {
    this.workers = Array.from({ length: workers }, () => this.work());
    for (const worker of this.workers) worker.catch(() => undefined); // It is thrown by stop.
  }

  /** So many more orders are placed. */
  async goOn(orders: number): Promise<void> {
    const wanted = this.placed.size + orders;
    const state = (): string => `${wanted - this.placed.size} are missing; refused: ${JSON.stringify([...this.refused])}`;
    await until(`${orders} more orders are placed`, BOUND_MS, () => this.placed.size >= wanted, state);
  }

  /** Resolves when every order has a known outcome. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.workers);
  }

  /** Places one order. */
  async place(): Promise<void> {
    const transactionId = newTransactionId();
    this.begun.set(transactionId, Date.now());
    const keys = PARTICIPANTS.map((participant) => put(participant, NAME, transactionId, '', { precondition: 'absent' }));
    try {
      const outcome = await this.mesh.execute({ transactionId, operations: [...keys, publish(NAME, { data: transactionId }), add(NAME, 1)] });
      if (outcome.committed) this.placed.set(transactionId, Date.now());
      else this.note(outcome.cause);
    } catch (error) {
      if (!(error instanceof TxmeshError)) throw error;
      if (error instanceof OutcomeUnknown) {
        if (await this.settle(error)) this.placed.set(transactionId, Date.now());
      } else this.note(error);
    }
  }

  private async work(): Promise<void> {
    while (!this.stopping.signal.aborted) await this.place();
  }

  private note({ reason }: TxmeshError): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }

  private async settle(unknown: OutcomeUnknown): Promise<boolean> {
    const endMs = performance.now() + BOUND_MS;
    for (;;) {
      try {
        return await unknown.settle();
      } catch (error) {
        if (performance.now() > endMs) {
          this.violations.push(`the outcome of ${unknown.transactionId} could not be settled: ${String(error)}`);
          return false;
        }
        await pause(RETRY_MS);
      }
    }
  }
}

/**
 * The orders that a mesh holds, when none is under way and nothing is in doubt. Takes the messages out.
 * @param violations where the keys, the messages and the count are not of the same orders, in words
 */
export async function ordersOf(mesh: Mesh, violations: string[]): Promise<Set<string>> {
  const [first, second] = await Promise.all(
    PARTICIPANTS.map(async (participant) => {
      const keys = new Set<string>();
      for await (const { key } of mesh.keyValue(participant).collection(NAME).scan({ pageSize: 1000 })) keys.add(key);
      return keys;
    }),
  );
  const messages: string[] = [];
  await until('every message was taken', BOUND_MS, async () => {
    const taken = await mesh.queue().pull(READER, { maxMessages: 1000, waitMs: 200 });
    await Promise.all(taken.map((message) => message.ack()));
    messages.push(...taken.map((message) => message.text()));
    return (await mesh.queue().subscriptions.statistics(READER)).backlogMessages === 0;
  }, () => `${messages.length} were`);
  const { value } = await mesh.counter(NAME).get();
  const orders = first!;
  for (const key of differences(orders, second!)) violations.push(`the order ${key} is at one of ${PARTICIPANTS.join(' and ')}`);
  for (const key of differences(orders, new Set(messages))) violations.push(`the order ${key} has a key or a message, and not both`);
  if (messages.length !== orders.size) violations.push(`${orders.size} orders have ${messages.length} messages`);
  if (value !== BigInt(orders.size)) violations.push(`the count is ${value}, and there are ${orders.size} orders`);
  return orders;
}

/** What is in one of them only. */
function differences(a: ReadonlySet<string>, b: ReadonlySet<string>): string[] {
  return [...[...a].filter((each) => !b.has(each)), ...[...b].filter((each) => !a.has(each))];
}
