/**
 * For tests: a participant kernel over keys, with a store in memory, run as the driver runs it. Every
 * batch is checked: no key written twice, within the announced cost, and after it a reload gives what is in
 * memory (invariant P3).
 */

import { compareAttempts, type Attempt } from '../../attempt.ts';
import type { Origin, Output, StepInput } from '../../kernel.ts';
import type { BranchId, Prepare, ToCoordinator, ToParticipant } from '../../messages.ts';
import { KeyValueResource } from '../../keyvalue/resource.ts';
import {
  DEFAULT_KEY_VALUE_SETTINGS,
  type KeyEntry,
  type KeyValueEffect,
  type KeyValueEvent,
  type KeyValueOperation,
  type KeyValueSettings,
  type KeyValueTypes,
  type Precondition,
  type PutOperation,
} from '../../keyvalue/types.ts';
import type { ParticipantBug } from '../bugs.ts';
import { ParticipantKernel } from '../kernel.ts';
import {
  type CommandOf,
  DEFAULT_SETTINGS,
  type ParticipantCommand,
  type ParticipantMessage,
  type ParticipantRecord,
  type ParticipantReply,
  type ParticipantSettings,
  type ProtocolRecord,
} from '../types.ts';

type T = KeyValueTypes;
type Command = ParticipantCommand<T>;
type Stored = ParticipantRecord<T>;
type Reply = ParticipantReply<T>;

export interface HarnessOptions {
  readonly settings?: Partial<ParticipantSettings>;
  readonly keyValue?: Partial<KeyValueSettings>;
  readonly bugs?: readonly ParticipantBug[];
  /** Through bytes and back, where a codec is tested too. */
  readonly copy?: (key: string, record: Stored) => Stored;
}

const START_MS = 1_700_000_000_000;

/** The nth transaction id, of the time at which tests begin. */
export function id(n: number, atMs = START_MS): string {
  const time = atMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** Branch of the nth transaction under an attempt of coordinator partition 1, epoch 1. */
export function branch(n: number, counter = n, epoch = 1): BranchId {
  return {
    transactionId: id(n),
    attempt: { epoch, counter },
    coordinatorPartition: 1,
    participant: 'stock',
    partition: 3,
  };
}

export function put(name: string, value = 'x', more: Partial<PutOperation> = {}): PutOperation {
  return { type: 'put', name, value: bytes(value), contentType: '', precondition: 'any', mergePolicy: 'reject', ...more };
}

export function check(name: string, precondition: Precondition): KeyValueOperation {
  return { type: 'check', name, precondition };
}

export function remove(name: string, precondition: Precondition = 'any'): KeyValueOperation {
  return { type: 'delete', name, precondition };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
export const bytes = (text: string): Uint8Array => encoder.encode(text);
export const text = (value: Uint8Array | undefined): string | undefined => value && decoder.decode(value);

export class Harness {
  readonly store = new Map<string, Stored>();
  readonly messages: ToCoordinator[] = [];
  readonly replies: { readonly to: Origin; readonly reply: Reply }[] = [];
  readonly events: KeyValueEvent[] = [];
  readonly stepDowns: string[] = [];
  kernel!: ParticipantKernel<T>;
  resource!: KeyValueResource;
  nowMs = START_MS;
  epoch = 0;
  private readonly options: HarnessOptions;
  /** How many commands make a batch; what is set free is then stepped in the next one. */
  together = 1;
  private queued: Command[] = [];
  private follows: Command[] = [];
  private origins = 0;

  constructor(options: HarnessOptions = {}) {
    this.options = options;
    this.restart();
  }

  /** A new leader, from what is stored. */
  restart(): void {
    this.follows = [];
    this.queued = [];
    [this.kernel, this.resource] = this.recovered();
    this.kernel.lead(++this.epoch, this.input(), new Batch(this));
  }

  /** Steps commands in one batch, then what they set free, in batches of their own. Returns new replies. */
  run(...commands: Command[]): Reply[] {
    const before = this.replies.length;
    this.queued.push(...commands);
    if (this.queued.length < this.together) return [];
    this.batch([...this.follows.splice(0), ...this.queued.splice(0)]);
    while (this.together === 1 && this.follows.length > 0) this.batch(this.follows.splice(0));
    return this.replies.slice(before).map(({ reply }) => reply);
  }

  /** Lets time pass, with a tick wherever the kernel wants one. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let ticks = 0; ticks < 10_000; ticks++) {
      const wakeMs = this.kernel.wakeAtMs();
      if (wakeMs === undefined || wakeMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, wakeMs);
      this.run({ type: 'tick' });
    }
    this.nowMs = untilMs;
  }

  /** Messages sent since the last call. */
  sent(): ToCoordinator[] {
    return this.messages.splice(0);
  }

  message(message: ToParticipant<KeyValueOperation>, origin?: Origin): Command {
    return { type: 'message', message, origin };
  }

  /** Prepares a branch and returns what was sent. */
  prepare(branch: BranchId, operations: KeyValueOperation[], more: Partial<Prepare<KeyValueOperation>> = {}): ToCoordinator[] {
    this.sent();
    const { nowMs } = this;
    const prepare = { type: 'prepare', branch, operations, firstTryMs: nowMs, deadlineMs: nowMs + 1000, readOnly: false } as const;
    this.run(this.message({ ...prepare, ...more }));
    return this.sent();
  }

  /** Hands over an outcome or another message about a branch and returns what was sent. */
  tell(type: 'commit' | 'abort' | 'pending' | 'forget', branch: BranchId): ToCoordinator[] {
    this.sent();
    this.run(this.message({ type, branch }));
    return this.sent();
  }

  mark(counter: number, epoch = 1): void {
    this.run({ type: 'mark', coordinatorPartition: 1, lowWaterMark: { epoch, counter } });
  }

  /** Runs a local transaction and returns its reply, if it has one yet. */
  local(n: number, operations: KeyValueOperation[], more: Partial<CommandOf<'local', T>> = {}): Reply | undefined {
    const { nowMs } = this;
    return this.run({
      type: 'local',
      origin: this.origin(),
      transactionId: id(n),
      fingerprint: 'f',
      operations,
      firstTryMs: nowMs,
      deadlineMs: nowMs,
      ...more,
    })[0];
  }

  /** What a key holds now, without waiting. */
  value(name: string): string | undefined {
    return text(this.read([name], 'eventual')![0]!.value);
  }

  /** Entries, or undefined while the read waits. */
  read(names: string[], consistency: 'linearizable' | 'eventual' = 'linearizable', workspace?: BranchId): readonly KeyEntry[] | undefined {
    const reply = this.run({
      type: 'read',
      origin: this.origin(),
      query: { type: 'keys', names },
      consistency,
      deadlineMs: this.nowMs + 1000,
      workspace,
    })[0];
    return reply?.type === 'read' ? reply.answer.entries : undefined;
  }

  origin(): string {
    return `caller ${++this.origins}`;
  }

  /** Stored records under a prefix. */
  stored(prefix: string): string[] {
    return [...this.store.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  /** Whether what is stored promises to commit the branch. */
  promises({ coordinatorPartition, attempt }: BranchId): boolean {
    const isIt = (other: { coordinatorPartition: number; attempt: Attempt }): boolean =>
      other.coordinatorPartition === coordinatorPartition && compareAttempts(other.attempt, attempt) === 0;
    let found = false;
    for (const record of this.store.values()) {
      const stored = record as ProtocolRecord<KeyValueEffect>;
      if (stored.type === 'branch') found ||= isIt(stored);
      if (stored.type === 'prepared') found ||= stored.branches.some(isIt);
    }
    return found;
  }

  private batch(commands: Command[]): void {
    const { kernel } = this;
    const batch = new Batch(this);
    for (const command of commands) {
      for (let missing = kernel.missing(command); missing.length > 0; missing = kernel.missing(command)) {
        for (const key of missing) kernel.admit(key, this.store.get(key));
      }
      const cost = kernel.cost(command);
      const before = batch.operations;
      kernel.step(command, this.input(), batch);
      if (batch.operations - before > cost.operations) {
        throw new Error(`${command.type} wrote ${batch.operations - before} operations, announced ${cost.operations}`);
      }
      if (cost.operations > 123 || cost.bytes > 1_390_000) throw new Error(`${command.type} costs more than a write holds`);
    }
    const { sealCost } = kernel;
    const before = batch.operations;
    kernel.seal(this.input(), batch);
    if (batch.operations - before > sealCost.operations) throw new Error('seal wrote more than announced');
    batch.write();
    this.follows.push(...batch.follows);
    const [reloaded] = this.recovered();
    reloaded.lead(this.epoch, this.input(), new Batch(this, true));
    const [inMemory, stored] = [comparable(this.kernel.durableState()), comparable(reloaded.durableState())];
    if (inMemory !== stored) throw new Error(`replay equality (P3): in memory ${inMemory}, reloaded ${stored}`);
  }

  private recovered(): [ParticipantKernel<T>, KeyValueResource] {
    const { settings, keyValue, bugs, copy } = this.options;
    const resource = new KeyValueResource({
      ...DEFAULT_KEY_VALUE_SETTINGS,
      participant: 'stock',
      text: { encode: bytes, decode: (value) => decoder.decode(value) },
      describeConflict: (conflict) => ({ typeUrl: 'conflict', value: bytes(JSON.stringify(conflict)) }),
      ...keyValue,
    });
    const kernel = new ParticipantKernel<T>({
      settings: { ...DEFAULT_SETTINGS, participant: 'stock', partition: 3, ...settings },
      resource,
      bugs: new Set(bugs),
    });
    const keys = [...this.store.keys()].sort();
    for (let next = kernel.recovery(); next !== undefined; next = kernel.recovery()) {
      const wanted = next;
      const found = 'from' in wanted ? keys.filter((key) => key >= wanted.from && key < wanted.to) : wanted.filter((key) => this.store.has(key));
      for (const key of found) {
        const record = this.store.get(key)!;
        kernel.recover(key, copy === undefined ? record : copy(key, record));
      }
    }
    return [kernel, resource];
  }

  private input(): StepInput {
    return { nowMs: this.nowMs, entropy: 0.5 };
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
    this.harness.events.push(event as KeyValueEvent);
  }

  follow(command: Command): void {
    this.follows.push(command);
  }

  stepDown(reason: string): void {
    this.harness.stepDowns.push(reason);
  }

  write(): void {
    const { store } = this.harness;
    for (const { from, to } of this.ranges) for (const key of store.keys()) if (key >= from && key < to) store.delete(key);
    for (const [key, record] of this.records) {
      if (record === undefined) store.delete(key);
      else store.set(key, record);
    }
  }

  private check(key: string): void {
    if (this.ranges.some(({ from, to }) => key >= from && key < to)) throw new Error(`${key} is in a removed range`);
  }
}

/** Text with sorted members and without absent ones: a record that was read back may have another order. */
function comparable(state: unknown): string {
  return JSON.stringify(state, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Array.from(value).join();
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
