/**
 * A client that publishes, with tokens of its session: a message whose publishing it does not know of
 * it sends again under the same token, now or later, until it knows.
 */

import type { QueueRequest, QueueResponse } from '../../../services/kernel/queue/types.ts';
import { CALL_TIMEOUT_MS, type Actor } from '../work/actor.ts';
import type { PublishedMessage } from './history.ts';
import { messageOf } from './messages.ts';
import { isDurable, partitionOfMessage, QUEUE } from './plan.ts';

interface Pending {
  readonly message: PublishedMessage;
  readonly sequence: number;
}

interface MessageOptions {
  /** Of the transaction's content that it is to be a part of. */
  readonly writer?: string;
  readonly deduplicated?: boolean;
}

/** Messages of one session before another one is begun. */
const SESSION_MESSAGES = 25;
const TRIES = 4;
const SETTLE_TRIES = 40;
const TOPICS = { orders: 7, narrow: 3, volatile: 1 };

export class Producer {
  private readonly actor: Actor;
  private session: string;
  private sequence = 0;
  private made = 0;
  private pending: Pending[] = [];

  constructor(actor: Actor) {
    this.actor = actor;
    this.session = actor.client.newId();
  }

  /** Publishes one or several messages of one key, and tries again what is not known from before. */
  async publish(): Promise<void> {
    const { random, profile } = this.actor;
    if (this.sequence >= SESSION_MESSAGES && this.pending.length === 0) {
      this.session = this.actor.client.newId();
      this.sequence = 0;
    }
    const topic = random.weighted(TOPICS);
    const orderingKey = random.pick(profile.orderingKeys);
    const deduplicated = random.chance(0.2);
    for (let count = 1 + random.below(3); count > 0; count--) {
      this.pending.push({ message: this.make(topic, orderingKey, { deduplicated }), sequence: ++this.sequence });
    }
    await this.actor.retrying(TRIES, () => this.flush());
  }

  /** Goes on until everything is known; the faults have ended. */
  async settle(): Promise<void> {
    await this.actor.retrying(SETTLE_TRIES, () => this.flush());
  }

  /** A message that is to be published, directly or by a transaction. */
  make(topic: string, orderingKey: string, { writer, deduplicated = false }: MessageOptions = {}): PublishedMessage {
    const { random, profile, client, history, nowMs, wallMs } = this.actor;
    const payload = writer === undefined ? `${client.machine.name}/${++this.made}` : `${writer}/${++this.made}`;
    const message: PublishedMessage = {
      topic,
      partition: partitionOfMessage(orderingKey, payload),
      payload,
      orderingKey,
      priority: random.chance(0.5) ? 0 : random.below(10),
      deliverAtMs: random.chance(profile.delayed) ? wallMs + random.below(profile.delayMs) : 0,
      timeToLiveMs: topic === 'narrow' && random.chance(0.3) ? 300 + random.below(1000) : 0,
      deduplicated,
      writer,
      startMs: nowMs,
      endMs: Infinity,
      position: undefined,
    };
    history.queue.published.set(payload, message);
    return message;
  }

  /** Sends what is pending: of each topic and partition one request. Whether everything is known then. */
  private async flush(): Promise<boolean> {
    const groups = Map.groupBy(this.pending, ({ message: { topic, partition, deduplicated } }) => `${topic}/${partition}/${deduplicated}`);
    const settledBelow = Math.min(...this.pending.map(({ sequence }) => sequence));
    await Promise.all([...groups.values()].map((group) => this.send(group, settledBelow)));
    return this.pending.length === 0;
  }

  private async send(group: readonly Pending[], settledBelow: number): Promise<void> {
    const { actor, session } = this;
    const { topic, partition, deduplicated } = group[0]!.message;
    const request: QueueRequest = {
      type: 'publish',
      topic,
      session: deduplicated ? '' : session,
      settledBelow,
      sequences: group.map(({ sequence }) => sequence),
      messages: group.map(({ message }) => messageOf(message)),
    };
    const answer = await actor.call(QUEUE, partition, (_, origin) => ({ type: 'request', origin, request }), CALL_TIMEOUT_MS);
    if (answer.type === 'failure') {
      actor.count(`failure ${answer.failure.reason}`);
      if (GIVEN_UP.has(answer.failure.reason)) this.forget(group);
    } else if (answer.type === 'response' && answer.response.type === 'published') this.take(group, answer.response);
    // What a memory topic's leader took with it is not published again in another's name.
    if (!isDurable(topic)) this.forget(group);
  }

  private take(group: readonly Pending[], { positions, failures }: Extract<QueueResponse, { readonly type: 'published' }>): void {
    const { actor } = this;
    for (const [index, one] of group.entries()) {
      const failure = failures?.get(index);
      if (failure !== undefined) actor.count(`failure ${failure.reason}`);
      const { message } = one;
      if (failure !== undefined && !GIVEN_UP.has(failure.reason)) continue;
      this.forget([one]);
      if (failure !== undefined || message.position !== undefined) continue;
      message.position = positions[index]!;
      message.endMs = actor.nowMs;
      actor.count(message.deduplicated ? 'published under an id' : 'published');
      actor.say(`published ${message.payload} to ${message.topic}/${message.partition} at ${message.position}`);
    }
  }

  private forget(group: readonly Pending[]): void {
    this.pending = this.pending.filter((one) => !group.includes(one));
  }
}

/** Nothing more will be known of them. */
const GIVEN_UP: ReadonlySet<string> = new Set(['SESSION_EXPIRED', 'SESSION_IN_FUTURE', 'TOKEN_SETTLED']);
