/** Transactions over participants of several kinds. */

import { addTo, reshard } from '../counter/operations.ts';
import { countersOf } from '../counter/plan.ts';
import { encodeValue, keyOf, type Content } from '../history.ts';
import { put } from '../keys/operations.ts';
import type { Place } from '../keys/places.ts';
import type { Consumer, Held } from '../queue/consumer.ts';
import { acknowledge, publish } from '../queue/operations.ts';
import { HANDLED, subscriptionNamed } from '../queue/plan.ts';
import type { Producer } from '../queue/producer.ts';
import { PARTITIONS } from '../world/cluster.ts';
import type { Actor } from './actor.ts';
import type { Step } from './step.ts';
import type { Transactions } from './transactions.ts';

/** How often a transaction publishes to a topic in memory, which refuses it. */
const MISTAKE = 0.02;

export class MixedWorker {
  private readonly actor: Actor;
  private readonly transactions: Transactions;
  private readonly producer: Producer;
  private readonly consumer: Consumer;

  constructor(actor: Actor, transactions: Transactions, producer: Producer, consumer: Consumer) {
    this.actor = actor;
    this.transactions = transactions;
    this.producer = producer;
    this.consumer = consumer;
  }

  /** Writes keys, and counts what it did. */
  async sale(): Promise<void> {
    const { actor } = this;
    const { random, places } = actor;
    const content = this.content('execute', random.sample(places.registers, 1 + random.below(2)));
    await this.transactions.execute(content, [...puts(content), ...this.adds(content)]);
  }

  /** Only counts: transactions that only add don't wait for one another. */
  async tally(): Promise<void> {
    const content = this.content('execute', []);
    await this.transactions.execute(content, this.adds(content));
  }

  /** An order: writes keys, publishes messages that tell of it, and counts it. */
  async order(): Promise<void> {
    const { random, places } = this.actor;
    const content = this.content('execute', random.sample(places.registers, random.below(2)));
    const messages = Array.from({ length: 1 + random.below(2) }, () => this.message(content, random.chance(MISTAKE) ? 'volatile' : 'orders'));
    await this.transactions.execute(content, [...puts(content), ...messages, ...(random.chance(0.5) ? this.adds(content) : [])]);
  }

  /** Takes messages and handles them in a transaction: acknowledges, publishes the result, writes and counts. */
  async handle(): Promise<void> {
    const { actor, transactions } = this;
    const { random, profile } = actor;
    const subscription = subscriptionNamed(random.pick(HANDLED.filter((name) => profile.subscriptions?.includes(name) !== false)));
    const held = await this.consumer.pull(subscription, random.below(PARTITIONS), 1 + random.below(2), random.below(400));
    if (held.length === 0) return;
    if (random.chance(profile.lateHandling)) await actor.sleep(random.between(0.3, 1.5) * subscription.ackDeadlineMs);
    const interactive = random.chance(0.3);
    const content = this.content(interactive ? 'interactive' : 'execute', random.sample(actor.places.registers, random.below(2)));
    const acknowledgements = held.map((one) => this.acknowledgement(content, one));
    const steps = [...acknowledgements, this.message(content, 'results'), ...puts(content), ...(random.chance(0.5) ? this.adds(content) : [])];
    if (!interactive) return void (await transactions.execute(content, steps));
    await transactions.interactive(content.id, steps, () => actor.sleep(random.between(0, 2) * profile.workMs));
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

  /** Publishes a message, as a part of the content. */
  private message(content: Content, topic: string): Step {
    const { random, profile } = this.actor;
    const message = this.producer.make(topic, random.pick(profile.orderingKeys), { writer: keyOf(content.id, content.variant) });
    content.publishes.push(message);
    return publish(message);
  }

  /** Acknowledges what a consumer holds, as a part of the content. */
  private acknowledgement({ id, variant }: Content, { subscription: { name }, partition, tag, payload }: Held): Step {
    const { generation, position, attempt } = tag;
    const { history, nowMs } = this.actor;
    history.queue.staged.push({ subscription: name, partition, generation, position, attempt, payload, writer: keyOf(id, variant), startMs: nowMs });
    return acknowledge(partition, name, tag);
  }

  private content(kind: Content['kind'], places: readonly Place[]): Content {
    const { client, nowMs } = this.actor;
    const id = client.newId();
    const writes = places.map((place) => ({ place, value: encodeValue(keyOf(id, 0), undefined) }));
    return this.transactions.begin({ id, variant: 0, kind, startMs: nowMs, writes, reads: [], publishes: [] });
  }
}

function puts({ writes }: Content): Step[] {
  return writes.map(({ place, value }) => put(place, value));
}
