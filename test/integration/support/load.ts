/** Calls of every kind, again and again, with a count of what failed. */

import { setImmediate as turn } from 'node:timers/promises';
import { json, put, TxmeshError, type Mesh } from 'txmesh/client';
import { until } from './until.ts';

const BOUND_MS = 30_000;

/** What {@link Load.addSdk} works on. */
export async function prepareLoad(mesh: Mesh): Promise<void> {
  await mesh.queue().topics.create('orders');
  await mesh.counter('sold').create();
}

/** Callers that call again and again, one call at a time each. */
export class Load {
  readonly failures: string[] = [];
  readonly done = new Map<string, number>();
  private stopped = false;
  private readonly callers: Promise<void>[] = [];

  add(what: string, call: () => Promise<unknown>): void {
    this.done.set(what, 0);
    this.callers.push(this.repeat(what, call));
  }

  addSdk(mesh: Mesh): void {
    let count = 0;
    let published = 0;
    this.add('transactions', async () => {
      const key = `${count++}`;
      const outcome = await mesh.execute({ operations: [put('inventory', 'c', key, json(1)), put('payments', 'c', key, json(1))] });
      if (!outcome.committed) throw outcome.cause;
    });
    this.add('reads', () => mesh.keyValue('inventory').collection('c').get(`${count}`));
    this.add('publishes', () => mesh.queue().publish('orders', json({ number: published++ })));
    this.add('adds', () => mesh.counter('sold').add(1));
  }

  /** Resolves when each caller has been answered so often from now on. */
  async more(calls: number): Promise<void> {
    const before = new Map(this.done);
    await until('every caller goes on', BOUND_MS, () => this.failures.length > 0 || [...this.done].every(([what, count]) => count >= before.get(what)! + calls), () => [...this.done].join(' '));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.callers);
  }

  private async repeat(what: string, call: () => Promise<unknown>): Promise<void> {
    while (!this.stopped) {
      try {
        await call();
        this.done.set(what, this.done.get(what)! + 1);
      } catch (error) {
        this.failures.push(`${what}: ${error instanceof TxmeshError ? `${error.reason} ${error.message}` : String(error)}`);
      }
      await turn();
    }
  }
}
