/**
 * What clients do with keys. Writes have values that say who wrote them; accounts hold balances that
 * only transfers change.
 */

import type { Attempt } from '../../../services/kernel/attempt.ts';
import { decodeValue, encodeValue, keyOf, nameOf, type Content } from '../history.ts';
import { CALL_TIMEOUT_MS, READ_TIMEOUT_MS, type Actor } from '../work/actor.ts';
import type { Step } from '../work/step.ts';
import { branchOf, type Transactions } from '../work/transactions.ts';
import { check, put, readOf, seenIn, type Seen } from './operations.ts';
import { OPENING, type Place } from './places.ts';

export class KeyWorker {
  private readonly actor: Actor;
  private readonly transactions: Transactions;
  private readonly registers: readonly Place[];

  constructor(actor: Actor, transactions: Transactions) {
    this.actor = actor;
    this.transactions = transactions;
    this.registers = actor.places.registers.slice(0, actor.profile.registers);
  }

  /** Writes without looking, to several places. */
  async write(): Promise<void> {
    const { random } = this.actor;
    const places = random.sample(this.registers, 1 + random.below(3));
    const content = this.content('execute', places.map((place) => ({ place })));
    await this.execute(content, puts(content));
  }

  /** Reads one register and writes another, so that two of a kind would skew. */
  async cross(): Promise<void> {
    const [read, written] = this.actor.random.sample(this.registers, 2);
    if (read === undefined || written === undefined) return;
    const seen = await this.read(read, 'linearizable');
    if (seen === undefined) return;
    const content = this.content('execute', [{ place: written }], [{ place: read, version: seen.written }]);
    await this.execute(content, [check(read, seen.version), ...puts(content)]);
  }

  /** Moves money between two accounts. */
  async transfer(): Promise<void> {
    const { random } = this.actor;
    const [from, to] = random.sample(this.actor.places.accounts, 2) as [Place, Place];
    const consistency = random.chance(0.3) ? 'eventual' : 'linearizable';
    const [a, b] = [await this.read(from, consistency), await this.read(to, consistency)];
    if (a === undefined || b === undefined) return;
    const amount = 1 + random.below(10);
    const content = this.content(
      'execute',
      [
        { place: from, balance: balanceOf(a) - amount },
        { place: to, balance: balanceOf(b) + amount },
      ],
      [
        { place: from, version: a.written },
        { place: to, version: b.written },
      ],
    );
    await this.execute(content, puts(content, [a.version, b.version]));
  }

  /** Several keys at one moment: BatchGet with serializable consistency. */
  async audit(): Promise<void> {
    const { random, places } = this.actor;
    const seen: { place: Place; version: number; written: number }[] = [];
    for (const place of random.sample(places.all, 2 + random.below(3))) {
      const read = await this.read(place, 'eventual');
      if (read === undefined) return;
      seen.push({ place, version: read.version, written: read.written });
    }
    const content = this.content('execute', [], seen.map(({ place, written }) => ({ place, version: written })));
    await this.execute(content, seen.map(({ place, version }) => check(place, version)));
  }

  /** Several read the same key at a time, through different replicas. */
  async look(): Promise<void> {
    const { random, places } = this.actor;
    const place = random.pick(random.chance(0.8) ? this.registers : places.all);
    const readers = Array.from({ length: 1 + random.below(4) }, () => this.read(place, random.chance(0.2) ? 'eventual' : 'linearizable'));
    if (random.chance(0.5)) await Promise.all(readers);
  }

  /** One partition, no coordinator. */
  async local(): Promise<void> {
    const { random } = this.actor;
    const place = random.pick(this.registers);
    const seen = random.chance(0.6) ? await this.read(place, random.chance(0.5) ? 'eventual' : 'linearizable') : undefined;
    const content = this.content('local', [{ place }], seen === undefined ? [] : [{ place, version: seen.written }]);
    await this.transactions.local(content, puts(content, [seen?.version])[0]!);
  }

  /** Begin, work at several participants, commit. */
  async interactive(): Promise<void> {
    const { actor, transactions } = this;
    const { random } = actor;
    const id = actor.client.newId();
    const attempt = await transactions.beginInteractive(id);
    if (attempt === undefined) return;
    const places = random.sample(this.registers, 1 + random.below(2));
    const content = this.content('interactive', places.map((place) => ({ place })), [], id);
    for (const { place, value } of content.writes) {
      const refused =
        (random.chance(0.3) && !(await this.readWithin(content, place, attempt))) ||
        !(await transactions.work(id, attempt, put(place, value)));
      if (refused) return void (await transactions.abandon(id));
    }
    await actor.sleep(random.between(0, 2) * actor.profile.workMs);
    await transactions.commit(id, attempt);
  }

  /** An operator forces the outcome of whatever is prepared. */
  async force(): Promise<void> {
    const { actor } = this;
    const { participant, partition } = actor.random.pick(actor.places.all);
    const listed = await actor.call(participant, partition, (_, origin) => ({ type: 'listPrepared', origin, limit: 10 }), CALL_TIMEOUT_MS);
    if (listed.type !== 'prepared' || listed.branches.length === 0) return;
    const { transactionId } = actor.random.pick(listed.branches).branch;
    const outcome = actor.random.pick(['commit', 'abort'] as const);
    actor.history.forced.add(transactionId);
    actor.count('forced outcomes');
    await actor.call(participant, partition, (_, origin) => ({ type: 'resolve', origin, transactionId, outcome }), CALL_TIMEOUT_MS);
  }

  // Parts

  private execute(content: Content, steps: readonly Step[]): Promise<boolean> {
    return this.transactions.execute(content, steps, () => {
      const places = this.actor.random.sample(this.registers, 2);
      const other = this.content('execute', places.map((place) => ({ place })), [], content.id, 1);
      return { content: other, steps: puts(other) };
    });
  }

  private content(
    kind: Content['kind'],
    writes: readonly { place: Place; balance?: number }[],
    reads: Content['reads'] = [],
    id = this.actor.client.newId(),
    variant = 0,
  ): Content {
    const writer = keyOf(id, variant);
    return this.transactions.begin({
      id,
      variant,
      kind,
      startMs: this.actor.nowMs,
      writes: writes.map(({ place, balance }) => ({ place, value: encodeValue(writer, balance) })),
      reads: [...reads],
      publishes: [],
    });
  }

  private async read(place: Place, consistency: 'linearizable' | 'eventual'): Promise<Seen | undefined> {
    const { actor } = this;
    const startMs = actor.nowMs;
    const answer = await actor.call(place.participant, place.partition, readOf(place, consistency, READ_TIMEOUT_MS), READ_TIMEOUT_MS);
    const seen = seenIn(answer);
    if (seen === undefined) return undefined;
    actor.count(`${consistency} reads`);
    const { written: version, value } = seen;
    actor.history.reads.push({ name: nameOf(place), consistency, startMs, endMs: actor.nowMs, version, value });
    return seen;
  }

  /** Reads in an interactive transaction: validated when it commits. */
  private async readWithin(content: Content, place: Place, attempt: Attempt): Promise<boolean> {
    const workspace = branchOf(content.id, attempt, place.participant, place.partition);
    const build = readOf(place, 'linearizable', CALL_TIMEOUT_MS, workspace);
    const seen = seenIn(await this.actor.call(place.participant, place.partition, build, CALL_TIMEOUT_MS));
    if (seen === undefined) return false;
    content.reads.push({ place, version: seen.written });
    return true;
  }
}

/** The content's writes as operations. @param versions what the keys must have, at the writes' places */
function puts({ writes }: Content, versions: readonly (number | undefined)[] = []): Step[] {
  return writes.map(({ place, value }, index) => put(place, value, versions[index]));
}

function balanceOf({ value }: Seen): number {
  return value === undefined ? OPENING : (decodeValue(value).balance ?? NaN);
}
