/** Transactions over participants of several kinds. */

import { addTo, reshard } from '../counter/operations.ts';
import { countersOf } from '../counter/plan.ts';
import { encodeValue, keyOf, type Content } from '../history.ts';
import { put } from '../keys/operations.ts';
import type { Place } from '../keys/places.ts';
import type { Actor } from './actor.ts';
import type { Step, Transactions } from './transactions.ts';

export class MixedWorker {
  private readonly actor: Actor;
  private readonly transactions: Transactions;

  constructor(actor: Actor, transactions: Transactions) {
    this.actor = actor;
    this.transactions = transactions;
  }

  /** Writes keys, and counts what it did. */
  async sale(): Promise<void> {
    const { actor } = this;
    const { random, places } = actor;
    const content = this.content('execute', random.sample(places.registers, 1 + random.below(2)));
    const steps = [...content.writes.map(({ place, value }) => put(place, value)), ...this.adds(content)];
    await this.transactions.execute(content, steps);
  }

  /** Only counts: transactions that only add don't wait for one another. */
  async tally(): Promise<void> {
    const content = this.content('execute', []);
    await this.transactions.execute(content, this.adds(content));
  }

  /** The number of shards of a counter changes while others add. */
  async reshard(): Promise<void> {
    const { random } = this.actor;
    const { name } = random.pick(countersOf('ledger').filter(({ kind }) => kind === 'sharded'));
    const content = this.content('execute', []);
    await this.transactions.execute(content, reshard(name, 1 + random.below(6)));
  }

  /** Adds to one or two counters, as a part of the content. */
  private adds({ id, variant }: Content): Step[] {
    const { random, history, profile, nowMs } = this.actor;
    const steps: Step[] = [];
    for (const counter of random.sample([...countersOf('ledger', profile.counterKinds), ...countersOf('bounded')], 1 + random.below(2))) {
      const small = BigInt(1 + random.below(4)) * (random.chance(0.5) ? 1n : -1n);
      const amount = counter.role === 'ledger' ? history.counters.nextAmount(counter.name) : small;
      if (amount === undefined) continue;
      history.counters.add(counter.name, amount, nowMs, keyOf(id, variant));
      steps.push(addTo(counter.name, amount));
    }
    return steps;
  }

  private content(kind: Content['kind'], places: readonly Place[]): Content {
    const { client, nowMs } = this.actor;
    const id = client.newId();
    const writes = places.map((place) => ({ place, value: encodeValue(keyOf(id, 0), undefined) }));
    return this.transactions.begin({ id, variant: 0, kind, startMs: nowMs, writes, reads: [] });
  }
}
