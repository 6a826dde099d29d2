/**
 * One run: a mesh, clients and accidents from one seed. The real Term, Replica, Seat, ClusterView,
 * LeaseHolder, kernels and codecs run on simulated clocks, network and store.
 */

import { joinCluster, joinService } from '../../../services/runtime/cluster/identity.ts';
import { leaderCodec } from '../../../services/runtime/cluster/codec.ts';
import { LEADER_PREFIX, leaderKey } from '../../../services/runtime/cluster/keys.ts';
import type { Service } from '../../../services/runtime/cluster/view.ts';
import { MemoryStore } from '../../../services/runtime/store/memory.ts';
import { prefixRange, type Store } from '../../../services/runtime/store/store.ts';
import type { Switches } from '../bugs.ts';
import { checkAlways, checkAtRest } from '../checkers/checks.ts';
import { readCounters } from '../counter/rest.ts';
import { counterCreations } from '../counter/setup.ts';
import { StoredBounds } from '../counter/stored.ts';
import { checkLockOrder } from '../checkers/lock-order.ts';
import { History } from '../history.ts';
import { Places } from '../keys/places.ts';
import { Versions } from '../keys/versions.ts';
import { profileOf, type Profile } from '../profiles.ts';
import { coverage } from '../queue/coverage.ts';
import { drain } from '../queue/rest.ts';
import { queueCreations } from '../queue/setup.ts';
import { StoredMessages } from '../queue/stored.ts';
import { Workload } from '../work/workload.ts';
import { AccidentPlan, REPLICAS, type Victims } from './accidents.ts';
import { Client, type ClientWorld } from './client.ts';
import { CLUSTER_ID, servicesOf } from './cluster.ts';
import type { AnyKernel, AnyReply } from './commands.ts';
import { Durable } from './durable.ts';
import { FaultyStore, type StoreWorld } from './faulty-store.ts';
import { createKernel } from './kinds.ts';
import type { KernelSettings } from './kind.ts';
import { EPOCH_MS, Machine } from './machine.ts';
import { Network } from './network.ts';
import { Node } from './node.ts';
import { Prepared } from './prepared.ts';
import { Random } from './random.ts';
import { checkReplay } from './replay.ts';
import { findUnrest, readEverything, type Ask } from './rest.ts';
import { Scheduler } from './scheduler.ts';
import { setUp } from './setup.ts';
import { waitsIn } from './waits.ts';

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

/** When clients begin: the partitions have leaders by then, mostly. */
const START_MS = 1500;
/** After the faults have ended: how long everything may take to come to rest. */
const REST_MS = 90_000;
const REST_STEP_MS = 2_000;
const ASK_TIMEOUT_MS = 1000;
/** How often the state in memory is compared with the store's. */
const REPLAY_SHARE = 0.1;

export async function run(options: RunOptions): Promise<Result> {
  const world = new World(options);
  return await world.run();
}

class World implements ClientWorld, Victims {
  readonly scheduler = new Scheduler();
  readonly random: Random;
  readonly network: Network;
  readonly profile: Profile;
  readonly services: readonly Service[];
  private readonly options: RunOptions;
  private readonly switches: Switches;
  private readonly places: Places;
  private readonly kernels: Omit<KernelSettings, 'participant' | 'partition'>;
  private readonly engine: Store;
  private readonly stores: StoreWorld;
  private readonly history = new History();
  private readonly durable: Durable;
  private readonly bounds: StoredBounds;
  private readonly replicas = new Map<string, Node>();
  private readonly leaders = new Map<string, string>();
  private readonly violations: string[] = [];
  private readonly counts: Record<string, number> = {};
  private readonly trace: string[] = [];
  private starts = 0;

  constructor(options: RunOptions) {
    this.options = options;
    const { seed, switches = {} } = options;
    const { scheduler } = this;
    this.switches = switches;
    this.profile = profileOf(seed);
    const { shape, retentionMs, cacheBytes } = this.profile;
    this.services = servicesOf(shape);
    this.places = new Places(shape);
    this.random = new Random(seed);
    // With some versions kept the store shows every one, also one that is replaced in its own batch.
    this.kernels = { retentionMs, cacheBytes, historyLimit: this.random.pick([0, 20]), switches };
    this.network = new Network(scheduler, this.random, this.profile.network);
    const prepared = new Prepared();
    this.history.queue.prepared = prepared.branches;
    this.bounds = new StoredBounds(prepared);
    this.durable = new Durable(this.services, [new Versions(this.history), prepared, this.bounds, new StoredMessages(this.history.queue)], (what) => this.count(what));
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

  async run(): Promise<Result> {
    const { profile, scheduler } = this;
    this.say(`profile: ${profile.name}`);
    await joinCluster(this.engine, CLUSTER_ID, EPOCH_MS);
    for (const { name, kind, partitions } of this.services) await joinService(this.engine, name, kind, partitions, partitions);
    this.followLeaders();
    for (let number = 1; number <= REPLICAS; number++) this.start(`r${number}`);
    await this.setUp();
    const startMs = scheduler.nowMs;
    const workloads = this.workloads();
    for (const workload of workloads) scheduler.at(startMs, () => this.guard(workload.run(startMs + profile.durationMs)));
    const accidents = new AccidentPlan(this, startMs);
    await scheduler.runUntil(startMs + profile.durationMs, () => this.failed);
    accidents.end();
    this.check(checkAlways(this.history));
    this.check(this.bounds.violations);
    if (!this.failed) await this.comeToRest(workloads);
    return {
      seed: this.options.seed,
      profile: profile.name,
      violations: this.violations,
      events: scheduler.count,
      counts: this.counts,
      trace: this.trace,
    };
  }

  /** The partitions get leaders, and what is to be there is made. */
  private async setUp(): Promise<void> {
    const { scheduler } = this;
    await scheduler.runUntil(START_MS);
    if (this.profile.shape === 'keys') return;
    await setUp([...queueCreations(), ...counterCreations()], this.ask, this.pass);
  }

  private workloads(): Workload[] {
    const { profile, history, places, scheduler, random } = this;
    return Array.from({ length: profile.clients }, (_, index) => {
      const machine = new Machine(`client-${index + 1}`, scheduler, 0, random.between(-1, 1) * profile.skewMs);
      const client = new Client(this, machine);
      return new Workload({ client, history, profile, places, count: (what) => this.count(what), say: (text) => this.say(text) });
    });
  }

  /** Ends all faults, gives everything time to finish, and looks at what is there. */
  private async comeToRest(workloads: readonly Workload[]): Promise<void> {
    const { scheduler, network, profile } = this;
    const failed = (): boolean => this.failed;
    this.say('the faults end');
    network.faults = { ...profile.network, loss: 0, duplicate: 0, straggler: 0 };
    this.stores.faults = { ...profile.store, unavailable: 0, ambiguous: 0, slow: 0, watchLagMs: 10 };
    this.stores.cut.clear();
    for (const { options } of this.nodes()) network.heal(options.machine.name);
    for (let number = 1; number <= REPLICAS; number++) this.revive(`r${number}`);
    // Late copies and late writes arrive within this time.
    await scheduler.runUntil(scheduler.nowMs + Math.max(profile.lateCopyMs, 5000) + 2000, failed);
    if (profile.shape !== 'keys') for (const workload of workloads) await this.waitFor(workload.settle());
    let unrest = await findUnrest(this.services, this.ask);
    for (const endMs = scheduler.nowMs + REST_MS; unrest.length > 0 && scheduler.nowMs < endMs && !this.failed; ) {
      await scheduler.runUntil(scheduler.nowMs + REST_STEP_MS, failed);
      unrest = await findUnrest(this.services, this.ask);
    }
    this.check(unrest);
    this.check(await readEverything(this.places, this.ask, this.history, () => scheduler.nowMs));
    if (profile.shape !== 'keys') {
      const { drained, problems } = await drain(this.ask, this.pass);
      this.history.queue.drained.push(...drained);
      this.check(problems);
    }
    if (profile.shape !== 'keys') this.check(await readCounters(this.ask, this.history, () => scheduler.nowMs));
    this.check(checkAtRest(this.history, this.places));
    for (const [what, times] of Object.entries(coverage(this.history))) this.count(what, times);
  }

  /** Lets the mesh go on for a while. */
  private readonly pass = (forMs: number): Promise<void> => this.scheduler.runUntil(this.scheduler.nowMs + forMs);

  /** Lets the mesh go on until the work is done. */
  private async waitFor(work: Promise<void>): Promise<void> {
    let done = false;
    this.guard(work.finally(() => (done = true)));
    await this.scheduler.runUntil(this.scheduler.nowMs + REST_MS, () => done || this.failed);
    if (!done) this.check(['a client can not find out what became of its requests']);
  }

  private readonly ask: Ask = async (service, partition, question) => {
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
    term.submit(question(origin), 'control');
    await this.scheduler.runUntil(this.scheduler.nowMs + ASK_TIMEOUT_MS, () => answered);
    return answer;
  };

  // Replicas

  nodes(): readonly Node[] {
    return [...this.replicas.values()];
  }

  leader(service: string, partition: number): Node | undefined {
    const address = this.leaders.get(leaderKey(service, partition));
    return address === undefined ? undefined : this.replicas.get(address);
  }

  running(): readonly string[] {
    return [...this.replicas.keys()];
  }

  machine(address: string): Machine {
    return this.replicas.get(address)!.options.machine;
  }

  get storeCut(): Set<string> {
    return this.stores.cut;
  }

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
      scheduler,
      services: this.services,
      switches: this.switches,
      kernels: this.kernels,
      leaseTtlMs: profile.leaseTtlMs,
      queueLimit: profile.queueLimit,
      events: {
        trace: (text) => this.say(text),
        count: (what) => this.count(what),
        onBatch: (service, partition, epoch, kernel) => this.onBatch(service, partition, epoch, kernel),
      },
      at: (at) => this.replicas.get(at),
      all: () => this.nodes(),
    });
    this.replicas.set(address, node);
    this.guard(node.start());
  }

  stop(address: string): void {
    this.replicas.get(address)?.options.machine.crash();
    this.replicas.delete(address);
  }

  revive(address: string): void {
    if (!this.replicas.has(address)) this.start(address);
  }

  drain(address: string): void {
    const node = this.replicas.get(address)!;
    this.say(`${node.options.name}: drains`);
    const left = (): void => {
      this.say(`${node.options.name}: has left`);
      this.count('drained');
      if (this.replicas.get(address) === node) this.stop(address);
    };
    this.guard(node.drain().then(left));
  }

  jumped({ name }: Machine): void {
    this.history.queue.jumps.push({ machine: name, atMs: this.scheduler.nowMs });
  }

  // Observation

  private onBatch(service: Service, partition: number, epoch: number, kernel: AnyKernel): void {
    this.count('batches');
    if (service.kind !== 'coordinator') {
      const { edges, waitingReads } = waitsIn(kernel);
      if (edges.length > 0) this.count('batches with waits for locks');
      if (waitingReads > 0) this.count('batches with reads that wait');
      this.check(checkLockOrder(edges));
    }
    if (!this.random.chance(REPLAY_SHARE) || this.switches.unreplayed === true || this.durable.lastEpoch(service, partition) !== epoch) return;
    this.count('replays compared');
    const fresh = createKernel(service, { ...this.kernels, participant: service.name, partition });
    this.durable.replay(service, partition, fresh);
    this.check(checkReplay(`${service.name}/${partition}`, kernel, fresh, epoch, EPOCH_MS + this.scheduler.nowMs));
  }

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

  private get failed(): boolean {
    return this.violations.length > 0;
  }

  private check(found: readonly string[]): void {
    for (const violation of found) {
      this.violations.push(violation);
      this.say(`VIOLATION ${violation}`);
    }
  }

  count(what: string, times = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + times;
    if (what.startsWith('defect')) this.check([what]);
  }

  say(text: string): void {
    if (this.options.traced === true) this.trace.push(`${this.scheduler.nowMs.toFixed(1).padStart(9)} ms  ${text}`);
  }
}
