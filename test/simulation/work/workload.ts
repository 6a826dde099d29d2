/** One client's work: kinds of it at random, as often as its profile says. */

import { KeyWorker } from '../keys/work.ts';
import type { Work } from '../profiles.ts';
import { Actor, type ActorOptions } from './actor.ts';
import { Transactions } from './transactions.ts';

export class Workload {
  private readonly actor: Actor;
  private readonly works: Readonly<Record<Work, () => Promise<void>>>;

  constructor(options: ActorOptions) {
    this.actor = new Actor(options);
    const transactions = new Transactions(this.actor);
    const keys = new KeyWorker(this.actor, transactions);
    this.works = {
      write: () => keys.write(),
      cross: () => keys.cross(),
      transfer: () => keys.transfer(),
      audit: () => keys.audit(),
      look: () => keys.look(),
      local: () => keys.local(),
      interactive: () => keys.interactive(),
      force: () => keys.force(),
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
}
