/** For tests: a participant kernel over a queue. */

import type { Failure } from '../../failure.ts';
import type { BranchId, Prepare } from '../../messages.ts';
import { ParticipantKernel } from '../../participant/kernel.ts';
import { branchOf, id, PartitionHarness, START_MS } from '../../participant/testing/partition.ts';
import { DEFAULT_SETTINGS, type ParticipantRecord, type ParticipantSettings } from '../../participant/types.ts';
import type { KernelHarnessOptions } from '../../testing/harness.ts';
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

export { id };

type T = QueueTypes;

export interface HarnessOptions extends KernelHarnessOptions<ParticipantRecord<T>> {
  readonly settings?: Partial<ParticipantSettings>;
  readonly queue?: Partial<QueueSettings>;
  readonly bugs?: readonly QueueBug[];
}

const DAY_MS = 86_400_000;

export const branch = (n: number, counter?: number): BranchId => branchOf('queue', 0, n, counter);

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

export class Harness extends PartitionHarness<T, never, QueueResource> {
  private readonly options: HarnessOptions;
  private transactions = 0;

  constructor(options: HarnessOptions = {}) {
    super(options);
    this.options = options;
    this.restart();
  }

  protected build(): { kernel: ParticipantKernel<T>; resource: QueueResource } {
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
    return { kernel, resource };
  }

  // Transactions

  /** Runs a local transaction; undefined: it went through. */
  local(...operations: QueueOperation[]): Failure | undefined {
    const n = 1_000_000 + ++this.transactions;
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
    const { nowMs } = this;
    const prepare = { type: 'prepare', branch: of, operations, firstTryMs: nowMs, deadlineMs: nowMs + 1000, readOnly: false } as const;
    const vote = this.hear({ ...prepare, ...more }).find(({ type }) => type === 'vote');
    return vote?.type === 'vote' ? (vote.cause?.reason ?? vote.vote) : 'none';
  }

  tell(type: 'commit' | 'abort', of: BranchId): void {
    this.hear({ type, branch: of });
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
