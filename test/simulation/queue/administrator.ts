/** A client that seeks and purges, at every partition in one transaction. */

import type { SeekTarget } from '../../../services/kernel/queue/types.ts';
import type { Actor } from '../work/actor.ts';
import type { Step } from '../work/step.ts';
import type { Transactions } from '../work/transactions.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { purge, seek } from './operations.ts';
import { SOUGHT, subscriptionNamed } from './plan.ts';

/** How far back a seek by time goes, milliseconds, and how many messages one by positions. */
const BACK_MS = 3000;
const BACK = 5;

export class Administrator {
  private readonly actor: Actor;
  private readonly transactions: Transactions;

  constructor(actor: Actor, transactions: Transactions) {
    this.actor = actor;
    this.transactions = transactions;
  }

  async administer(): Promise<void> {
    const { random } = this.actor;
    if (random.chance(0.2)) return this.change('narrow', undefined, purge('narrow'));
    const { name, topic } = subscriptionNamed(random.pick(SOUGHT));
    await this.change(topic, name, seek(name, this.target(topic)));
  }

  private target(topic: string): SeekTarget {
    const { random, wallMs, history } = this.actor;
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

  private async change(topic: string, subscription: string | undefined, steps: readonly Step[]): Promise<void> {
    const { actor, transactions } = this;
    actor.history.queue.administrations.push({ topic, subscription, startMs: actor.nowMs });
    actor.count(subscription === undefined ? 'purges' : 'seeks');
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
