/**
 * What clients do: transactions of every form, retries, late copies, aborts by id, reads. Writes have
 * values that say who wrote them; accounts hold balances that only transfers change.
 */

import type { Attempt } from '../../services/kernel/attempt.ts';
import type { BranchId } from '../../services/kernel/messages.ts';
import { COORDINATOR } from '../../services/runtime/cluster/view.ts';
import type { Client } from './client.ts';
import { coordinatorPartition, nameOf, PLACES, type Place } from './cluster.ts';
import type { Answer, Build } from './commands.ts';
import { decodeValue, encodeValue, keyOf, type Content, type History } from './history.ts';
import { localOf, operationOf, opaqueOf, readAnswer, type Operation, type Seen } from './kernels.ts';
import type { Profile } from './profiles.ts';

/** How long a client of ordinary patience waits for an answer. */
const COMMIT_TIMEOUT_MS = 1500;
const CALL_TIMEOUT_MS = 900;
const READ_TIMEOUT_MS = 700;
/** What an account holds that was never written. */
export const OPENING = 100;

/** Two accounts and one register in each partition. */
export const ACCOUNTS: readonly Place[] = PLACES.filter((_, index) => index % 3 !== 2);
export const REGISTERS: readonly Place[] = PLACES.filter((_, index) => index % 3 === 2);

export class Workload {
  private readonly client: Client;
  private readonly history: History;
  private readonly profile: Profile;
  private readonly count: (what: string) => void;
  private readonly say: (text: string) => void;
  private readonly registers: readonly Place[];

  constructor(client: Client, history: History, profile: Profile, count: (what: string) => void, say: (text: string) => void) {
    this.say = (text) => say(`${client.machine.name}: ${text}`);
    this.client = client;
    this.history = history;
    this.profile = profile;
    this.count = count;
    this.registers = REGISTERS.slice(0, profile.registers);
  }

  /** Works until the time is over. */
  async run(untilMs: number): Promise<void> {
    const { client, profile } = this;
    await client.sleep(client.random.between(0, 300));
    while (client.trueMs < untilMs) {
      const kind = client.random.weighted(profile.work);
      this.count(`began ${kind}`);
      await this[kind]();
      await client.sleep(client.random.between(0, 2) * profile.thinkMs);
    }
  }

  // Kinds of work

  /** Writes without looking, to several places. */
  protected async write(): Promise<void> {
    const { random } = this.client;
    const id = this.client.newId();
    const places = random.sample(this.registers, 1 + random.below(3));
    await this.execute(this.content(id, 'execute', 0, places.map((place) => ({ place }))), places.map((place) => ({ type: 'put', place })));
  }

  /** Reads one register and writes another, so that two of a kind would skew. */
  protected async cross(): Promise<void> {
    const [read, written] = this.client.random.sample(this.registers, 2);
    if (read === undefined || written === undefined) return;
    const seen = await this.read(read, 'linearizable');
    if (seen === undefined) return;
    const id = this.client.newId();
    const content = this.content(id, 'execute', 0, [{ place: written }], [{ place: read, version: seen.written }]);
    await this.execute(content, [
      { type: 'check', place: read, version: seen.version },
      { type: 'put', place: written },
    ]);
  }

  /** Moves money between two accounts. */
  protected async transfer(): Promise<void> {
    const { random } = this.client;
    const [from, to] = random.sample(ACCOUNTS, 2) as [Place, Place];
    const consistency = random.chance(0.3) ? 'eventual' : 'linearizable';
    const [a, b] = [await this.read(from, consistency), await this.read(to, consistency)];
    if (a === undefined || b === undefined) return;
    const amount = 1 + random.below(10);
    const id = this.client.newId();
    const content = this.content(
      id,
      'execute',
      0,
      [
        { place: from, balance: balanceOf(a) - amount },
        { place: to, balance: balanceOf(b) + amount },
      ],
      [
        { place: from, version: a.written },
        { place: to, version: b.written },
      ],
    );
    await this.execute(content, [
      { type: 'put', place: from, version: a.version },
      { type: 'put', place: to, version: b.version },
    ]);
  }

  /** All accounts at one moment: BatchGet with serializable consistency. */
  protected async audit(): Promise<void> {
    const places = this.client.random.sample(PLACES, 2 + this.client.random.below(3));
    const seen: { place: Place; version: number; written: number }[] = [];
    for (const place of places) {
      const read = await this.read(place, 'eventual');
      if (read === undefined) return;
      seen.push({ place, version: read.version, written: read.written });
    }
    const content = this.content(this.client.newId(), 'execute', 0, [], seen.map(({ place, written }) => ({ place, version: written })));
    await this.execute(content, seen.map(({ place, version }) => ({ type: 'check', place, version })));
  }

  /** Several read the same key at a time, through different replicas. */
  protected async look(): Promise<void> {
    const { random } = this.client;
    const place = random.pick(random.chance(0.8) ? this.registers : PLACES);
    const readers = Array.from({ length: 1 + random.below(4) }, () => this.read(place, random.chance(0.2) ? 'eventual' : 'linearizable'));
    if (random.chance(0.5)) await Promise.all(readers);
  }

  /** One partition, no coordinator. */
  protected async local(): Promise<void> {
    const { random } = this.client;
    const place = random.pick(this.registers);
    const id = this.client.newId();
    const seen = random.chance(0.6) ? await this.read(place, random.chance(0.5) ? 'eventual' : 'linearizable') : undefined;
    const version = seen?.version;
    const reads = seen === undefined ? [] : [{ place, version: seen.written }];
    const content = this.content(id, 'local', 0, [{ place }], reads);
    const operations: Operation[] = [{ type: 'put', place, version, value: content.writes[0]!.value }];
    const firstTryMs = this.client.machine.clock.nowMs();
    const build: Build = (nowMs, origin) => localOf(id, origin, operations, firstTryMs, nowMs + CALL_TIMEOUT_MS);
    this.copyLate(place.participant, place.partition, build, (answer) => this.settleLocal(content, answer));
    await this.retrying(3, async () => {
      const answer = await this.call(place.participant, place.partition, build, CALL_TIMEOUT_MS);
      return this.settleLocal(content, answer);
    });
  }

  /** Begin, work at several participants, commit. */
  protected async interactive(): Promise<void> {
    const { client } = this;
    const id = client.newId();
    const partition = coordinatorPartition(id);
    const firstTryMs = client.machine.clock.nowMs();
    const begin: Build = (nowMs, origin) => ({
      type: 'begin',
      origin,
      transactionId: id,
      mode: 'two-phase-commit',
      firstTryMs,
      deadlineMs: nowMs + 4 * COMMIT_TIMEOUT_MS,
    });
    const begun = await this.call(COORDINATOR, partition, begin, CALL_TIMEOUT_MS);
    if (begun.type !== 'begun') return;
    const places = client.random.sample(this.registers, 1 + client.random.below(2));
    const content = this.content(id, 'interactive', 0, places.map((place) => ({ place })));
    for (const [index, place] of places.entries()) {
      if (client.random.chance(0.3) && !(await this.readWithin(content, place, begun.attempt))) return this.abandon(id);
      const operations: Operation[] = [{ type: 'put', place, version: undefined, value: content.writes[index]!.value }];
      const answer = await this.call(place.participant, place.partition, (nowMs, origin) => ({
        type: 'work',
        origin,
        branch: branchOf(id, begun.attempt, place),
        operations: operations.map(operationOf),
        deadlineMs: nowMs + CALL_TIMEOUT_MS,
      }), CALL_TIMEOUT_MS);
      if (answer.type !== 'done') return this.abandon(id);
    }
    await client.sleep(client.random.between(0, 2) * this.profile.workMs);
    this.count('asked for an interactive commit');
    await this.retrying(4, async () => {
      const answer = await this.call(COORDINATOR, partition, (_, origin) => ({ type: 'commit', origin, transactionId: id, attempt: begun.attempt }), COMMIT_TIMEOUT_MS);
      return this.settleTransaction(id, 0, answer);
    });
  }

  /** An operator forces the outcome of whatever is prepared. */
  protected async force(): Promise<void> {
    const { client } = this;
    const place = client.random.pick(PLACES);
    const listed = await this.call(place.participant, place.partition, (_, origin) => ({ type: 'listPrepared', origin, limit: 10 }), CALL_TIMEOUT_MS);
    if (listed.type !== 'prepared' || listed.branches.length === 0) return;
    const { branch } = client.random.pick(listed.branches);
    const outcome = client.random.pick(['commit', 'abort'] as const);
    this.history.forced.add(branch.transactionId);
    this.count('forced outcomes');
    await this.call(place.participant, place.partition, (_, origin) => ({ type: 'resolve', origin, transactionId: branch.transactionId, outcome }), CALL_TIMEOUT_MS);
  }

  // Transactions

  private content(
    id: string,
    kind: Content['kind'],
    variant: number,
    writes: readonly { place: Place; balance?: number }[],
    reads: Content['reads'] = [],
  ): Content {
    const writer = keyOf(id, variant);
    const content: Content = {
      id,
      variant,
      kind,
      startMs: this.client.trueMs,
      writes: writes.map(({ place, balance }) => ({ place, value: encodeValue(writer, balance) })),
      reads: [...reads],
    };
    this.history.contents.set(writer, content);
    const [written, read] = [writes.map(({ place }) => nameOf(place)), reads.map(({ place, version }) => `${nameOf(place)}@${version}`)];
    this.say(`begins ${kind} ${writer}, writing ${written.join(' ') || 'nothing'}${read.length > 0 ? `, having read ${read.join(' ')}` : ''}`);
    return content;
  }

  private async execute(content: Content, steps: readonly { type: 'put' | 'check'; place: Place; version?: number }[]): Promise<void> {
    const { client, profile } = this;
    const { id } = content;
    const partition = coordinatorPartition(id);
    const build = this.buildExecute(content, steps);
    this.copyLate(COORDINATOR, partition, build, (answer) => this.settleTransaction(id, content.variant, answer));
    if (client.random.chance(profile.abortRace)) void this.abortLater(id);
    if (client.random.chance(profile.otherContent)) void this.executeOther(content);
    const settled = await this.retrying(profile.retries, async () => {
      const answer = await this.call(COORDINATOR, partition, build, COMMIT_TIMEOUT_MS);
      return this.settleTransaction(id, content.variant, answer);
    });
    if (!settled && client.random.chance(0.5)) await this.abandon(id);
  }

  private buildExecute(content: Content, steps: readonly { type: 'put' | 'check'; place: Place; version?: number }[]): Build {
    const { id, variant } = content;
    const groups = new Map<string, Operation[]>();
    for (const { type, place, version } of steps) {
      const value = content.writes.find((write) => nameOf(write.place) === nameOf(place))?.value;
      const operation: Operation = { type, place, version, value };
      const key = `${place.participant}/${place.partition}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [operation]);
      else group.push(operation);
    }
    const branches = [...groups.values()].map((operations) => ({
      participant: operations[0]!.place.participant,
      partition: operations[0]!.place.partition,
      readOnly: operations.every((operation) => operation.type === 'check'),
      operations: operations.map(opaqueOf),
    }));
    const firstTryMs = this.client.machine.clock.nowMs();
    return (nowMs, origin) => ({
      type: 'execute',
      origin,
      transactionId: id,
      fingerprint: `content ${variant}`,
      mode: 'two-phase-commit',
      branches,
      firstTryMs,
      deadlineMs: nowMs + this.profile.transactionTimeoutMs,
    });
  }

  /** A careless client uses the id again for something else. */
  private async executeOther(first: Content): Promise<void> {
    const { client } = this;
    await client.sleep(client.random.between(0, 2000));
    const places = client.random.sample(this.registers, 2);
    const content = this.content(first.id, 'execute', 1, places.map((place) => ({ place })));
    const build = this.buildExecute(content, places.map((place) => ({ type: 'put', place })));
    this.count('ids used for two contents');
    await this.retrying(2, async () => {
      const answer = await this.call(COORDINATOR, coordinatorPartition(first.id), build, COMMIT_TIMEOUT_MS);
      return this.settleTransaction(first.id, 1, answer);
    });
  }

  /** The same request arrives again, long after. What it is told is an outcome like any other. */
  private copyLate(service: string, partition: number, build: Build, settle: (answer: Answer) => boolean): void {
    if (this.client.random.chance(this.profile.lateCopy)) void this.copy(service, partition, build, settle);
  }

  private async copy(service: string, partition: number, build: Build, settle: (answer: Answer) => boolean): Promise<void> {
    const { client, profile } = this;
    await client.sleep(client.random.between(0, profile.lateCopyMs));
    this.count('late copies');
    settle(await this.call(service, partition, build, COMMIT_TIMEOUT_MS));
  }

  private async abortLater(id: string): Promise<void> {
    await this.client.sleep(this.client.random.between(0, 200));
    await this.abandon(id);
  }

  /** Settles an id by abort. */
  private async abandon(id: string): Promise<void> {
    const answer = await this.call(COORDINATOR, coordinatorPartition(id), (_, origin) => ({ type: 'abort', origin, transactionId: id }), CALL_TIMEOUT_MS);
    this.settleTransaction(id, undefined, answer);
  }

  private call(service: string, partition: number, build: Build, timeoutMs: number): Promise<Answer> {
    return this.client.call(service, partition, build, timeoutMs * this.profile.patience);
  }

  private async retrying(tries: number, once: () => Promise<boolean>): Promise<boolean> {
    for (let tried = 1; ; tried++) {
      if (await once()) return true;
      if (tried >= tries) return false;
      await this.client.sleep(this.client.random.between(0, 300));
    }
  }

  /** True if the outcome is known, or will not be from asking again. */
  private settleTransaction(id: string, variant: number | undefined, answer: Answer): boolean {
    if (answer.type === 'failure') {
      this.count(`failure ${answer.failure.reason}`);
      return ['TRANSACTION_EXPIRED', 'TRANSACTION_ID_REUSED', 'WRONG_ATTEMPT', 'TRANSACTION_NOT_FOUND'].includes(answer.failure.reason);
    }
    if (answer.type !== 'transaction') return false;
    const { state, attempt, cause } = answer.transaction;
    this.say(`${keyOf(id, variant ?? 0)} was told ${state}${attempt === undefined ? '' : ` at attempt ${attempt.epoch}-${attempt.counter}`}${cause === undefined ? '' : ` (${cause.reason})`}`);
    if (state === 'COMMITTED' || state === 'COMMITTING') {
      this.count('told committed');
      this.history.settle(id, variant, 'committed', this.client.trueMs);
      return true;
    }
    if (state !== 'ABORTED') return false;
    this.count('told aborted');
    this.history.settle(id, variant, 'aborted', this.client.trueMs);
    return true;
  }

  private settleLocal(content: Content, answer: Answer): boolean {
    if (answer.type === 'done') {
      this.say(`${content.id} was told done at revision ${answer.revision}`);
      this.count('told committed locally');
      this.history.settle(content.id, 0, 'committed', this.client.trueMs);
      return true;
    }
    if (answer.type !== 'failure') return false;
    const { reason } = answer.failure;
    if (['PRECONDITION_FAILED', 'LOCK_CONFLICT', 'LOCK_TIMEOUT'].includes(reason)) {
      this.say(`${content.id} was refused: ${reason}`);
      this.count('told refused locally');
      this.history.settle(content.id, 0, 'aborted', this.client.trueMs);
      return true;
    }
    return reason === 'TRANSACTION_EXPIRED';
  }

  // Reads

  private async read(place: Place, consistency: 'linearizable' | 'eventual'): Promise<Seen | undefined> {
    const startMs = this.client.trueMs;
    const answer = await this.call(place.participant, place.partition, readAnswer.ask(place, consistency, READ_TIMEOUT_MS), READ_TIMEOUT_MS);
    const seen = readAnswer.take(answer);
    if (seen === undefined) return undefined;
    this.count(`${consistency} reads`);
    const { written: version, value } = seen;
    this.history.reads.push({ name: nameOf(place), consistency, startMs, endMs: this.client.trueMs, version, value });
    return seen;
  }

  /** Reads in an interactive transaction: validated when it commits. */
  private async readWithin(content: Content, place: Place, attempt: Attempt): Promise<boolean> {
    const workspace = branchOf(content.id, attempt, place);
    const answer = await this.call(place.participant, place.partition, readAnswer.ask(place, 'linearizable', CALL_TIMEOUT_MS, workspace), CALL_TIMEOUT_MS);
    const seen = readAnswer.take(answer);
    if (seen === undefined) return false;
    content.reads.push({ place, version: seen.written });
    return true;
  }
}

function branchOf(transactionId: string, attempt: Attempt, { participant, partition }: Place): BranchId {
  return { transactionId, attempt, coordinatorPartition: coordinatorPartition(transactionId), participant, partition };
}

function balanceOf({ value }: Seen): number {
  return value === undefined ? OPENING : (decodeValue(value).balance ?? NaN);
}
