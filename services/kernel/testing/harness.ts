/**
 * For tests of every kernel: runs one as the driver runs it, on a map instead of a store. Every batch is
 * checked: within the announced costs and a store's limits, no key written and removed, nobody answered
 * twice, and after it a reload gives what is in memory (invariant P3).
 */

import type { Kernel, Origin, Output, StepInput } from '../kernel.ts';

/** What a write to etcd may hold, with room for the driver's own part. */
const WRITE_OPERATIONS = 123;
const WRITE_BYTES = 1_390_000;
const MOST_TICKS = 10_000;

/** The nth UUIDv7 of a time. */
export function idAt(timeMs: number, n = 0): string {
  const time = timeMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

export interface KernelHarnessOptions<Stored> {
  /** What writing and reading a record make of it: through bytes and back, where a codec is tested too. Default: the same. */
  readonly copy?: ((key: string, record: Stored) => Stored) | undefined;
}

export abstract class KernelHarness<
  Command extends { readonly type: string },
  Stored,
  Reply,
  Message,
  Built extends { readonly kernel: Kernel<Command, Stored, Reply, Message> },
> {
  readonly store = new Map<string, Stored>();
  readonly replies: { readonly to: Origin; readonly reply: Reply }[] = [];
  readonly stepDowns: string[] = [];
  /** Puts, removes and range removes of the last batch, as text. */
  writes: readonly string[] = [];
  nowMs: number;
  entropy = 0.5;
  epoch = 0;
  /** How many commands make a batch; what is set free is then stepped in the next one. */
  together = 1;
  /** Whether every batch is compared with a reload. */
  compares = true;
  protected built!: Built;
  private readonly copy: (key: string, record: Stored) => Stored;
  private readonly answered = new Set<unknown>();
  private queued: Command[] = [];
  private follows: Command[] = [];
  private origins = 0;

  /** @param startMs wall time at which the test begins; subclasses call {@link restart} when they are complete. */
  constructor(startMs: number, { copy = (_, record) => record }: KernelHarnessOptions<Stored>) {
    this.nowMs = startMs;
    this.copy = copy;
  }

  /** A kernel that knows nothing yet. */
  protected abstract build(): Built;
  protected abstract onMessage(message: Message): void;
  protected abstract onEvent(event: unknown): void;
  /** Compares what {@link Kernel.durableState} does not tell. */
  protected compareMore(_reloaded: Built): void {}

  get kernel(): Built['kernel'] {
    return this.built.kernel;
  }

  /** A new leader, from what is stored. */
  restart(): void {
    this.follows = [];
    this.queued = [];
    this.built = this.recovered();
    const batch = new TestBatch<Command, Stored, Reply, Message>();
    this.epoch = this.nextEpoch();
    this.kernel.lead(this.epoch, this.input(), batch);
    this.finish(batch);
  }

  protected nextEpoch(): number {
    return this.epoch + 1;
  }

  /** Steps commands in one batch, then what they set free, in batches of their own. Returns new replies. */
  run(...commands: readonly Command[]): Reply[] {
    const before = this.replies.length;
    this.queued.push(...commands);
    if (this.queued.length >= this.together) this.batch([...this.follows.splice(0), ...this.queued.splice(0)]);
    if (this.together === 1) this.flush();
    return this.replies.slice(before).map(({ reply }) => reply);
  }

  /** Steps everything that waits for a batch to become full. */
  flush(): void {
    while (this.follows.length + this.queued.length > 0) this.batch([...this.follows.splice(0), ...this.queued.splice(0)]);
  }

  /** Lets time pass, with a tick wherever the kernel wants one. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let ticks = 0; ; ticks++) {
      const wakeMs = this.kernel.wakeAtMs();
      if (wakeMs === undefined || wakeMs > untilMs) break;
      if (ticks === MOST_TICKS) throw new Error('the kernel wants to be woken again and again');
      this.nowMs = Math.max(this.nowMs, wakeMs);
      this.run(this.kernel.tick);
      this.flush();
    }
    this.nowMs = untilMs;
  }

  origin(): string {
    return `caller ${++this.origins}`;
  }

  /** Keys of stored records under a prefix. */
  stored(prefix: string): string[] {
    return [...this.store.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  /** What a new leader makes of the store, before it leads. */
  recovered(): Built {
    const built = this.build();
    const { kernel } = built;
    const keys = [...this.store.keys()].sort();
    for (let next = kernel.recovery(); next !== undefined; next = kernel.recovery()) {
      const wanted = next;
      const found = 'from' in wanted ? keys.filter((key) => key >= wanted.from && key < wanted.to) : wanted.filter((key) => this.store.has(key));
      for (const key of found) kernel.recover(key, this.load(key)!);
    }
    return built;
  }

  /** A stored record, as a new leader reads it. */
  protected load(key: string): Stored | undefined {
    const record = this.store.get(key);
    return record && this.copy(key, record);
  }

  private batch(commands: readonly Command[]): void {
    const { kernel } = this;
    const batch = new TestBatch<Command, Stored, Reply, Message>();
    for (const command of commands) {
      for (let missing = kernel.missing(command); missing.length > 0; missing = kernel.missing(command)) {
        for (const key of missing) kernel.admit(key, this.load(key));
      }
      const cost = kernel.cost(command);
      if (cost.operations > WRITE_OPERATIONS || cost.bytes > WRITE_BYTES) throw new Error(`${command.type} costs more than a write holds`);
      // The driver has room for the cost and for the seal as it was before: what the seal grows by is part of the cost.
      const before = batch.operations + kernel.sealCost.operations;
      kernel.step(command, this.input(), batch);
      const written = batch.operations + kernel.sealCost.operations - before;
      if (written > cost.operations) throw new Error(`${command.type} wrote ${written} operations, announced ${cost.operations}`);
    }
    const { operations } = kernel.sealCost;
    const before = batch.operations;
    kernel.seal(this.input(), batch);
    if (batch.operations - before > operations) throw new Error(`seal wrote ${batch.operations - before} operations, announced ${operations}`);
    this.finish(batch);
    if (!this.compares) return;
    const reloaded = this.recovered();
    reloaded.kernel.lead(this.epoch, this.input(), new TestBatch());
    compare(this.kernel.durableState(), reloaded.kernel.durableState());
    this.compareMore(reloaded);
  }

  private finish({ records, ranges, replies, messages, events, follows, stepDowns }: TestBatch<Command, Stored, Reply, Message>): void {
    const { store } = this;
    for (const { from, to } of ranges) for (const key of store.keys()) if (key >= from && key < to) store.delete(key);
    for (const [key, record] of records) {
      if (record === undefined) store.delete(key);
      else store.set(key, this.copy(key, record));
    }
    this.writes = [
      ...Array.from(records, ([key, record]) => `${record === undefined ? 'remove' : 'put'} ${key}`),
      ...ranges.map(({ from, to }) => `remove ${from} to ${to}`),
    ];
    for (const { to, reply } of replies) {
      if (to === undefined) continue;
      if (this.answered.has(to)) throw new Error(`${JSON.stringify(to)} was answered twice`);
      this.answered.add(to);
      this.replies.push({ to, reply });
    }
    for (const message of messages) this.onMessage(message);
    for (const event of events) this.onEvent(event);
    this.stepDowns.push(...stepDowns);
    this.follows.push(...follows);
  }

  private input(): StepInput {
    return { nowMs: this.nowMs, entropy: this.entropy };
  }
}

class TestBatch<Command, Stored, Reply, Message> implements Output<Command, Stored, Reply, Message> {
  readonly records = new Map<string, Stored | undefined>();
  readonly ranges: { readonly from: string; readonly to: string }[] = [];
  readonly replies: { readonly to: Origin; readonly reply: Reply }[] = [];
  readonly messages: Message[] = [];
  readonly events: unknown[] = [];
  readonly follows: Command[] = [];
  readonly stepDowns: string[] = [];

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
    if (from >= to) throw new Error(`the range from ${from} to ${to} is empty`);
    for (const range of this.ranges) if (from < range.to && range.from < to) throw new Error(`ranges overlap at ${from}`);
    for (const key of this.records.keys()) if (key >= from && key < to) this.records.delete(key);
    this.ranges.push({ from, to });
  }

  reply(to: Origin, reply: Reply): void {
    this.replies.push({ to, reply });
  }

  send(message: Message): void {
    this.messages.push(message);
  }

  emit(event: unknown): void {
    this.events.push(event);
  }

  follow(command: Command): void {
    this.follows.push(command);
  }

  stepDown(reason: string): void {
    this.stepDowns.push(reason);
  }

  private check(key: string): void {
    if (this.ranges.some(({ from, to }) => key >= from && key < to)) throw new Error(`${key} is in a removed range`);
  }
}

/** @throws if they differ. Members may have another order, and absent ones may be undefined. */
export function compare(inMemory: unknown, reloaded: unknown): void {
  const [a, b] = [comparable(inMemory), comparable(reloaded)];
  if (a !== b) throw new Error(`replay equality (P3): in memory ${a}, reloaded ${b}`);
}

function comparable(state: unknown): string {
  return JSON.stringify(state, (_, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`;
    if (value instanceof Uint8Array) return Array.from(value).join();
    if (value instanceof Map) return [...value];
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
