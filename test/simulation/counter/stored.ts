/**
 * Bounds at every moment, by what is stored: whatever becomes of the adds that are prepared, all of
 * those that go one way and none of those that go the other, a bounded counter stays within its bounds.
 */

import type { CounterEffect, CounterRecord } from '../../../services/kernel/counter/types.ts';
import type { DurableWrite, Follower } from '../world/follower.ts';
import type { Prepared } from '../world/prepared.ts';
import { COUNTER, countersOf } from './plan.ts';

export class StoredBounds implements Follower {
  /** What was violated, in the order in which it was. */
  readonly violations: string[] = [];
  private readonly prepared: Prepared;
  private readonly values = new Map<string, bigint>();

  /** @param prepared has followed each write before */
  constructor(prepared: Prepared) {
    this.prepared = prepared;
  }

  onWritten({ service, partition, puts, atMs }: DurableWrite): void {
    if (service.name !== COUNTER) return;
    for (const { key, decode } of puts) {
      const bounded = countersOf('bounded').find(({ name }) => key === `counter/${name}`);
      if (bounded !== undefined) this.values.set(bounded.name, (decode() as CounterRecord).value);
    }
    for (const { name, bounds } of countersOf('bounded')) {
      const value = this.values.get(name);
      if (value === undefined) continue;
      const { added, subtracted } = this.pending(service.name, partition, name);
      if (value + added <= bounds.maximum! && value + subtracted >= bounds.minimum!) continue;
      this.violations.push(`${name} at ${Math.round(atMs)} ms: ${value} with ${added} and ${subtracted} prepared can pass its bounds`);
    }
  }

  private pending(service: string, partition: number, counter: string): { added: bigint; subtracted: bigint } {
    let [added, subtracted] = [0n, 0n];
    for (const { effect } of this.prepared.now(service, partition)) {
      for (const change of (effect as CounterEffect).changes) {
        if (change.name !== counter || change.type !== 'add') continue;
        if (change.amount > 0n) added += change.amount;
        else subtracted += change.amount;
      }
    }
    return { added, subtracted };
  }
}
