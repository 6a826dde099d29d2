/** One replica of every service, as the real processes build it, on a simulated machine. */

import type { Failure } from '../../../services/kernel/failure.ts';
import type { Mark, ToCoordinator, ToParticipant } from '../../../services/kernel/messages.ts';
import { delay } from '../../../services/runtime/clock.ts';
import { partitionPrefix } from '../../../services/runtime/cluster/keys.ts';
import { Replica } from '../../../services/runtime/cluster/replica.ts';
import type { SeatTerm } from '../../../services/runtime/cluster/seat.ts';
import { ClusterView, COORDINATOR, type Service } from '../../../services/runtime/cluster/view.ts';
import { Term, type Requester, type Tenure } from '../../../services/runtime/partition/term.ts';
import type { Store } from '../../../services/runtime/store/store.ts';
import { only, type Switches } from '../bugs.ts';
import { CLUSTER_ID } from './cluster.ts';
import type { AnyCommand, AnyKernel, AnyMessage, AnyRecord, AnyReply, AnyTerm, AnyTypes, Build, Caller } from './commands.ts';
import type { KernelSettings } from './kind.ts';
import { codecOf, createKernel, decodeOperations } from './kinds.ts';
import type { Machine } from './machine.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** What a node tells the world. */
export interface NodeEvents {
  trace(text: string): void;
  count(what: string): void;
  /** A batch of this kernel is durable; nothing was stepped since. */
  onBatch(service: Service, partition: number, epoch: number, kernel: AnyKernel): void;
}

export interface NodeOptions {
  /** Where it can be reached, the same for every start. */
  readonly address: string;
  /** Unique for each start. */
  readonly name: string;
  readonly machine: Machine;
  readonly store: Store;
  readonly network: Network;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly services: readonly Service[];
  readonly switches: Switches;
  readonly kernels: Omit<KernelSettings, 'participant' | 'partition'>;
  readonly leaseTtlMs: number;
  readonly queueLimit: number | undefined;
  readonly events: NodeEvents;
  /** The node that runs at an address now. */
  at(address: string): Node | undefined;
  /** All that run now. */
  all(): readonly Node[];
}

export const NO_LEADER: Failure = { reason: 'NO_LEADER', message: 'no leader is known', retryAfterMs: 100 };
/** How often a message goes to another replica that thinks it leads, if there is one. */
const ASTRAY = 0.4;
const JOIN_RETRY_MS = 200;
/** How often marks are told again. */
const HEARTBEAT_MS = 700;

/** The batch of a term that is under way, or was last. */
interface BatchTimes {
  readonly gatheredMs: number;
  readonly nowMs: number;
  open: boolean;
}

export class Node {
  readonly options: NodeOptions;
  readonly view: ClusterView;
  private readonly replica: Replica;
  /** The last mark of each coordinator partition that was led here, by partition. */
  private readonly marks = new Map<number, { readonly mark: Mark; readonly term: AnyTerm }>();

  private readonly batches = new WeakMap<AnyTerm, BatchTimes>();
  /** When the batch was begun that took a request, by whom it answers. */
  private readonly stepped = new WeakMap<object, number>();

  constructor(options: NodeOptions) {
    this.options = options;
    const { machine, store, name, address, leaseTtlMs, switches, events } = options;
    this.view = new ClusterView({ clusterId: CLUSTER_ID, numbersAbove: 0 }, store, machine.clock);
    this.replica = new Replica({
      name,
      address,
      store,
      clock: machine.clock,
      view: this.view,
      hosted: options.services.map((service) => ({
        service,
        createTerm: (partition, tenure, onEnd): SeatTerm => this.createTerm(service, partition, tenure, onEnd),
      })),
      leaseTtlMs,
      log: (message, fields) => events.trace(`${name}: ${message} ${Object.values(fields).join(' ')}`),
      ...(switches.seat === undefined ? {} : { bugs: new Set([switches.seat]) }),
    });
  }

  async start(): Promise<void> {
    const { machine } = this.options;
    for (;;) {
      try {
        await this.replica.start();
        break;
      } catch {
        await delay(machine.clock, JOIN_RETRY_MS);
      }
    }
    this.beat();
  }

  drain(): Promise<void> {
    return this.replica.drain();
  }

  term(service: string, partition: number): AnyTerm | undefined {
    return this.replica.term(service, partition) as AnyTerm | undefined;
  }

  /** A client's request arrives; it is forwarded at most once. What is left of its time goes with it. */
  receive(service: string, partition: number, build: Build, caller: Caller, single: boolean, forwarded = false): void {
    const { machine, network, at } = this.options;
    const term = this.term(service, partition);
    if (term !== undefined) {
      this.submit(term, build, caller);
      return;
    }
    const leader = this.view.leader(service, partition);
    const next = leader === undefined ? undefined : at(leader.address);
    if (forwarded || next === undefined || next === this) caller.onFailure(NO_LEADER);
    else network.send(machine, next.options.machine, () => next.receive(service, partition, build, caller, single, true), single);
  }

  private submit(term: AnyTerm, build: Build, caller: Caller): void {
    const { machine, scheduler } = this.options;
    const requester: Requester<AnyReply> = {
      onReply: (reply) => {
        const { gatheredMs, nowMs } = this.batches.get(term)!;
        const steppedMs = this.stepped.get(requester) ?? gatheredMs;
        caller.onReply(reply, { machine: machine.name, epoch: term.epoch, steppedMs, gatheredMs, leftMs: scheduler.nowMs, nowMs });
      },
      onFailure: (failure) => caller.onFailure(failure),
    };
    term.submit(build(machine.clock.nowMs(), requester), 'work');
  }

  private createTerm(service: Service, partition: number, tenure: Tenure, onEnd: (reason: string) => void): AnyTerm {
    const { machine, store, random, scheduler, events, queueLimit, switches, kernels, name } = this.options;
    const bug = service.kind === 'coordinator' ? switches.coordinatorDriver : switches.participantDriver;
    const kernel = createKernel(service, { ...kernels, participant: service.name, partition });
    events.count('terms');
    const term: AnyTerm = new Term<AnyCommand, AnyRecord, AnyReply, AnyMessage>({
      store,
      clock: machine.clock,
      kernel,
      codec: codecOf(service),
      keyPrefix: partitionPrefix(service.name, partition),
      tenure,
      entropy: () => random.next(),
      send: (message) => this.send(term, message),
      emit: () => undefined,
      onEnd: (reason) => {
        if (reason.startsWith('internal')) events.trace(`${name}: ${service.name}/${partition} DEFECT ${reason}`);
        if (reason.startsWith('internal')) events.count(`defect: ${reason}`);
        onEnd(reason);
      },
      observer: {
        stepped: (command) => {
          const batch = this.batches.get(term);
          if (batch?.open !== true) this.batches.set(term, { gatheredMs: scheduler.nowMs, nowMs: machine.clock.nowMs(), open: true });
          if ('origin' in command && typeof command.origin === 'object') this.stepped.set(command.origin!, scheduler.nowMs);
          return undefined;
        },
        through: (_, report) => {
          const batch = this.batches.get(term);
          if (batch !== undefined) batch.open = false;
          if (report !== undefined) events.onBatch(service, partition, tenure.epoch, kernel);
        },
      },
      ...(queueLimit === undefined ? {} : { queueLimit }),
      bugs: only(bug),
    });
    return term;
  }

  // Messages between partitions

  private send(sender: AnyTerm, message: AnyMessage): void {
    if (message.to === 'coordinator') this.toCoordinator(message.message);
    else if (message.to === 'participant') this.toParticipant(sender, message.message);
    else {
      const { mark } = message;
      this.marks.set(mark.coordinatorPartition, { mark, term: sender });
      this.tellMark(mark);
    }
  }

  /** Where a message goes: to the leader as far as is known here, now and then to one that was. */
  private route(service: string, partition: number): Node | undefined {
    const { random, at } = this.options;
    const leader = this.view.leader(service, partition);
    const known = leader === undefined ? undefined : at(leader.address);
    if (!random.chance(ASTRAY)) return known;
    const others = this.believers(service, partition).filter((node) => node !== known);
    return others.length === 0 ? known : random.pick(others);
  }

  /** Whoever thinks that it leads the partition. */
  private believers(service: string, partition: number): Node[] {
    return this.options.all().filter((node) => node.term(service, partition) !== undefined);
  }

  private toParticipant(sender: AnyTerm, message: ToParticipant): void {
    const { machine, network, events } = this.options;
    const { branch } = message;
    const undelivered = (): void =>
      void sender.submit({ type: 'message', message: { type: 'undelivered', branch, failure: NO_LEADER } }, 'control');
    const target = this.route(branch.participant, branch.partition);
    if (target === undefined) {
      queueMicrotask(undelivered);
      return;
    }
    const remainingMs = message.type === 'prepare' ? message.deadlineMs - machine.clock.nowMs() : 0;
    const mark = this.marks.get(branch.coordinatorPartition)?.mark;
    network.send(machine, target.options.machine, () => {
      const term = target.term(branch.participant, branch.partition);
      if (term === undefined) {
        network.send(target.options.machine, machine, undelivered);
        return;
      }
      events.count(`sent ${message.type}`);
      const now = target.options.machine.clock.nowMs();
      const decoded = this.decode(message, now + remainingMs);
      if (mark !== undefined) term.submit({ type: 'mark', ...mark }, 'control');
      term.submit({ type: 'message', message: decoded }, message.type === 'prepare' ? 'work' : 'control');
    });
  }

  /** As the participant's transport does before the kernel sees it. */
  private decode(message: ToParticipant, deadlineMs: number): ToParticipant<AnyTypes['operation']> {
    if (message.type !== 'prepare') return message;
    const service = this.options.services.find(({ name }) => name === message.branch.participant)!;
    return { ...message, operations: decodeOperations(service, message.operations), deadlineMs };
  }

  private toCoordinator(message: ToCoordinator): void {
    const { machine, network, events, random } = this.options;
    const partition = message.branch.coordinatorPartition;
    const targets = new Set([this.route(COORDINATOR, partition)]);
    // A copy to each that leads or once did: whatever a deposed leader makes of it must do no harm.
    for (const node of this.believers(COORDINATOR, partition)) if (random.chance(ASTRAY)) targets.add(node);
    for (const target of targets) {
      if (target === undefined) continue;
      network.send(machine, target.options.machine, () => {
        events.count(`sent ${message.type}`);
        target.term(COORDINATOR, partition)?.submit({ type: 'message', message }, 'control');
      });
    }
  }

  private tellMark(mark: Mark): void {
    for (const { name, kind, partitions } of this.options.services) {
      for (let partition = 0; kind !== 'coordinator' && partition < partitions; partition++) {
        const target = this.route(name, partition);
        if (target === undefined) continue;
        this.options.network.send(this.options.machine, target.options.machine, () =>
          target.term(name, partition)?.submit({ type: 'mark', ...mark }, 'control'));
      }
    }
  }

  private beat(): void {
    for (const [partition, { mark, term }] of this.marks) {
      if (this.term(COORDINATOR, partition) === term) this.tellMark(mark);
      else this.marks.delete(partition);
    }
    this.options.machine.clock.setTimer(HEARTBEAT_MS, () => this.beat());
  }
}
