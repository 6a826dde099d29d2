/**
 * One run: a mesh, clients and accidents from one seed. The real Term, Replica, Seat, ClusterView,
 * LeaseHolder, kernels and codecs run on simulated clocks, network and store.
 */

import { isDeepStrictEqual } from 'node:util';
import type { Kernel } from '../../services/kernel/kernel.ts';
import type { LockRequest } from '../../services/kernel/participant/locks.ts';
import { joinCluster, joinService } from '../../services/runtime/cluster/identity.ts';
import { COORDINATOR } from '../../services/runtime/cluster/view.ts';
import { leaderCodec } from '../../services/runtime/cluster/codec.ts';
import { LEADER_PREFIX, leaderKey } from '../../services/runtime/cluster/keys.ts';
import { MemoryStore } from '../../services/runtime/store/memory.ts';
import { prefixRange, type Store } from '../../services/runtime/store/store.ts';
import type { Switches } from './bugs.ts';
import { checkBalances } from './checkers/balances.ts';
import { checkReads } from './checkers/linearizable.ts';
import { checkLockOrder } from './checkers/lock-order.ts';
import { checkAtomicity, checkOneOutcome } from './checkers/outcomes.ts';
import { checkSerializable } from './checkers/serializable.ts';
import { Client, type ClientWorld } from './client.ts';
import { CLUSTER_ID, nameOf, PARTITIONS, PLACES, SERVICES } from './cluster.ts';
import type { AnyKernel, AnyReply } from './commands.ts';
import { Durable } from './durable.ts';
import { FaultyStore, type StoreWorld } from './faulty-store.ts';
import { History } from './history.ts';
import { createCoordinator, createParticipant, readAnswer } from './kernels.ts';
import { EPOCH_MS, Machine } from './machine.ts';
import { Network } from './network.ts';
import { Node } from './node.ts';
import { profileOf, untilNext, type Accidents, type Profile } from './profiles.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { ACCOUNTS, OPENING, Workload } from './workload.ts';

export interface Result {
  readonly seed: number;
  readonly profile: string;
  readonly violations: readonly string[];
  readonly events: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly trace: readonly string[];
}

export interface RunOptions {
  readonly seed: number;
  readonly switches?: Switches;
  /** Keeps what happens as text a person can read. */
  readonly traced?: boolean;
}

const REPLICAS = 3;
/** After the faults have ended: how long everything may take to come to rest. */
const REST_MS = 90_000;
const REST_STEP_MS = 2_000;
/** How often the state in memory is compared with the store's. */
const REPLAY_SHARE = 0.1;

export async function run(options: RunOptions): Promise<Result> {
  const world = new World(options);
  return await world.run();
}

class World implements ClientWorld {
  readonly scheduler = new Scheduler();
  readonly random: Random;
  readonly network: Network;
  private readonly options: RunOptions;
  private readonly profile: Profile;
  /** With some the store shows every version, also one that is replaced in its own batch. */
  private readonly historyLimit: number;
  private readonly engine: Store;
  private readonly stores: StoreWorld;
  private readonly history = new History();
  private readonly durable = new Durable(this.history, (what) => this.count(what));
  private readonly running = new Map<string, Node>();
  private readonly leaders = new Map<string, string>();
  private readonly violations: string[] = [];
  private readonly counts: Record<string, number> = {};
  private readonly trace: string[] = [];
  private starts = 0;
  private calm = false;

  constructor(options: RunOptions) {
    this.options = options;
    const { seed } = options;
    const { scheduler } = this;
    this.profile = profileOf(seed);
    this.random = new Random(seed);
    this.historyLimit = this.random.pick([0, 20]);
    this.network = new Network(scheduler, this.random, this.profile.network);
    this.engine = this.recorded(new MemoryStore({
      nowMs: () => EPOCH_MS + scheduler.nowMs,
      monotonicMs: () => scheduler.nowMs,
      setTimer: (delayMs, call) => {
        const event = scheduler.after(delayMs, call);
        return { cancel: () => (event.cancelled = true) };
      },
    }));
    this.stores = {
      engine: this.engine,
      scheduler,
      random: this.random,
      faults: this.profile.store,
      cut: new Set(),
      onAmbiguous: (machine, fate) => {
        this.count('ambiguous writes');
        this.say(`${machine.name}: ambiguous write, fate: ${fate}`);
      },
    };
  }

  nodes(): readonly Node[] {
    return [...this.running.values()];
  }

  leader(service: string, partition: number): Node | undefined {
    const address = this.leaders.get(leaderKey(service, partition));
    return address === undefined ? undefined : this.running.get(address);
  }

  async run(): Promise<Result> {
    const { profile, scheduler } = this;
    this.say(`profile: ${profile.name}`);
    await joinCluster(this.engine, CLUSTER_ID, EPOCH_MS);
    for (const { name, kind, partitions } of SERVICES) await joinService(this.engine, name, kind, partitions, partitions);
    this.followLeaders();
    for (let number = 1; number <= REPLICAS; number++) this.start(`r${number}`);
    const startMs = 1500;
    for (let number = 1; number <= profile.clients; number++) {
      const machine = new Machine(`client-${number}`, scheduler, 0, this.random.between(-1, 1) * profile.skewMs);
      const workload = new Workload(new Client(this, machine), this.history, profile, (what) => this.count(what), (text) => this.say(text));
      scheduler.at(startMs, () => this.guard(workload.run(startMs + profile.durationMs)));
    }
    for (const kind of Object.keys(profile.accidents) as (keyof Accidents)[]) this.plan(kind, startMs);
    await scheduler.runUntil(startMs + profile.durationMs, () => this.violations.length > 0);
    this.check(checkOneOutcome(this.history));
    if (this.violations.length === 0) await this.comeToRest();
    return {
      seed: this.options.seed,
      profile: profile.name,
      violations: this.violations,
      events: scheduler.count,
      counts: this.counts,
      trace: this.trace,
    };
  }

  // Replicas

  private start(address: string): void {
    const { profile, random, scheduler } = this;
    const name = `${address}.${++this.starts}`;
    const machine = new Machine(name, scheduler, random.between(-1, 1) * profile.drift, random.between(-20, 20));
    this.say(`${name}: starts`);
    const node = new Node({
      address,
      name,
      machine,
      store: new FaultyStore(this.stores, machine),
      network: this.network,
      random,
      switches: this.options.switches ?? {},
      retentionMs: profile.retentionMs,
      cacheBytes: profile.cacheBytes,
      historyLimit: this.historyLimit,
      leaseTtlMs: profile.leaseTtlMs,
      queueLimit: profile.queueLimit,
      events: {
        trace: (text) => this.say(text),
        count: (what) => this.count(what),
        onBatch: (service, partition, epoch, kernel) => this.onBatch(service, partition, epoch, kernel),
      },
      at: (at) => this.running.get(at),
      all: () => this.nodes(),
    });
    this.running.set(address, node);
    this.guard(node.start());
  }

  private stop(address: string): void {
    this.running.get(address)?.options.machine.crash();
    this.running.delete(address);
  }

  private onBatch(service: string, partition: number, epoch: number, kernel: AnyKernel): void {
    this.count('batches');
    if (service !== COORDINATOR) {
      const { edges, waitingReads } = waits(kernel);
      if (edges.length > 0) this.count('batches with waits for locks');
      if (waitingReads > 0) this.count('batches with reads that wait');
      this.check(checkLockOrder(edges));
    }
    if (!this.random.chance(REPLAY_SHARE) || this.options.switches?.unreplayed === true || this.durable.lastEpoch(service, partition) !== epoch) return;
    this.count('replays compared');
    const fresh = (
      service === COORDINATOR
        ? createCoordinator(partition, this.profile.retentionMs, this.profile.cacheBytes, this.options.switches?.coordinator)
        : createParticipant(service, partition, this.profile.retentionMs, this.profile.cacheBytes, this.historyLimit, this.options.switches?.participant)
    ) as Kernel<unknown, unknown, unknown, unknown>;
    this.durable.replay(service, partition, fresh);
    const silent = { put() {}, remove() {}, removeRange() {}, reply() {}, send() {}, emit() {}, follow() {}, stepDown() {} };
    fresh.lead(epoch, { nowMs: EPOCH_MS + this.scheduler.nowMs, entropy: 0 }, silent);
    const [live, replayed] = [plain(kernel.durableState()), plain(fresh.durableState())];
    if (!isDeepStrictEqual(live, replayed)) {
      this.check([`${service}/${partition} after a batch of epoch ${epoch}: memory is not what the store gives (P3): ${difference(live, replayed)}`]);
    }
  }

  // Accidents

  private plan(kind: keyof Accidents, fromMs: number): void {
    const meanMs = this.profile.accidents[kind]!;
    this.scheduler.at(fromMs + untilNext(this.random, meanMs), () => {
      if (this.calm) return;
      this.happen(kind);
      this.plan(kind, this.scheduler.nowMs);
    });
  }

  private happen(kind: keyof Accidents): void {
    const { random, scheduler, profile } = this;
    if (this.running.size === 0) return;
    const address = random.pick([...this.running.keys()]);
    const { machine } = this.running.get(address)!.options;
    const lastsMs = random.between(0.1, 1) * profile.pauseMs;
    // Mostly one at a time, so that another replica takes over.
    if (kind === 'pause' && this.nodes().some((node) => node.options.machine.paused) && random.chance(0.8)) return;
    this.count(kind);
    switch (kind) {
      case 'crash':
        this.say(`${machine.name}: crashes`);
        this.stop(address);
        scheduler.after(random.between(0, 1500), () => this.revive(address));
        break;
      case 'pause':
        this.say(`${machine.name}: pauses for ${Math.round(lastsMs)} ms`);
        machine.pause(lastsMs, random);
        break;
      case 'isolate':
        this.say(`${machine.name}: is cut off from the others for ${Math.round(lastsMs)} ms`);
        this.network.isolate(machine.name);
        scheduler.after(lastsMs, () => this.network.heal(machine.name));
        break;
      case 'storeCut':
        this.say(`${machine.name}: is cut off from the store for ${Math.round(lastsMs)} ms`);
        this.stores.cut.add(machine.name);
        scheduler.after(lastsMs, () => this.stores.cut.delete(machine.name));
        break;
      case 'jump': {
        const byMs = random.chance(0.7) ? random.between(0, profile.jumpMs) : -random.between(0, Math.min(profile.jumpMs, 3000));
        this.say(`${machine.name}: its wall clock jumps by ${Math.round(byMs)} ms`);
        machine.jump(byMs);
        break;
      }
      case 'membership':
        if (this.running.size > 2 && random.chance(0.6)) this.leave(address);
        else this.revive(`r${1 + random.below(REPLICAS + 1)}`);
        break;
    }
  }

  private revive(address: string): void {
    if (!this.running.has(address)) this.start(address);
  }

  private leave(address: string): void {
    const node = this.running.get(address)!;
    this.say(`${node.options.name}: drains`);
    const left = (): void => {
      this.say(`${node.options.name}: has left`);
      this.count('drained');
      if (this.running.get(address) === node) this.stop(address);
    };
    this.guard(node.drain().then(left));
  }

  // Rest

  /** Ends all faults, gives everything time to finish, and looks at what is there. */
  private async comeToRest(): Promise<void> {
    const { scheduler, network } = this;
    this.calm = true;
    this.say('the faults end');
    network.faults = { ...this.profile.network, loss: 0, duplicate: 0, straggler: 0 };
    this.stores.faults = { ...this.profile.store, unavailable: 0, ambiguous: 0, slow: 0, watchLagMs: 10 };
    this.stores.cut.clear();
    for (const { options } of this.nodes()) network.heal(options.machine.name);
    for (let number = 1; number <= REPLICAS; number++) this.revive(`r${number}`);
    const failed = (): boolean => this.violations.length > 0;
    // Late copies and late writes arrive within this time.
    await scheduler.runUntil(scheduler.nowMs + Math.max(this.profile.lateCopyMs, 5000) + 2000, failed);
    let unrest = await this.unrest();
    for (const endMs = scheduler.nowMs + REST_MS; unrest.length > 0 && scheduler.nowMs < endMs && !failed(); unrest = await this.unrest()) {
      await scheduler.runUntil(scheduler.nowMs + REST_STEP_MS, failed);
    }
    this.check(unrest);
    await this.readEverything();
    this.check([
      ...checkOneOutcome(this.history),
      ...checkAtomicity(this.history),
      ...checkReads(this.history),
      ...checkSerializable(this.history),
      ...checkBalances(this.history, ACCOUNTS.map(nameOf), OPENING),
    ]);
  }

  /** What is still not done: branches in doubt, transactions not finished, partitions without a leader. */
  private async unrest(): Promise<string[]> {
    const unrest: string[] = [];
    for (const { name } of SERVICES) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const where = `${name}/${partition}`;
        const command = name === COORDINATOR ? { type: 'list-active', afterId: '', limit: 10 } : { type: 'listPrepared', limit: 10 };
        const reply = await this.ask(name, partition, command);
        if (reply?.type === 'transactions') {
          for (const { transactionId, state } of reply.transactions) unrest.push(`${where}: transaction ${transactionId} is ${state} for ever`);
        } else if (reply?.type === 'prepared') {
          for (const { branch } of reply.branches) unrest.push(`${where}: the branch of ${branch.transactionId} is in doubt for ever`);
        } else unrest.push(`${where}: nobody answers for ever`);
      }
    }
    return unrest;
  }

  /** The last word of every key. */
  private async readEverything(): Promise<void> {
    for (const place of PLACES) {
      const startMs = this.scheduler.nowMs;
      const query = { type: 'keys', names: [`c/${place.key}`] };
      const command = { type: 'read', query, consistency: 'linearizable', deadlineMs: Infinity };
      const reply = await this.ask(place.participant, place.partition, command);
      if (reply?.type !== 'read') {
        this.check([`${nameOf(place)}: can't be read when everything is at rest`]);
        continue;
      }
      const { written: version, value } = readAnswer.take(reply)!;
      this.history.reads.push({ name: nameOf(place), consistency: 'linearizable', startMs, endMs: this.scheduler.nowMs, version, value });
    }
  }

  /** Asks the leader of a partition, without a network in between. */
  private async ask(service: string, partition: number, command: object): Promise<AnyReply | undefined> {
    let answer: AnyReply | undefined;
    let answered = false;
    const origin = {
      onReply: (reply: AnyReply): void => {
        answer = reply;
        answered = true;
      },
      onFailure: (): void => {
        answered = true;
      },
    };
    const term = this.leader(service, partition)?.term(service, partition);
    if (term === undefined) return undefined;
    term.submit({ ...command, origin }, 'control');
    await this.scheduler.runUntil(this.scheduler.nowMs + 1000, () => answered);
    return answer;
  }

  // Observation

  private followLeaders(): void {
    this.engine.watch(prefixRange(LEADER_PREFIX), {
      onSnapshot: () => undefined,
      onEvents: (events) => {
        for (const event of events) {
          if (event.type === 'delete') this.leaders.delete(event.key);
          else this.leaders.set(event.key, leaderCodec.decode(event.value).address);
        }
      },
    });
  }

  /** The engine, with every write seen in the order in which it takes effect. */
  private recorded(engine: MemoryStore): Store {
    const write: Store['write'] = async (batch) => {
      const result = await engine.write(batch);
      if (result.type === 'written') this.durable.onWritten(batch, this.scheduler.nowMs);
      else this.count('refused writes');
      return result;
    };
    return new Proxy(engine, {
      get: (target, name) => {
        if (name === 'write') return write;
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? (member as () => unknown).bind(target) : member;
      },
    }) as Store;
  }

  private guard(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.check([`a defect of the simulation or of the code: ${error instanceof Error ? error.stack : String(error)}`]));
  }

  private check(found: readonly string[]): void {
    for (const violation of found) {
      this.violations.push(violation);
      this.say(`VIOLATION ${violation}`);
    }
  }

  private count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
    if (what.startsWith('defect')) this.check([what]);
  }

  private say(text: string): void {
    if (this.options.traced === true) this.trace.push(`${this.scheduler.nowMs.toFixed(1).padStart(9)} ms  ${text}`);
  }
}

/** The one look inside a kernel: who waits for whom in a participant's lock table (K3), and how many reads wait. */
function waits(kernel: AnyKernel): { readonly edges: [LockRequest, LockRequest][]; readonly waitingReads: number } {
  const { state, reads } = kernel as unknown as {
    readonly state: { readonly locks: { edges(): [LockRequest, LockRequest][] } };
    readonly reads: { readonly waiting: ReadonlyMap<number, unknown> };
  };
  return { edges: state.locks.edges(), waitingReads: reads.waiting.size };
}

/** Without the difference between an absent field and an undefined one. */
function plain(state: unknown): unknown {
  return JSON.parse(JSON.stringify(state));
}

function difference(live: unknown, replayed: unknown): string {
  const [a, b] = [JSON.stringify(live), JSON.stringify(replayed)];
  let start = 0;
  while (a[start] === b[start]) start++;
  const from = Math.max(0, start - 60);
  return `memory …${a.slice(from, start + 120)}… store …${b.slice(from, start + 120)}…`;
}
