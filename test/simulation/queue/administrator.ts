/** A client that seeks, purges and makes snapshots, at every partition in one transaction. */

import type { SeekTarget } from '../../../services/kernel/queue/types.ts';
import type { Actor } from '../work/actor.ts';
import type { Step } from '../work/step.ts';
import type { Transactions } from '../work/transactions.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { purge, seek, snapshot } from './operations.ts';
import { SOUGHT, subscriptionNamed } from './plan.ts';

const WORK = { seek: 6, purge: 2, snapshot: 2 };
/** How far back a seek by time goes, milliseconds, and how many messages one by positions. */
const BACK_MS = 3000;
const BACK = 5;

export class Administrator {
  private readonly actor: Actor;
  private readonly transactions: Transactions;
  /** Snapshots that were asked for, by subscription. */
  private readonly snapshots = new Map<string, string[]>();

  constructor(actor: Actor, transactions: Transactions) {
    this.actor = actor;
    this.transactions = transactions;
  }

  async administer(): Promise<void> {
    const { actor, snapshots } = this;
    const { random } = actor;
    const { name, topic } = subscriptionNamed(random.pick(SOUGHT));
    const work = random.weighted(WORK);
    actor.count(`administered: ${work}`);
    switch (work) {
      case 'purge':
        actor.history.queue.administrations.push({ topic: 'narrow', subscription: undefined, startMs: actor.nowMs });
        return this.change(purge('narrow'));
      case 'seek':
        actor.history.queue.administrations.push({ topic, subscription: name, startMs: actor.nowMs });
        return this.change(seek(name, this.target(name, topic)));
      case 'snapshot': {
        const made = `${actor.client.machine.name}-${(snapshots.get(name)?.length ?? 0) + 1}`;
        snapshots.set(name, [...(snapshots.get(name) ?? []), made]);
        return this.change(snapshot(made, name, topic, actor.wallMs));
      }
    }
  }

  private target(subscription: string, topic: string): SeekTarget {
    const { random, wallMs, history } = this.actor;
    const made = this.snapshots.get(subscription) ?? [];
    if (made.length > 0 && random.chance(0.3)) return { type: 'snapshot', snapshot: random.pick(made) };
    switch (random.pick(['time', 'positions', 'end'] as const)) {
      case 'time':
        return { type: 'time', timeMs: wallMs - random.below(BACK_MS) };
      case 'end':
        return { type: 'end' };
      case 'positions': {
        const byPartition = new Map<number, number>();
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const highest = history.queue.storedIn(topic).filter((one) => one.partition === partition).at(-1)?.position ?? 1;
          byPartition.set(partition, Math.max(1, highest - random.below(BACK)));
        }
        return { type: 'positions', byPartition };
      }
    }
  }

  private async change(steps: readonly Step[]): Promise<void> {
    const { actor, transactions } = this;
    const content = transactions.begin({
      id: actor.client.newId(),
      variant: 0,
      kind: 'execute',
      startMs: actor.nowMs,
      writes: [],
      reads: [],
      publishes: [],
    });
    await transactions.execute(content, steps);
  }
}
