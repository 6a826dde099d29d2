/** Adds to a strong and to a sharded counter: the values must be the number of adds that were answered. */

import type { Counter, Mesh } from 'txmesh/client';
import { Attempts } from './attempts.ts';

const ADDERS = 2;

export class Adds {
  readonly violations: string[] = [];
  readonly errors: ReadonlyMap<string, number>;
  refused = 0;
  private readonly attempts = new Attempts();
  private readonly counters: readonly { readonly counter: Counter; counted: number }[];

  constructor(mesh: Mesh) {
    this.counters = ['strong', 'sharded'].map((name) => ({ counter: mesh.counter(`e2e-${name}`), counted: 0 }));
    this.errors = this.attempts.errors;
  }

  get counted(): number {
    return this.counters.reduce((sum, { counted }) => sum + counted, 0);
  }

  get unknown(): number {
    return this.attempts.unknown;
  }

  async open(): Promise<void> {
    const [strong, sharded] = this.counters;
    await strong!.counter.create({ kind: 'STRONG' });
    await sharded!.counter.create({ kind: 'SHARDED', shards: 4 });
  }

  run(): void {
    for (const each of this.counters)
      this.attempts.run(ADDERS, () => ({ done: each.counter.add(1), told: (done) => void (done ? each.counted++ : this.refused++) }));
  }

  stop(): Promise<void> {
    return this.attempts.stop();
  }

  async check(): Promise<void> {
    this.violations.push(...this.attempts.violations);
    for (const { counter, counted } of this.counters) {
      const { value, kind } = await counter.get();
      if (value !== BigInt(counted)) this.violations.push(`the ${kind} counter is ${value} after ${counted} adds`);
    }
  }
}
