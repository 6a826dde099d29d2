/**
 * Publishing outside of transactions: idempotent by session and sequence (C2, Q1), deduplicated by id,
 * within the topic's limits, and never past an ordering key that a prepared transaction holds
 * (invariant Q7): whoever comes then waits in line, bounded in number and time.
 */

import type { Failure } from '../failure.ts';
import type { Cost, Origin } from '../kernel.ts';
import { GROUP_BYTES, POSITION_BYTES } from './ack-log.ts';
import { keyHeld, keyPaused, memoryFull, tooManyIds, tooManyWait, topicFull, topicNotFound } from './failures.ts';
import { orderLock } from './keys.ts';
import { Fifo } from './positions.ts';
import type { QueuePartition } from './partition.ts';
import type { Due, QueueContext } from './state.ts';
import type { Topic } from './topic.ts';
import { LIMITS, type NewMessage, type QueueRequest } from './types.ts';

type PublishRequest = Extract<QueueRequest, { readonly type: 'publish' }>;

/** Records of a segment without its messages; per message: key, numbers, tags, log of a filter, token. */
const SEGMENT_BYTES = 600;
const MESSAGE_BYTES = 96;
/** Messages that one step may drop to make room, beyond one for each that it publishes. */
export const DROPPED_PER_STEP = 1024;

/** A request that has messages which wait. */
class Publication implements Due {
  readonly request: PublishRequest;
  readonly origin: Origin;
  readonly positions: number[];
  failures: Map<number, Failure> | undefined;
  /** Ordering keys of which a message was refused, with its sequence. */
  paused: Map<string, number> | undefined;
  /** Messages that wait. */
  open = 0;
  over = false;
  dueMs = 0;
  timerIndex = -1;
  private readonly owner: Publishing;

  constructor(owner: Publishing, request: PublishRequest, origin: Origin) {
    this.owner = owner;
    this.request = request;
    this.origin = origin;
    this.positions = Array.from(request.messages, () => 0);
  }

  ring(): void {
    this.owner.giveUp(this);
  }
}

interface Blocked {
  readonly publication: Publication;
  readonly index: number;
}

/** An ordering key that prepared transactions hold, or that somebody waits for. */
interface HeldKey {
  readonly topic: string;
  readonly orderingKey: string;
  holders: number;
  readonly waiting: Fifo<Blocked>;
  resuming: boolean;
}

export class Publishing {
  private readonly state: QueuePartition;
  private readonly held = new Map<string, HeldKey>();
  /** Publications with messages that wait, by whoever asked. */
  private readonly blocked = new Set<Publication>();
  private blockedCount = 0;
  /** The same of whole sessions: what is behind a refused message must not overtake it. */
  private readonly paused = new Map<string, number>();
  /** Answers that are given when the batch ends. */
  private done: Publication[] = [];

  constructor(state: QueuePartition) {
    this.state = state;
  }

  cost({ topic: name, messages, sequences, session }: PublishRequest): Cost {
    const topic = this.state.topics.get(name);
    if (topic === undefined) return { operations: 0, bytes: 0 };
    return this.costOf(topic, messages, session === '' ? 0 : sequences.length);
  }

  costOf(topic: Topic, messages: readonly NewMessage[], tokens: number): Cost {
    if (!topic.isDurable) return { operations: 0, bytes: 0 };
    let bytes = 0;
    let ids = 0;
    for (const { encoded, orderingKey, deduplicationId } of messages) {
      bytes += encoded.length + MESSAGE_BYTES + 3 * orderingKey.length + 6 * deduplicationId.length;
      if (deduplicationId !== '') ids++;
    }
    const { sessions, log } = this.state;
    const segments = topic.hasOpenFor(bytes, messages.length) ? 0 : 2 + Math.ceil((2 * bytes) / LIMITS.segmentBytes);
    const filters = topic.subscriptions.size > 0 || topic.config.overflow === 'dropOldest';
    const logged = filters ? topic.holders * GROUP_BYTES + (DROPPED_PER_STEP + messages.length * (1 + topic.holders)) * POSITION_BYTES : 0;
    return {
      operations: 2 * segments + (ids > 0 && !topic.deduplication.isOpen ? 1 : 0) + (filters && !log.isOpen ? 1 : 0),
      bytes: bytes + segments * SEGMENT_BYTES + tokens * sessions.tokenBytes + sessions.groupBytes + logged,
    };
  }

  publish(request: PublishRequest, origin: Origin, context: QueueContext): void {
    const topic = this.state.topics.get(request.topic);
    if (topic === undefined) return context.fail(origin, topicNotFound(request.topic));
    const publication = new Publication(this, request, origin);
    this.state.dropBudget = DROPPED_PER_STEP + request.messages.length;
    for (let index = 0; index < request.messages.length; index++) this.publishOne(publication, index, topic, context);
    if (publication.open === 0) return void this.done.push(publication);
    this.blocked.add(publication);
    this.state.timers.set(publication, this.state.nowMs + this.state.settings.keyWaitMs);
  }

  /** Ends a batch. */
  conclude(context: QueueContext): void {
    for (const { origin, request, positions, failures } of this.done) {
      const incarnation = this.state.incarnationOf(this.state.topics.get(request.topic));
      context.respond(origin, { type: 'published', positions, failures, incarnation });
    }
    this.done = [];
  }

  /** Whoever asked is gone; what waits is not published. */
  cancel(target: Origin): void {
    for (const publication of this.blocked) if (publication.origin === target) this.end(publication);
  }

  fail(failure: Failure, context: QueueContext): void {
    for (const publication of this.blocked) {
      this.end(publication);
      context.fail(publication.origin, failure);
    }
  }

  // Ordering keys of prepared transactions

  hold(topic: string, orderingKey: string): void {
    const key = this.heldKey(topic, orderingKey);
    key.holders++;
  }

  /** Whether a prepared transaction publishes with this key, or somebody waits to. */
  isHeld(topic: string, orderingKey: string): boolean {
    return this.held.has(orderLock(topic, orderingKey));
  }

  free(topic: string, orderingKey: string): void {
    const name = orderLock(topic, orderingKey);
    const key = this.held.get(name);
    if (key === undefined || --key.holders > 0) return;
    this.resumeOrForget(name, key);
  }

  /** What waits for a key that is free is published, within the cost that {@link resumeCost} has said. */
  resume(topicName: string, orderingKey: string, context: QueueContext): void {
    const name = orderLock(topicName, orderingKey);
    const key = this.held.get(name);
    if (key === undefined) return;
    key.resuming = false;
    if (key.holders > 0) return;
    this.state.dropBudget = DROPPED_PER_STEP;
    const topic = this.state.topics.get(topicName);
    for (let taken = 0; taken < RESUMED_MESSAGES; taken++) {
      const blocked = key.waiting.peek();
      if (blocked === undefined) break;
      const { publication, index } = blocked;
      const { messages } = publication.request;
      if (taken > 0 && messages[index]!.encoded.length > LIMITS.segmentBytes) break;
      key.waiting.shift();
      this.blockedCount--;
      if (publication.over) continue;
      if (topic === undefined) this.refuse(publication, index, topicNotFound(topicName));
      else this.append(publication, index, topic, context);
      if (--publication.open === 0) this.finish(publication);
    }
    this.resumeOrForget(name, key);
  }

  resumeCost(topicName: string, orderingKey: string): Cost {
    const topic = this.state.topics.get(topicName);
    const first = this.held.get(orderLock(topicName, orderingKey))?.waiting.peek();
    if (topic === undefined || first === undefined) return { operations: 0, bytes: 0 };
    const { publication, index } = first;
    const { encoded } = publication.request.messages[index]!;
    const bytes = encoded.length + RESUMED_MESSAGES * (LIMITS.segmentBytes + MESSAGE_BYTES + 6 * 1280);
    return { operations: 2 * (RESUMED_MESSAGES + 1) + 3, bytes: bytes + topic.holders * (GROUP_BYTES + RESUMED_MESSAGES * POSITION_BYTES) + DROPPED_PER_STEP * POSITION_BYTES };
  }

  /** The outcome has not come in time. */
  giveUp(publication: Publication): void {
    const { request } = publication;
    for (let index = 0; index < request.messages.length; index++) {
      if (publication.positions[index] !== 0 || publication.failures?.has(index) === true) continue;
      this.refuse(publication, index, keyHeld(request.topic, request.messages[index]!.orderingKey));
    }
    this.finish(publication);
  }

  private publishOne(publication: Publication, index: number, topic: Topic, context: QueueContext): void {
    const { orderingKey } = publication.request.messages[index]!;
    if (orderingKey !== '') {
      const refused = this.pausedBy(publication, index, orderingKey);
      if (refused !== undefined) return this.refuse(publication, index, keyPaused(orderingKey, refused));
    }
    if (orderingKey === '' || this.held.size === 0 || this.state.bugs.has('publish-overtakes')) {
      return this.append(publication, index, topic, context);
    }
    const key = this.held.get(orderLock(topic.config.name, orderingKey));
    if (key === undefined) return this.append(publication, index, topic, context);
    // What was published before must not wait for the answer.
    if (this.blockedCount >= LIMITS.blockedPublishes) {
      return this.refuse(publication, index, tooManyWait('messages wait for ordering keys of prepared transactions', this.blockedCount));
    }
    context.urge(orderLock(topic.config.name, orderingKey));
    key.waiting.push({ publication, index });
    publication.open++;
    this.blockedCount++;
  }

  /** Publishes one message, unless it was before or there is no room. */
  private append(publication: Publication, index: number, topic: Topic, context: QueueContext): void {
    const { request } = publication;
    const { state } = this;
    const message = request.messages[index]!;
    const sequence = request.sequences[index] ?? 0;
    const sessions = topic.isDurable ? state.sessions : state.volatileSessions;
    const session = request.session === '' ? undefined : sessions.open('', request.session, request.settledBelow, state.nowMs);
    if (session !== undefined) {
      if ('reason' in session) return this.refuse(publication, index, session);
      const known = session.find(sequence);
      if (known !== undefined) {
        publication.positions[index] = known;
        return;
      }
      const refusal = session.refusal(sequence) ?? sessions.fullness('');
      if (refusal !== undefined) return this.refuse(publication, index, refusal);
    }
    const position = findDuplicate(topic, message, state.nowMs) ?? this.publishNew(topic, message, context);
    if (typeof position !== 'number') return this.refuse(publication, index, position);
    publication.positions[index] = position;
    if (session !== undefined) sessions.record(session, sequence, position);
  }

  private publishNew(topic: Topic, message: NewMessage, { out }: Pick<QueueContext, 'out'>): number | Failure {
    const { state } = this;
    const failure = makeRoom(topic, message.encoded.length, state);
    if (failure !== undefined) return failure;
    if (message.deduplicationId !== '' && topic.deduplication.isFull) return tooManyIds(topic.config.name, LIMITS.deduplicationIds);
    return appendMessage(topic, message, state, out);
  }

  private refuse(publication: Publication, index: number, failure: Failure): void {
    (publication.failures ??= new Map()).set(index, failure);
    const { messages, session, sequences, topic } = publication.request;
    const { orderingKey } = messages[index]!;
    if (orderingKey === '' || failure.reason === 'ORDERING_KEY_PAUSED') return;
    const sequence = sequences[index] ?? index;
    publication.paused ??= new Map();
    if (!publication.paused.has(orderingKey)) publication.paused.set(orderingKey, sequence);
    if (session === '') return;
    const name = `${session}\n${orderLock(topic, orderingKey)}`;
    this.paused.set(name, Math.min(sequence, this.paused.get(name) ?? sequence));
    if (this.paused.size <= LIMITS.pausedKeys) return;
    for (const oldest of this.paused.keys()) {
      this.paused.delete(oldest);
      return;
    }
  }

  /** The sequence of an earlier message of this key that was refused and has not come again. */
  private pausedBy(publication: Publication, index: number, orderingKey: string): number | undefined {
    const refused = publication.paused?.get(orderingKey);
    if (refused !== undefined) return refused;
    const { session, sequences, topic } = publication.request;
    if (session === '' || this.paused.size === 0) return undefined;
    const name = `${session}\n${orderLock(topic, orderingKey)}`;
    const earlier = this.paused.get(name);
    if (earlier === undefined || sequences[index]! > earlier) return earlier;
    this.paused.delete(name);
    return undefined;
  }

  private finish(publication: Publication): void {
    if (publication.over) return;
    this.end(publication);
    this.done.push(publication);
  }

  private end(publication: Publication): void {
    publication.over = true;
    this.blocked.delete(publication);
    this.state.timers.cancel(publication);
  }

  private heldKey(topic: string, orderingKey: string): HeldKey {
    const name = orderLock(topic, orderingKey);
    let key = this.held.get(name);
    if (key === undefined) this.held.set(name, (key = { topic, orderingKey, holders: 0, waiting: new Fifo(), resuming: false }));
    return key;
  }

  private resumeOrForget(name: string, key: HeldKey): void {
    if (key.waiting.size === 0) {
      if (key.holders === 0) this.held.delete(name);
    } else if (!key.resuming) {
      key.resuming = true;
      this.state.follow({ type: 'resume', topic: key.topic, orderingKey: key.orderingKey });
    }
  }
}

/** Messages that one step publishes of those that waited for a key. */
const RESUMED_MESSAGES = 2;

/** Ids are unique within an ordering key. A key has no line feed. */
function deduplicationName({ orderingKey, deduplicationId }: NewMessage): string {
  return orderingKey === '' ? deduplicationId : `${orderingKey}\n${deduplicationId}`;
}

/** Where the message was published within the topic's window. */
export function findDuplicate(topic: Topic, message: NewMessage, nowMs: number): number | undefined {
  if (message.deduplicationId === '') return undefined;
  return topic.deduplication.find(deduplicationName(message), topic.config.deduplicationWindowMs, nowMs);
}

export function appendMessage(topic: Topic, message: NewMessage, { nowMs }: QueuePartition, out: QueueContext['out']): number {
  const position = topic.append(message);
  if (message.deduplicationId !== '') topic.deduplication.add(deduplicationName(message), position, nowMs, out);
  return position;
}

/** Whether there is room for one more message; where the topic says so, the oldest make it. */
export function makeRoom(topic: Topic, bytes: number, state: QueuePartition): Failure | undefined {
  const { config } = topic;
  if (!topic.isDurable && state.memoryBytes + bytes > state.settings.memoryBytes) return memoryFull(state.settings.memoryBytes);
  // Nobody to keep it for.
  if (topic.holders === 0) return undefined;
  const full = (): Failure | undefined => {
    if (topic.live + topic.reserved + 1 > topic.messageLimit) return topicFull(config.name, 'messages', topic.messageLimit);
    if (topic.liveBytes + topic.reservedBytes + bytes > topic.byteLimit && topic.live + topic.reserved > 0)
      return topicFull(config.name, 'bytes', topic.byteLimit);
    return undefined;
  };
  let failure = full();
  if (failure !== undefined && config.overflow === 'dropOldest') {
    for (const position of oldest(topic)) {
      if (state.dropBudget-- <= 0) break;
      topic.drop(position);
      failure = full();
      if (failure === undefined) break;
    }
  }
  return failure;
}

/** Positions that somebody has not acknowledged, and that no transaction acknowledges, the lowest first. */
function* oldest(topic: Topic): Generator<number> {
  let from = topic.next;
  for (const { acknowledged } of topic.sets()) from = Math.min(from, acknowledged.floor + 1);
  for (const segment of topic.segments.from(from)) {
    if (segment.remaining === 0) continue;
    for (let position = Math.max(from, segment.first); position < segment.end; position++) {
      if (isOpen(topic, position) && !topic.isStaged(position)) yield position;
    }
  }
}

function isOpen(topic: Topic, position: number): boolean {
  for (const set of topic.sets()) if (!set.has(position)) return true;
  return false;
}
