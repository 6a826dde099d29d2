/** One client's work: kinds of it at random, as often as its profile says. */

import { Adder } from '../counter/adder.ts';
import { Mover } from '../counter/mover.ts';
import { CounterReader } from '../counter/reader.ts';
import { Administrator } from '../queue/administrator.ts';
import { Consumer } from '../queue/consumer.ts';
import { Producer } from '../queue/producer.ts';
import { KeyWorker } from '../keys/work.ts';
import type { Work } from '../profiles.ts';
import { Actor, type ActorOptions } from './actor.ts';
import { MixedWorker } from './mixed.ts';
import { Transactions } from './transactions.ts';

export class Workload {
  private readonly actor: Actor;
  private readonly transactions: Transactions;
  private readonly adder: Adder;
  private readonly mover: Mover;
  private readonly producer: Producer;
  private readonly works: Readonly<Record<Work, () => Promise<void>>>;

  constructor(options: ActorOptions) {
    this.actor = new Actor(options);
    const transactions = new Transactions(this.actor);
    const producer = (this.producer = new Producer(this.actor));
    const consumer = new Consumer(this.actor);
    const administrator = new Administrator(this.actor, transactions);
    const keys = new KeyWorker(this.actor, transactions);
    const mixed = new MixedWorker(this.actor, transactions, producer, consumer);
    const counters = new CounterReader(this.actor, transactions);
    const mover = (this.mover = new Mover(this.actor));
    this.transactions = transactions;
    this.adder = new Adder(this.actor);
    this.works = {
      write: () => keys.write(),
      cross: () => keys.cross(),
      transfer: () => keys.transfer(),
      audit: () => keys.audit(),
      look: () => keys.look(),
      local: () => keys.local(),
      interactive: () => keys.interactive(),
      force: () => keys.force(),
      sale: () => mixed.sale(),
      tally: () => mixed.tally(),
      reshard: () => mixed.reshard(),
      add: () => this.adder.add(),
      count: () => counters.read(),
      set: () => counters.set(),
      move: async () => void (await mover.move()),
      exchange: () => mover.exchange(),
      order: () => mixed.order(),
      handle: () => mixed.handle(),
      publish: () => producer.publish(),
      consume: () => consumer.consume(),
      administer: () => administrator.administer(),
    };
  }

  /** Works until the time is over. */
  async run(untilMs: number): Promise<void> {
    const { actor } = this;
    const { random, profile } = actor;
    await actor.sleep(random.between(0, 300));
    while (actor.nowMs < untilMs) {
      const kind = random.weighted(profile.work);
      actor.count(`began ${kind}`);
      await this.works[kind]();
      await actor.sleep(random.between(0, 2) * profile.thinkMs);
    }
  }

  /** When the faults have ended: goes on until it knows what became of everything. */
  async settle(): Promise<void> {
    await this.adder.settle();
    await this.producer.settle();
    await this.transactions.settleAll();
    while ((await this.mover.move()) > 0) await this.actor.sleep(SETTLE_MS);
  }
}

const SETTLE_MS = 100;
