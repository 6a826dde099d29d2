/**
 * For tests: partitions of a counter service, each a kernel with a store in memory, run as the driver
 * runs it. Every batch is checked: no key written twice, within the announced cost, and after it a
 * reload gives what is in memory (invariant P3), counters that are loaded on demand included.
 */

import { compareAttempts } from '../../attempt.ts';
import type { Origin, Output, StepInput } from '../../kernel.ts';
import type { BranchId, ToCoordinator } from '../../messages.ts';
import { ParticipantKernel } from '../../participant/kernel.ts';
import {
  DEFAULT_SETTINGS,
  type ParticipantCommand,
  type ParticipantMessage,
  type ParticipantRecord,
  type ParticipantReply,
  type ProtocolRecord,
} from '../../participant/types.ts';
import { COUNTER_PREFIX } from '../keys.ts';
import { homeOf } from '../placement.ts';
import { CounterResource } from '../resource.ts';
import {
  type AddOutcome,
  type CounterBug,
  type CounterEffect,
  type CounterEvent,
  type CounterOperation,
  type CounterQuery,
  type CounterRequest,
  type CounterResponse,
  type CounterSettings,
  type CounterTypes,
  type CounterView,
  type CreateOperation,
  DEFAULT_COUNTER_SETTINGS,
} from '../types.ts';

type T = CounterTypes;
type Command = ParticipantCommand<T>;
type Stored = ParticipantRecord<T>;
type Reply = ParticipantReply<T>;

export interface HarnessOptions {
  readonly partition?: number;
  readonly partitions?: number;
  readonly counter?: Partial<CounterSettings>;
  readonly bugs?: readonly CounterBug[];
  /** Through bytes and back, where a codec is tested too. */
  readonly copy?: (key: string, record: Stored) => Stored;
}

export const START_MS = 1_700_000_000_000;

/** The nth UUIDv7 of a time. */
export function id(n: number, atMs = START_MS): string {
  const time = atMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

export function branch(n: number, counter = n): BranchId {
  return { transactionId: id(n), attempt: { epoch: 1, counter }, coordinatorPartition: 1, participant: 'counter', partition: 0 };
}

export function create(name: string, more: Partial<CreateOperation> = {}): CreateOperation {
  return { type: 'create', name, id: `id of ${name}`, kind: 'strong', bounds: { minimum: undefined, maximum: undefined }, value: 0n, shards: 0, ...more };
}

export function add(name: string, amount: bigint): CounterOperation {
  return { type: 'add', name, amount };
}

export class Harness {
  readonly store = new Map<string, Stored>();
  readonly replies: { readonly to: Origin; readonly reply: Reply }[] = [];
  readonly messages: ToCoordinator[] = [];
  readonly events: CounterEvent[] = [];
  kernel!: ParticipantKernel<T>;
  resource!: CounterResource;
  nowMs = START_MS;
  epoch = 0;
  /** How many commands make a batch. */
  together = 1;
  readonly partition: number;
  readonly partitions: number;
  private readonly options: HarnessOptions;
  private queued: Command[] = [];
  private follows: Command[] = [];
  private numbers = 0;

  constructor(options: HarnessOptions = {}) {
    this.options = options;
    this.partition = options.partition ?? 0;
    this.partitions = options.partitions ?? 1;
    this.restart();
  }

  restart(): void {
    this.follows = [];
    this.queued = [];
    [this.kernel, this.resource] = this.recovered();
    this.resource.watched = true;
    this.kernel.lead(++this.epoch, this.input(), new Batch(this));
  }

  run(...commands: Command[]): Reply[] {
    const before = this.replies.length;
    this.queued.push(...commands);
    if (this.queued.length < this.together) return [];
    this.flush();
    return this.replies.slice(before).map(({ reply }) => reply);
  }

  /** Steps what is queued, and what that sets free. */
  flush(): void {
    this.batch([...this.follows.splice(0), ...this.queued.splice(0)]);
    while (this.follows.length > 0) this.batch(this.follows.splice(0));
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let ticks = 0; ticks < 10_000; ticks++) {
      const wakeMs = this.kernel.wakeAtMs();
      if (wakeMs === undefined || wakeMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, wakeMs);
      this.run({ type: 'tick' });
      this.flush();
    }
    this.nowMs = untilMs;
  }

  local(operations: readonly CounterOperation[], n = 1_000_000 + ++this.numbers): Reply | undefined {
    const { nowMs } = this;
    return this.run({ type: 'local', origin: this.origin(), transactionId: id(n), fingerprint: 'f', operations, firstTryMs: nowMs, deadlineMs: nowMs })[0];
  }

  prepare(branch: BranchId, operations: readonly CounterOperation[]): ToCoordinator | undefined {
    const { nowMs, partition } = this;
    const before = this.messages.length;
    this.run({
      type: 'message',
      message: { type: 'prepare', branch: { ...branch, partition }, operations, firstTryMs: nowMs, deadlineMs: nowMs, readOnly: false },
    });
    return this.messages[before];
  }

  tell(type: 'commit' | 'abort', branch: BranchId): void {
    this.run({ type: 'message', message: { type, branch: { ...branch, partition: this.partition } } });
  }

  request(request: CounterRequest): CounterResponse | undefined {
    const reply = this.run({ type: 'request', origin: this.origin(), request })[0];
    return reply?.type === 'response' ? reply.response : undefined;
  }

  add(name: string, amount: bigint, session: number, sequence: number, settledBelow = 1): AddOutcome | undefined {
    const adds = [{ counter: 0, amount, sequence }];
    const response = this.request({ type: 'add', session: id(session), settledBelow, names: [name], adds });
    return response?.type === 'added' ? response.outcomes[0] : undefined;
  }

  /** A read's reply; undefined: it waits. */
  read(query: CounterQuery, consistency: 'linearizable' | 'eventual' = 'eventual'): Reply | undefined {
    return this.run({ type: 'read', origin: this.origin(), query, consistency, deadlineMs: this.nowMs + 1000 })[0];
  }

  view(name: string): CounterView | undefined {
    const reply = this.read({ type: 'counters', names: [name] });
    return reply?.type === 'read' && reply.answer.type === 'counters' ? reply.answer.views[0] : undefined;
  }

  origin(): string {
    return `caller ${++this.numbers}`;
  }

  stored(prefix: string): string[] {
    return [...this.store.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  /** Whether what is stored promises to commit the branch. */
  promises({ attempt }: BranchId): boolean {
    for (const record of this.store.values() as IterableIterator<ProtocolRecord<CounterEffect>>) {
      const branches = record.type === 'prepared' ? record.branches : record.type === 'branch' ? [record] : [];
      if (branches.some((other) => compareAttempts(other.attempt, attempt) === 0)) return true;
    }
    return false;
  }

  private batch(commands: Command[]): void {
    const { kernel } = this;
    const batch = new Batch(this);
    for (const command of commands) {
      for (let missing = kernel.missing(command); missing.length > 0; missing = kernel.missing(command)) {
        for (const key of missing) kernel.admit(key, this.store.get(key));
      }
      const cost = kernel.cost(command);
      const sealed = kernel.sealCost.operations;
      const before = batch.operations;
      kernel.step(command, this.input(), batch);
      const written = batch.operations - before + Math.max(0, kernel.sealCost.operations - sealed);
      if (written > cost.operations + 1) throw new Error(`${command.type} wrote ${written} operations, announced ${cost.operations}`);
      if (cost.operations > 123 || cost.bytes > 1_390_000) throw new Error(`${command.type} costs more than a write holds`);
    }
    const { sealCost } = kernel;
    const before = batch.operations;
    kernel.seal(this.input(), batch);
    if (batch.operations - before > sealCost.operations) throw new Error('seal wrote more than announced');
    batch.write();
    this.follows.push(...batch.follows);
    const [reloaded, resource] = this.recovered();
    reloaded.lead(this.epoch, this.input(), new Batch(this, true));
    compare(this.kernel.durableState(), reloaded.durableState());
    for (const key of this.stored(COUNTER_PREFIX)) resource.admit(key, this.store.get(key) as never);
    for (const key of this.stored(COUNTER_PREFIX)) {
      const name = key.slice(COUNTER_PREFIX.length);
      if (this.resource.find(name) !== undefined) compare(this.resource.find(name)!.toRecord(), resource.find(name)!.toRecord());
    }
  }

  private recovered(): [ParticipantKernel<T>, CounterResource] {
    const { counter, bugs, copy } = this.options;
    const { partition, partitions } = this;
    const resource = new CounterResource(
      { ...DEFAULT_COUNTER_SETTINGS, participant: 'counter', partition, partitions, clusterId: 'cluster', ...counter },
      new Set(bugs),
    );
    const kernel = new ParticipantKernel<T>({ settings: { ...DEFAULT_SETTINGS, participant: 'counter', partition }, resource });
    const keys = [...this.store.keys()].sort();
    for (let next = kernel.recovery(); next !== undefined; next = kernel.recovery()) {
      const wanted = next;
      const found = 'from' in wanted ? keys.filter((key) => key >= wanted.from && key < wanted.to) : wanted.filter((key) => this.store.has(key));
      for (const key of found) kernel.recover(key, copy === undefined ? this.store.get(key)! : copy(key, this.store.get(key)!));
    }
    return [kernel, resource];
  }

  private input(): StepInput {
    return { nowMs: this.nowMs, entropy: 0.5 };
  }
}

/** Partitions of one service, with what the mover and the handlers do. */
export class Service {
  readonly partitions: readonly Harness[];

  constructor(count: number, options: HarnessOptions = {}) {
    this.partitions = Array.from({ length: count }, (_, partition) => new Harness({ ...options, partition, partitions: count }));
  }

  home(name: string): Harness {
    return this.partitions[homeOf(name, this.partitions.length)]!;
  }

  /** At every partition; false if one refuses. */
  everywhere(operation: CounterOperation): boolean {
    const n = Math.floor(this.partitions[0]!.nowMs) % 1_000_000;
    const votes = this.partitions.map((partition) => partition.prepare(branch(n), [operation]));
    const yes = votes.every((vote) => vote?.type === 'vote' && vote.vote === 'yes');
    for (const partition of this.partitions) partition.tell(yes ? 'commit' : 'abort', branch(n));
    for (const partition of this.partitions) partition.nowMs++;
    return yes;
  }

  /** Sum of the slots: of each the highest generation. Undefined: one can't be found. */
  sum(name: string): bigint | undefined {
    const found = new Map<number, { generation: number; value: bigint }>();
    for (const partition of this.partitions) {
      for (const { slot, generation, state, value } of partition.view(name)?.slots ?? []) {
        if (state !== 'left' && (found.get(slot)?.generation ?? 0) < generation) found.set(slot, { generation, value });
      }
    }
    if (found.size !== 65) return undefined;
    let sum = 0n;
    for (const { value } of found.values()) sum += value;
    return sum;
  }
}

class Batch implements Output<Command, Stored, Reply, ParticipantMessage> {
  readonly follows: Command[] = [];
  private readonly harness: Harness;
  private readonly silent: boolean;
  private readonly records = new Map<string, Stored | undefined>();
  private readonly ranges: { readonly from: string; readonly to: string }[] = [];

  constructor(harness: Harness, silent = false) {
    this.harness = harness;
    this.silent = silent;
  }

  get operations(): number {
    return this.records.size + this.ranges.length;
  }

  put(key: string, record: Stored): void {
    this.check(key);
    this.records.set(key, record);
  }

  remove(key: string): void {
    this.check(key);
    this.records.set(key, undefined);
  }

  removeRange(from: string, to: string): void {
    if (from >= to) throw new Error(`an empty range from ${from}`);
    for (const range of this.ranges) if (from < range.to && range.from < to) throw new Error(`ranges overlap at ${from}`);
    for (const key of this.records.keys()) if (key >= from && key < to) this.records.delete(key);
    this.ranges.push({ from, to });
  }

  reply(to: Origin, reply: Reply): void {
    if (to !== undefined && !this.silent) this.harness.replies.push({ to, reply });
  }

  send({ message }: ParticipantMessage): void {
    if (!this.silent) this.harness.messages.push(message);
  }

  emit(event: unknown): void {
    this.harness.events.push(event as CounterEvent);
  }

  follow(command: Command): void {
    if (!this.silent) this.follows.push(command);
  }

  stepDown(reason: string): void {
    throw new Error(reason);
  }

  write(): void {
    const { store } = this.harness;
    for (const { from, to } of this.ranges) for (const key of store.keys()) if (key >= from && key < to) store.delete(key);
    for (const [key, record] of this.records) {
      if (record === undefined) store.delete(key);
      else store.set(key, structuredClone(record));
    }
  }

  private check(key: string): void {
    if (this.ranges.some(({ from, to }) => key >= from && key < to)) throw new Error(`${key} is in a removed range`);
  }
}

function compare(inMemory: unknown, reloaded: unknown): void {
  const [a, b] = [comparable(inMemory), comparable(reloaded)];
  if (a !== b) throw new Error(`replay equality (P3): in memory ${a}, reloaded ${b}`);
}

function comparable(state: unknown): string {
  return JSON.stringify(state, (_, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`;
    if (value instanceof Map) return [...value];
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
