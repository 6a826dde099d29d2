/** For tests: runs the coordinator's kernel on a map instead of a store, one batch at a time. */

import type { Attempt } from '../../attempt.ts';
import type { Failure } from '../../failure.ts';
import type { Output } from '../../kernel.ts';
import type { BranchId, ToCoordinator, ToParticipant } from '../../messages.ts';
import type { CoordinatorBug } from '../bugs.ts';
import { CoordinatorKernel } from '../kernel.ts';
import type { BranchRequest, Command, CoordinatorSettings, Message, Reply, Stored, TransactionEvent } from '../types.ts';

/** 2026-01-01. */
export const START_MS = 1_767_225_600_000;
const WRITE_OPERATIONS = 128;
const WRITE_BYTES = 1_400_000;

/** A UUIDv7 of this time. */
export function idAt(timeMs: number, n = 0): string {
  const time = timeMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

export function branch(participant: string, partition = 0, readOnly = false): BranchRequest {
  return { participant, partition, readOnly, operations: [{ typeUrl: 'test', value: new Uint8Array(1) }] };
}

type Distributive<T> = T extends { readonly origin: unknown } ? Omit<T, 'origin'> & { readonly origin?: unknown } : T;
/** A command whose origin may be left out. */
export type Request = Distributive<Command>;

export class Harness {
  readonly store: Map<string, Stored>;
  readonly replies = new Map<unknown, Reply>();
  readonly events: TransactionEvent[] = [];
  /** Puts, removes and range removes of the last batch, as text. */
  writes: string[] = [];
  sent: Message[] = [];
  steppedDown: string | undefined;
  nowMs: number;
  entropy = 0.5;
  kernel: CoordinatorKernel;
  private readonly settings: CoordinatorSettings;
  private readonly bugs: ReadonlySet<CoordinatorBug>;
  private epoch = 0;
  private origins = 0;

  constructor(settings: Partial<CoordinatorSettings> = {}, bugs: readonly CoordinatorBug[] = [], store = new Map<string, Stored>()) {
    this.settings = { partition: 3, ...settings };
    this.bugs = new Set(bugs);
    this.store = store;
    this.nowMs = START_MS;
    this.kernel = this.load(store);
    this.lead();
  }

  /** A kernel that has recovered what a store holds, before it leads. */
  load(store: ReadonlyMap<string, Stored>): CoordinatorKernel {
    const kernel = new CoordinatorKernel(this.settings, this.bugs);
    for (let next = kernel.recovery(); next !== undefined; next = kernel.recovery()) {
      const found = 'from' in next ? [...store.keys()].filter((key) => key >= next.from && key < next.to).sort() : next;
      for (const key of found) {
        const record = store.get(key);
        if (record !== undefined) kernel.recover(key, record);
      }
    }
    return kernel;
  }

  /** The leader crashes; another one takes over. */
  failOver(): void {
    this.kernel = this.load(this.store);
    this.lead();
  }

  private lead(): void {
    this.batch((out) => this.kernel.lead(++this.epoch * 10, this.input(), out));
  }

  get currentEpoch(): number {
    return this.epoch * 10;
  }

  /** Steps commands in one batch, and those that follow from them in further ones. Returns the last reply. */
  step(...requests: Request[]): Reply | undefined {
    const commands = requests.map((request) =>
      request.type === 'message' || request.type === 'tick' || request.type === 'expire' || request.origin !== undefined
        ? request
        : { ...request, origin: `origin-${++this.origins}` },
    ) as Command[];
    for (let due = commands; due.length > 0; ) due = this.stepAll(due);
    const origin = (commands.at(-1) as { origin?: unknown }).origin;
    return origin === undefined ? undefined : this.replies.get(origin);
  }

  private stepAll(commands: readonly Command[]): Command[] {
    const { kernel } = this;
    const follows: Command[] = [];
    for (const command of commands) {
      for (const key of kernel.missing(command)) kernel.admit(key, this.store.get(key));
    }
    this.batch((out) => {
      for (const command of commands) {
        const cost = kernel.cost(command);
        const before = out.operations;
        kernel.step(command, this.input(), out);
        if (out.operations - before > cost.operations) {
          throw new Error(`${command.type} wrote ${out.operations - before} operations, its cost said ${cost.operations}`);
        }
      }
      follows.push(...out.follows);
      const before = out.operations;
      kernel.seal(this.input(), out);
      if (out.operations - before > kernel.sealCost.operations) throw new Error('seal passed its cost');
    });
    return follows;
  }

  /** Lets time pass, with ticks as they become due. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let ticks = 0; ; ticks++) {
      const wakeMs = this.kernel.wakeAtMs();
      if (wakeMs === undefined || wakeMs > endMs) break;
      if (ticks > 100_000) throw new Error('ticks without end');
      this.nowMs = Math.max(this.nowMs, wakeMs);
      this.step(this.kernel.tick as Request);
    }
    this.nowMs = endMs;
  }

  /** Takes what was sent to participants since the last call. */
  take(): ToParticipant[] {
    const taken = this.sent.flatMap((sent) => (sent.to === 'participant' ? [sent.message] : []));
    this.sent = this.sent.filter((sent) => sent.to !== 'participant');
    return taken;
  }

  /** The lowest attempt that may still be prepared, as told last. */
  get mark(): Attempt {
    return this.sent.flatMap((sent) => (sent.to === 'everybody' ? [sent.mark.lowWaterMark] : [])).at(-1)!;
  }

  execute(transactionId: string, branches: readonly BranchRequest[], more: { fingerprint?: string; timeoutMs?: number; origin?: unknown } = {}) {
    const { fingerprint = 'f', timeoutMs = 30_000, origin } = more;
    return this.step({
      type: 'execute',
      origin,
      transactionId,
      fingerprint,
      mode: 'two-phase-commit',
      branches,
      firstTryMs: this.nowMs,
      deadlineMs: this.nowMs + timeoutMs,
    });
  }

  begin(transactionId: string, timeoutMs = 30_000): Attempt {
    const { nowMs } = this;
    const reply = this.step({
      type: 'begin',
      transactionId,
      mode: 'two-phase-commit',
      firstTryMs: nowMs,
      deadlineMs: nowMs + timeoutMs,
    });
    if (reply?.type !== 'begun') throw new Error(`not begun: ${JSON.stringify(reply)}`);
    return reply.attempt;
  }

  receive(message: ToCoordinator): void {
    this.step({ type: 'message', message });
  }

  /** The messages of a type that were sent, answered by `answer`. */
  answer(messages: readonly ToParticipant[], answer: (branch: BranchId) => ToCoordinator): void {
    for (const { branch } of messages) this.receive(answer(branch));
  }

  private input() {
    return { nowMs: this.nowMs, entropy: this.entropy };
  }

  private batch(run: (out: Recorder) => void): void {
    const out = new Recorder();
    run(out);
    if (out.operations > WRITE_OPERATIONS || out.bytes > WRITE_BYTES) throw new Error('the batch is over the limits');
    for (const { from, to } of out.ranges) {
      for (const key of out.records.keys()) {
        if (key >= from && key < to) throw new Error(`${key} is put, and lies in the removed range ${from} to ${to}`);
      }
      for (const key of [...this.store.keys()]) if (key >= from && key < to) this.store.delete(key);
    }
    for (const [key, record] of out.records) {
      if (record === undefined) this.store.delete(key);
      else this.store.set(key, structuredClone(record));
    }
    this.writes = [
      ...[...out.records].map(([key, record]) => `${record === undefined ? 'remove' : 'put'} ${key}`),
      ...out.ranges.map(({ from, to }) => `remove ${from} to ${to}`),
    ];
    for (const { to, reply } of out.replies) {
      if (this.replies.has(to)) throw new Error(`answered twice: ${String(to)}`);
      this.replies.set(to, reply);
    }
    this.sent.push(...out.messages);
    this.events.push(...out.events);
    this.steppedDown ??= out.stepDownReason;
  }
}

class Recorder implements Output<Command, Stored, Reply, Message> {
  readonly records = new Map<string, Stored | undefined>();
  readonly ranges: { from: string; to: string }[] = [];
  readonly replies: { to: unknown; reply: Reply }[] = [];
  readonly messages: Message[] = [];
  readonly events: TransactionEvent[] = [];
  readonly follows: Command[] = [];
  stepDownReason: string | undefined;
  bytes = 0;

  get operations(): number {
    return this.records.size + this.ranges.length;
  }

  put(key: string, record: Stored): void {
    this.records.set(key, record);
    this.bytes += key.length + JSON.stringify(record).length;
  }

  remove(key: string): void {
    this.records.set(key, undefined);
  }

  removeRange(from: string, to: string): void {
    if (from >= to) throw new Error(`the range from ${from} to ${to} is empty`);
    for (const key of this.records.keys()) if (key >= from && key < to) this.records.delete(key);
    this.ranges.push({ from, to });
  }

  reply(to: unknown, reply: Reply): void {
    this.replies.push({ to, reply });
  }

  send(message: Message): void {
    this.messages.push(message);
  }

  emit(event: unknown): void {
    this.events.push(event as TransactionEvent);
  }

  follow(command: Command): void {
    this.follows.push(command);
  }

  stepDown(reason: string): void {
    this.stepDownReason = reason;
  }
}

export const votes = {
  yes: (branch: BranchId): ToCoordinator => ({ type: 'vote', branch, vote: 'yes' }),
  readOnly: (branch: BranchId): ToCoordinator => ({ type: 'vote', branch, vote: 'readOnly' }),
  no: (branch: BranchId, cause?: Failure): ToCoordinator => ({ type: 'vote', branch, vote: 'no', cause }),
};

export const acknowledge = (branch: BranchId): ToCoordinator => ({ type: 'acknowledge', branch });
