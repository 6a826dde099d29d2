/**
 * For tests: a participant kernel over a queue, with a store in memory, run as the driver runs it. Every
 * batch is checked: no key written twice, within the announced cost, and after it a reload gives what is in
 * memory (invariant P3).
 */

import type { Failure } from '../../failure.ts';
import type { Origin, Output, StepInput } from '../../kernel.ts';
import type { BranchId, Prepare, ToCoordinator, ToParticipant } from '../../messages.ts';
import { ParticipantKernel } from '../../participant/kernel.ts';
import {
  DEFAULT_SETTINGS,
  type ParticipantCommand,
  type ParticipantMessage,
  type ParticipantRecord,
  type ParticipantReply,
  type ParticipantSettings,
} from '../../participant/types.ts';
import type { QueueBug } from '../bugs.ts';
import { QueueResource } from '../resource.ts';
import {
  DEFAULT_QUEUE_SETTINGS,
  type ConfigureOperation,
  type DeliveredMessage,
  type DeliveryTag,
  type MessagePort,
  type NewMessage,
  type QueueAnswer,
  type QueueOperation,
  type QueueQuery,
  type QueueRequest,
  type QueueResponse,
  type QueueSettings,
  type QueueTypes,
  type SubscriptionConfig,
  type SubscriptionStatistics,
  type TopicConfig,
  type TopicStatistics,
} from '../types.ts';

type T = QueueTypes;
type Command = ParticipantCommand<T>;
type Stored = ParticipantRecord<T>;
type Reply = ParticipantReply<T>;

export interface HarnessOptions {
  readonly settings?: Partial<ParticipantSettings>;
  readonly queue?: Partial<QueueSettings>;
  readonly bugs?: readonly QueueBug[];
  /** Through bytes and back, where a codec is tested too. */
  readonly copy?: (key: string, record: Stored) => Stored;
}

const START_MS = 1_700_000_000_000;
const DAY_MS = 86_400_000;

/** The nth transaction id, of the time at which tests begin. */
export function id(n: number, atMs = START_MS): string {
  const time = atMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** Branch of the nth transaction under an attempt of coordinator partition 1, epoch 1. */
export function branch(n: number, counter = n): BranchId {
  return { transactionId: id(n), attempt: { epoch: 1, counter }, coordinatorPartition: 1, participant: 'queue', partition: 0 };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Messages here are a text, with attributes after a line feed each. */
export const port: MessagePort = {
  attributesOf(encoded) {
    const lines = decoder.decode(encoded).split('\n').slice(1);
    return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  },
  annotate(encoded, attributes) {
    return encoder.encode([decoder.decode(encoded), ...Array.from(attributes, ([key, value]) => `${key}=${value}`)].join('\n'));
  },
};

export function message(text: string, more: Partial<NewMessage> = {}): NewMessage {
  const nothing = { orderingKey: '', priority: 0, deliverAtMs: 0, delayMs: 0, timeToLiveMs: 0, deduplicationId: '' };
  return { encoded: encoder.encode(text), ...nothing, ...more };
}

export function textOf({ encoded }: { readonly encoded: Uint8Array }): string {
  return decoder.decode(encoded).split('\n')[0]!;
}

export function topic(name: string, more: Partial<TopicConfig> = {}): TopicConfig {
  return {
    name,
    storage: 'disk',
    maxAgeMs: 7 * DAY_MS,
    maxMessages: 1_000_000,
    maxBytes: 2 ** 30,
    overflow: 'reject',
    acknowledgedAgeMs: 0,
    deduplicationWindowMs: 600_000,
    createMs: START_MS,
    version: 1,
    ...more,
  };
}

export function subscription(name: string, topicName: string, more: Partial<SubscriptionConfig> = {}): SubscriptionConfig {
  return {
    name,
    topic: topicName,
    mode: 'parallel',
    ackDeadlineMs: 10_000,
    exactlyOnce: false,
    filter: '',
    minimumBackoffMs: 0,
    maximumBackoffMs: 10_000,
    deadLetter: undefined,
    ageingStepMs: 10_000,
    startFrom: 'end',
    state: 'active',
    createMs: START_MS,
    version: 1,
    ...more,
  };
}

export class Harness {
  readonly store = new Map<string, Stored>();
  readonly messages: ToCoordinator[] = [];
  readonly replies: { readonly to: Origin; readonly reply: Reply }[] = [];
  kernel!: ParticipantKernel<T>;
  nowMs = START_MS;
  epoch = 0;
  /** How many commands make a batch; what is set free is then stepped in the next one. */
  together = 1;
  /** Whether every batch is compared with a reload. */
  compares = true;
  private readonly options: HarnessOptions;
  private queued: Command[] = [];
  private follows: Command[] = [];
  private count = 0;

  constructor(options: HarnessOptions = {}) {
    this.options = options;
    this.restart();
  }

  /** A new leader, from what is stored. */
  restart(): void {
    this.follows = [];
    this.queued = [];
    this.kernel = this.recovered();
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
    for (let ticks = 0; ; ticks++) {
      const wakeMs = this.kernel.wakeAtMs();
      if (wakeMs === undefined || wakeMs > untilMs) break;
      if (ticks === 1000) throw new Error('the kernel wants to be woken again and again');
      this.nowMs = Math.max(this.nowMs, wakeMs);
      this.run({ type: 'tick' });
    }
    this.nowMs = untilMs;
  }

  // Transactions

  /** Runs a local transaction; undefined: it went through. */
  local(...operations: QueueOperation[]): Failure | undefined {
    const n = 1_000_000 + ++this.count;
    const reply = this.run({
      type: 'local',
      origin: this.origin(),
      transactionId: id(n),
      fingerprint: 'f',
      operations,
      firstTryMs: this.nowMs,
      deadlineMs: this.nowMs,
    })[0];
    return reply?.type === 'failure' ? reply.failure : undefined;
  }

  configure(...operations: ConfigureOperation[]): Failure | undefined {
    for (const operation of operations) {
      const failure = this.local(operation);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  /** Prepares a branch and returns the vote. */
  prepare(of: BranchId, operations: QueueOperation[], more: Partial<Prepare<QueueOperation>> = {}): string {
    this.messages.splice(0);
    const { nowMs } = this;
    const prepare = { type: 'prepare', branch: of, operations, firstTryMs: nowMs, deadlineMs: nowMs + 1000, readOnly: false } as const;
    this.run({ type: 'message', message: { ...prepare, ...more } });
    const vote = this.messages.find(({ type }) => type === 'vote');
    return vote?.type === 'vote' ? (vote.cause?.reason ?? vote.vote) : 'none';
  }

  tell(type: 'commit' | 'abort', of: BranchId): void {
    const told: ToParticipant<QueueOperation> = { type, branch: of };
    this.run({ type: 'message', message: told });
  }

  // Requests

  /** Asks, and returns the answers that have come, of this request and of earlier ones. */
  ask(request: QueueRequest, origin = this.origin()): (QueueResponse | Failure)[] {
    return this.run({ type: 'request', origin, request }).flatMap((reply): (QueueResponse | Failure)[] =>
      reply.type === 'response' ? [reply.response] : reply.type === 'failure' ? [reply.failure] : [],
    );
  }

  publish(topicName: string, ...messages: NewMessage[]): (number | string)[] {
    return this.publishAs('', 0, topicName, ...messages);
  }

  /** Positions, or why not. Empty while it waits. */
  publishAs(session: string, first: number, topicName: string, ...messages: NewMessage[]): (number | string)[] {
    const sequences = messages.map((_, i) => first + i);
    const answers = this.ask({ type: 'publish', topic: topicName, session, settledBelow: 1, sequences, messages });
    return answers.flatMap((answer) => {
      if ('reason' in answer) return [answer.reason];
      return answer.type === 'published' ? answer.positions.map((position, i) => answer.failures?.get(i)?.reason ?? position) : [];
    });
  }

  pull(name: string, more: Partial<Extract<QueueRequest, { type: 'pull' }>> = {}, origin?: string): DeliveredMessage[] {
    const request = { type: 'pull', subscription: name, maxMessages: 1000, maxBytes: 1_000_000, ackDeadlineMs: 0, untilMs: 0, ...more } as const;
    return this.ask(request, origin).flatMap((answer) => ('type' in answer && answer.type === 'delivered' ? answer.messages : []));
  }

  texts(name: string, maxMessages = 1000): string[] {
    return this.pull(name, { maxMessages }).map(textOf);
  }

  /** Reasons of failures. */
  ack(name: string, messages: readonly DeliveredMessage[], incarnation = 0): string[] {
    return reasons(this.ask({ type: 'acknowledge', subscription: name, tags: messages.map((each) => tag(each, incarnation)) }));
  }

  modify(name: string, messages: readonly DeliveredMessage[], deadlineMs: number): string[] {
    const tags = messages.map((each) => tag(each));
    return reasons(this.ask({ type: 'modifyDeadline', subscription: name, tags, deadlinesMs: tags.map(() => deadlineMs) }));
  }

  // Reads

  query(query: QueueQuery): QueueAnswer {
    const reply = this.run({ type: 'read', origin: this.origin(), query, consistency: 'eventual', deadlineMs: this.nowMs })[0];
    if (reply?.type !== 'read') throw new Error(`no answer to ${query.type}`);
    return reply.answer;
  }

  topicStatistics(name: string): TopicStatistics {
    const answer = this.query({ type: 'topicStatistics', name });
    if (answer.type !== 'topicStatistics' || answer.statistics === undefined) throw new Error(`no topic ${name}`);
    return answer.statistics;
  }

  statistics(name: string): SubscriptionStatistics {
    const answer = this.query({ type: 'subscriptionStatistics', name });
    if (answer.type !== 'subscriptionStatistics' || answer.statistics === undefined) throw new Error(`no subscription ${name}`);
    return answer.statistics;
  }

  origin(): string {
    return `caller ${++this.count}`;
  }

  /** Stored records under a prefix. */
  stored(prefix: string): string[] {
    return [...this.store.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  private batch(commands: Command[]): void {
    const { kernel } = this;
    const batch = new Batch(this);
    for (const command of commands) {
      for (let missing = kernel.missing(command); missing.length > 0; missing = kernel.missing(command)) {
        for (const key of missing) {
          const record = this.store.get(key);
          kernel.admit(key, record && this.copied(key, record));
        }
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
    if (!this.compares) return;
    const reloaded = this.recovered();
    reloaded.lead(this.epoch, this.input(), new Batch(this, true));
    const [inMemory, stored] = [comparable(this.kernel.durableState()), comparable(reloaded.durableState())];
    if (inMemory !== stored) throw new Error(`replay equality (P3): in memory ${inMemory}, reloaded ${stored}`);
  }

  private recovered(): ParticipantKernel<T> {
    const { settings, queue, bugs } = this.options;
    const resource = new QueueResource({
      ...DEFAULT_QUEUE_SETTINGS,
      participant: 'queue',
      partition: 0,
      partitions: 1,
      messages: port,
      ...queue,
      bugs: new Set(bugs),
    });
    const kernel = new ParticipantKernel<T>({ settings: { ...DEFAULT_SETTINGS, participant: 'queue', partition: 0, ...settings }, resource });
    const keys = [...this.store.keys()].sort();
    for (let next = kernel.recovery(); next !== undefined; next = kernel.recovery()) {
      const wanted = next;
      const found = 'from' in wanted ? keys.filter((key) => key >= wanted.from && key < wanted.to) : wanted.filter((key) => this.store.has(key));
      for (const key of found) kernel.recover(key, this.copied(key, this.store.get(key)!));
    }
    return kernel;
  }

  private copied(key: string, record: Stored): Stored {
    return this.options.copy === undefined ? record : this.options.copy(key, record);
  }

  private input(): StepInput {
    return { nowMs: this.nowMs, entropy: 0.5 };
  }
}

export function tag({ generation, position, attempt }: DeliveredMessage, incarnation = 0): DeliveryTag {
  return { generation, position, attempt, incarnation };
}

function reasons(answers: (QueueResponse | Failure)[]): string[] {
  return answers.flatMap((answer) => {
    if ('reason' in answer) return [answer.reason];
    return answer.type === 'settled' ? answer.failures.map(({ failure }) => failure.reason) : [];
  });
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

  send({ message: sent }: ParticipantMessage): void {
    if (!this.silent) this.harness.messages.push(sent);
  }

  emit(): void {}

  follow(command: Command): void {
    this.follows.push(command);
  }

  stepDown(reason: string): void {
    throw new Error(`steps down: ${reason}`);
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
    if (value instanceof Map) return JSON.stringify([...value]);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
