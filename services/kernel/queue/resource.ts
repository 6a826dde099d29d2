/**
 * Topics, subscriptions and messages as a {@link Resource}: what the branch protocol locks, evaluates
 * and writes, and what is recovered when a term begins. What happens outside of transactions is in
 * requests.ts.
 */

import type { Failure } from '../failure.ts';
import type { Cost } from '../kernel.ts';
import type { LockWish } from '../participant/locks.ts';
import { rangeOf } from '../participant/keys.ts';
import type { Evaluation, RecordOutput, Resource } from '../participant/resource.ts';
import { TOKEN_PREFIX } from '../sessions/log.ts';
import { applyConfigure, CONFIGURE_COST, holdConfigure } from './configuring.ts';
import { configureLocks, decideConfigure } from './deciding.ts';
import * as keys from './keys.ts';
import { addSnapshot, addSubscription, addTopic, snapshotOwner, subscriptionOwner, topicOwner } from './objects.ts';
import { DROPPED_PER_STEP, Publishing } from './publishing.ts';
import { answerQuery, awaitedLocks } from './queries.ts';
import { QueueRequests, RECORD_BUDGET } from './requests.ts';
import { schedule } from './retention.ts';
import { Segment } from './segments.ts';
import { QueuePartition } from './partition.ts';
import { surveyOf, type SubscriptionSurvey } from './survey.ts';
import { limitExceeded, MAX_OPERATIONS, merged, payloadBytes } from './sizes.ts';
import { Transactions, type Planned } from './transactions.ts';
import {
  LIMITS,
  type PayloadRecord,
  type QueueAnswer,
  type QueueEffect,
  type QueueOperation,
  type QueueQuery,
  type QueueRecord,
  type QueueSettings,
  type QueueTypes,
  type QueueWrite,
  type SnapshotConfig,
  type SubscriptionConfig,
} from './types.ts';

const NOTHING: readonly string[] = [];
/** An effect without its messages: names, numbers, tags. */
const WRITE_BYTES = 700;

export class QueueResource implements Resource<QueueTypes> {
  readonly activeRanges = [
    keys.TOPIC_PREFIX,
    keys.SEGMENT_PREFIX,
    keys.DEDUPLICATION_PREFIX,
    keys.SUBSCRIPTION_PREFIX,
    keys.SNAPSHOT_PREFIX,
    keys.CURSOR_PREFIX,
    keys.BLOCK_PREFIX,
    keys.ACKS_PREFIX,
    TOKEN_PREFIX,
  ].map(rangeOf);
  readonly requests: QueueRequests;
  readonly awaitsShared = false;
  private readonly state: QueuePartition;
  private readonly publishing: Publishing;
  private readonly transactions: Transactions;
  /** Recovered, and not put together yet. */
  private recoveredSubscriptions: SubscriptionConfig[] = [];
  private recoveredSnapshots: SnapshotConfig[] = [];

  constructor(settings: QueueSettings) {
    this.state = new QueuePartition(settings);
    this.publishing = new Publishing(this.state);
    this.transactions = new Transactions(this.state, this.publishing);
    this.requests = new QueueRequests(this.state, this.publishing);
  }

  /** One by one; each costs little, whatever its backlog. */
  *survey(nowMs: number): Generator<SubscriptionSurvey> {
    for (const subscription of this.state.subscriptions.values()) if (subscription.topic !== undefined) yield surveyOf(subscription, nowMs);
  }

  // Recovery

  recover(key: string, record: QueueRecord): void {
    const { state } = this;
    switch (record.type) {
      case 'topic': {
        const { config, nextPosition } = record;
        const gone = state.log.create(topicOwner(config.name), 0, 0, undefined);
        addTopic(state, config, gone).next = nextPosition;
        return;
      }
      case 'segment': {
        const topic = state.topics.get(keys.topicOfKey(key, keys.SEGMENT_PREFIX));
        if (topic === undefined) return;
        const segment = Segment.from(record);
        topic.segments.push(segment);
        topic.next = Math.max(topic.next, segment.end);
        return;
      }
      case 'deduplication':
        return state.topics.get(keys.topicOfKey(key, keys.DEDUPLICATION_PREFIX))?.deduplication.recover(record);
      case 'subscription':
        this.recoveredSubscriptions.push(record.config);
        return;
      case 'snapshot':
        this.recoveredSnapshots.push(record.config);
        return;
      case 'cursor':
        return state.log.recoverCursor(key, record);
      case 'block':
        return state.log.recoverBlock(key, record);
      case 'acks':
        return state.log.recoverAcks(key, record);
      case 'tokens':
        return state.sessions.recover(key, record);
      case 'payload':
        return;
    }
  }

  lead(revision: number, epoch: number): void {
    const { state } = this;
    const { topics, log } = state;
    state.epoch = epoch;
    for (const topic of topics.values()) {
      const recovered = log.recovered(topicOwner(topic.config.name));
      if (recovered !== undefined) topic.takeOver(recovered);
      topic.recoverGone();
    }
    for (const config of this.recoveredSubscriptions) {
      const topic = config.state === 'active' ? topics.get(config.topic) : undefined;
      const owner = subscriptionOwner(config.name);
      const set = log.recovered(owner) ?? log.create(owner, revision, (topic?.next ?? 1) - 1, undefined);
      addSubscription(state, config, topic, set);
      topic?.takeGone(set);
    }
    for (const config of this.recoveredSnapshots) {
      const topic = topics.get(config.topic);
      const set = log.recovered(snapshotOwner(config.name));
      if (topic === undefined || set === undefined) continue;
      addSnapshot(state, config, topic, set);
      topic.takeGone(set);
    }
    for (const topic of topics.values()) topic.recount();
    for (const subscription of state.subscriptions.values()) subscription.reorder();
    this.recoveredSubscriptions = [];
    this.recoveredSnapshots = [];
  }

  // Records on demand

  missing(): readonly string[] {
    return NOTHING;
  }

  missingForEffect(): readonly string[] {
    return NOTHING;
  }

  missingForQuery(): readonly string[] {
    return NOTHING;
  }

  admit(key: string, record: QueueRecord | undefined): void {
    const { topics, payloads } = this.state;
    const topic = topics.get(keys.topicOfKey(key, keys.PAYLOAD_PREFIX));
    const segment = topic?.segments.find(parseInt(key.slice(key.lastIndexOf('/') + 1), 16));
    // It was removed meanwhile.
    if (segment === undefined) return;
    if (record === undefined) throw new Error(`record ${key} is missing; the store is damaged`);
    payloads.add(segment, [...(record as PayloadRecord).messages]);
  }

  // The branch protocol

  locks(operations: readonly QueueOperation[]): readonly LockWish[] {
    return merged(operations.map((operation) => this.locksOne(operation)));
  }

  locksOf({ writes }: QueueEffect): readonly LockWish[] {
    return merged(writes.map((write) => this.locksOne(write)));
  }

  awaited(query: QueueQuery): readonly string[] | string {
    return awaitedLocks(query);
  }

  check(operations: readonly QueueOperation[]): Failure | undefined {
    if (operations.length > LIMITS.branchOperations) return limitExceeded(operations.length, LIMITS.branchOperations, 'operations');
    const bytes = this.effectBytes(operations);
    if (bytes > LIMITS.branchBytes) return limitExceeded(bytes, LIMITS.branchBytes, 'bytes');
    // One write of the store must hold the commit (invariant K7).
    const cost = this.localCost(operations);
    return cost.operations > MAX_OPERATIONS ? limitExceeded(cost.operations, MAX_OPERATIONS, 'records to write') : undefined;
  }

  evaluate(operations: readonly QueueOperation[], nowMs: number): Evaluation<QueueEffect> {
    this.state.nowMs = nowMs;
    const failure = this.check(operations);
    if (failure !== undefined) return { type: 'refusal', failure };
    const planned: Planned = { counts: new Map(), bytes: new Map() };
    const acknowledged = new Set<string>();
    const writes: QueueWrite[] = [];
    for (const operation of operations) {
      const write = this.evaluateOne(operation, planned);
      if ('reason' in write) return { type: 'refusal', failure: write };
      if (write.type === 'acknowledge') {
        const name = keys.messageLock(write.subscription, write.position);
        // Twice in one transaction is once.
        if (acknowledged.has(name)) continue;
        acknowledged.add(name);
      }
      writes.push(write);
    }
    return { type: 'effect', effect: { writes } };
  }

  changes(): boolean {
    return true;
  }

  hold({ writes }: QueueEffect): void {
    for (const write of writes) {
      if (write.type === 'publish' || write.type === 'acknowledge') this.transactions.hold(write);
      else holdConfigure(write, this.state, 1);
    }
  }

  drop({ writes }: QueueEffect): void {
    for (const write of writes) {
      if (write.type === 'publish' || write.type === 'acknowledge') this.transactions.drop(write);
      else holdConfigure(write, this.state, -1);
    }
  }

  apply({ writes }: QueueEffect, revision: number, nowMs: number, held: boolean, out: RecordOutput<QueueTypes>): void {
    const { state } = this;
    state.nowMs = nowMs;
    state.out = out;
    state.dropBudget = DROPPED_PER_STEP;
    for (const write of writes) {
      if (write.type === 'publish' || write.type === 'acknowledge') this.transactions.apply(write, held);
      else {
        if (held) holdConfigure(write, state, -1);
        applyConfigure(write, revision, state);
      }
    }
  }

  answer(query: QueueQuery, nowMs: number): QueueAnswer {
    this.state.nowMs = nowMs;
    return answerQuery(query, this.state);
  }

  /** Nothing that is staged changes what a query says. */
  answerStaged(query: QueueQuery, _: unknown, nowMs: number): { readonly answer: QueueAnswer; readonly checks: readonly QueueOperation[] } {
    return { answer: this.answer(query, nowMs), checks: [] };
  }

  // Sizes

  effectBytes(operations: readonly QueueOperation[]): number {
    let bytes = 0;
    for (const operation of operations) bytes += WRITE_BYTES + payloadBytes(operation);
    return bytes;
  }

  sizeOf(operations: readonly QueueOperation[]): number {
    return this.effectBytes(operations);
  }

  applyCost({ writes }: QueueEffect): Cost {
    return this.costOf(writes);
  }

  localCost(operations: readonly QueueOperation[]): Cost {
    return this.costOf(operations);
  }

  // Upkeep is done by requests of the queue's own

  readonly upkeepDue = false;
  readonly upkeepCost: Cost = { operations: 0, bytes: 0 };

  missingForUpkeep(): readonly string[] {
    return NOTHING;
  }

  upkeep(): void {}

  // Ending a batch

  seal(_revision: number, nowMs: number, out: RecordOutput<QueueTypes>): void {
    const { state } = this;
    state.nowMs = nowMs;
    state.out = out;
    state.log.seal();
    for (const touched of state.touched) {
      touched.seal();
      const topic = state.topics.get(touched.config.name);
      if (topic === touched) schedule(topic, state);
    }
    state.touched.clear();
    state.deleted.clear();
    state.sessions.seal(nowMs, out);
    state.volatileSessions.seal(nowMs, NOWHERE);
    state.payloads.evict();
  }

  get sealCost(): Cost {
    const { operations, bytes } = this.state.sessions.sealCost;
    // One record of the log.
    return { operations: operations + 1, bytes: bytes + RECORD_BUDGET + 1024 };
  }

  durableState(): unknown {
    const { topics, subscriptions, snapshots, log, sessions } = this.state;
    return {
      topics: [...topics.values()].map((topic) => topic.durableState()).sort(byName),
      subscriptions: [...subscriptions.values()].map(({ config, staged }) => ({ ...config, staged: [...staged].sort((a, b) => a - b) })).sort(byName),
      snapshots: [...snapshots.values()].map(({ config }) => config).sort(byName),
      log: log.durableState(),
      sessions: sessions.durableState(),
    };
  }

  private locksOne(operation: QueueOperation | QueueWrite): LockWish[] {
    if (operation.type === 'publish' || operation.type === 'acknowledge') return this.transactions.locks(operation);
    return configureLocks(operation, this.state);
  }

  private evaluateOne(operation: QueueOperation, planned: Planned): QueueWrite | Failure {
    if (operation.type === 'publish') return this.transactions.publish(operation, planned);
    if (operation.type === 'acknowledge') return this.transactions.acknowledge(operation);
    return decideConfigure(operation, this.state);
  }

  private costOf(writes: readonly (QueueOperation | QueueWrite)[]): Cost {
    const messages = [];
    let operations = 0;
    let bytes = 0;
    for (const write of writes) {
      if (write.type === 'publish' || write.type === 'acknowledge') messages.push(write);
      else {
        operations += CONFIGURE_COST.operations;
        bytes += CONFIGURE_COST.bytes;
      }
    }
    const cost = this.transactions.cost(messages);
    return { operations: operations + cost.operations, bytes: bytes + cost.bytes };
  }
}

const NOWHERE = { put() {}, remove() {}, removeRange() {} };

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
