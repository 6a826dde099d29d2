/** A client that takes messages, acknowledges most of them, and now and then gives one back, extends it or forgets it. */

import type { DeliveredMessage as Received, DeliveryTag, QueueRequest, SubscriptionConfig } from '../../../services/kernel/queue/types.ts';
import { CALL_TIMEOUT_MS, type Actor } from '../work/actor.ts';
import { PARTITIONS } from '../world/cluster.ts';
import type { AnyReply, Leaving } from '../world/commands.ts';
import type { Settlement } from './history.ts';
import { payloadOf } from './messages.ts';
import { QUEUE, SUBSCRIPTIONS } from './plan.ts';

/** A message that a consumer holds. */
export interface Held {
  readonly subscription: SubscriptionConfig;
  readonly partition: number;
  readonly tag: DeliveryTag;
  readonly payload: string;
}

/** What is done with a message. */
const FATES = { acknowledge: 12, extend: 2, giveBack: 2, release: 1, forget: 2 };
/** How long a pull waits at the longest, milliseconds. */
const WAIT_MS = 500;

export class Consumer {
  private readonly actor: Actor;

  constructor(actor: Actor) {
    this.actor = actor;
  }

  /** Pulls, and settles what comes. */
  async consume(): Promise<void> {
    const { random, profile } = this.actor;
    const subscription = random.pick(SUBSCRIPTIONS.filter(({ name }) => profile.subscriptions?.includes(name) !== false));
    const held = await this.pull(subscription, random.below(PARTITIONS), 1 + random.below(4), random.chance(0.6) ? random.below(WAIT_MS) : 0);
    if (random.chance(0.3)) await this.actor.sleep(random.between(0, 2) * subscription.ackDeadlineMs);
    await Promise.all(held.map((one) => this.settle(one)));
  }

  /** @param waitMs how long to wait for a first one */
  async pull(subscription: SubscriptionConfig, partition: number, maxMessages: number, waitMs: number): Promise<Held[]> {
    const { actor } = this;
    const onLeave = (reply: AnyReply, leaving: Leaving): void => this.note(reply, leaving, subscription, partition, maxMessages);
    const answer = await actor.call(QUEUE, partition, (nowMs, origin) => ({
      type: 'request',
      origin,
      request: {
        type: 'pull',
        subscription: subscription.name,
        maxMessages,
        maxBytes: 1_000_000,
        ackDeadlineMs: 0,
        untilMs: waitMs === 0 ? 0 : nowMs + waitMs,
      },
    }), CALL_TIMEOUT_MS + waitMs, { onLeave });
    if (answer.type === 'failure') actor.count(`failure ${answer.failure.reason}`);
    if (answer.type !== 'response' || answer.response.type !== 'delivered') return [];
    const { messages, incarnation } = answer.response;
    return messages.map((message) => ({ subscription, partition, tag: tagOf(message, incarnation), payload: payloadOf(message.encoded) }));
  }

  private note(reply: AnyReply, leaving: Leaving, { name, ackDeadlineMs }: SubscriptionConfig, partition: number, room: number): void {
    if (reply.type !== 'response' || reply.response.type !== 'delivered') return;
    const { actor } = this;
    const { pulls, delivered } = actor.history.queue;
    const { messages } = reply.response;
    pulls.push({ subscription: name, partition, room, got: messages.length, ...leaving });
    for (const { position, generation, attempt, publishMs, encoded } of messages) {
      const payload = payloadOf(encoded);
      actor.count(`delivered ${name}`);
      if (attempt > 1) actor.count('delivered again');
      if ((actor.history.queue.published.get(payload)?.deliverAtMs ?? 0) > 0) actor.count('delayed messages delivered');
      actor.say(`gets ${name}/${partition} ${position} (${payload}), attempt ${attempt}`);
      delivered.push({ subscription: name, partition, generation, position, payload, attempt, publishMs, deadlineMs: ackDeadlineMs, ...leaving });
    }
  }

  private async settle(held: Held): Promise<void> {
    const { random } = this.actor;
    const fate = random.weighted(FATES);
    if (fate === 'forget') return;
    await this.ask(held, fate);
    if (fate !== 'extend') return;
    await this.actor.sleep(random.between(0.5, 1.5) * held.subscription.ackDeadlineMs);
    await this.ask(held, 'acknowledge');
  }

  /** Acknowledges, extends, gives back or releases; tries once more if the answer does not come. */
  async ask({ subscription: { name, ackDeadlineMs }, partition, tag }: Held, type: Settlement['type']): Promise<void> {
    const { actor } = this;
    const { generation, position, attempt } = tag;
    const deadlineMs = type === 'extend' ? 2 * ackDeadlineMs : 0;
    const settlement: Settlement = {
      type,
      subscription: name,
      partition,
      generation,
      position,
      attempt,
      deadlineMs,
      startMs: actor.nowMs,
      endMs: Infinity,
      state: 'asked',
    };
    actor.history.queue.settlements.push(settlement);
    const request: QueueRequest =
      type === 'acknowledge' || type === 'release'
        ? { type, subscription: name, tags: [tag] }
        : { type: 'modifyDeadline', subscription: name, tags: [tag], deadlinesMs: [deadlineMs] };
    const single = actor.random.chance(0.5);
    if (type === 'release') {
      // Nobody answers it; a copy would release the next delivery, which has the same attempt.
      actor.count('released');
      return void actor.call(QUEUE, partition, (_, origin) => ({ type: 'request', origin, request }), 0, { single: true });
    }
    let tries = 0;
    await actor.retrying(2, async () => {
      tries++;
      const answer = await actor.call(QUEUE, partition, (_, origin) => ({ type: 'request', origin, request }), CALL_TIMEOUT_MS, { single });
      if (answer.type === 'failure') actor.count(`failure ${answer.failure.reason}`);
      if (answer.type !== 'response' || answer.response.type !== 'settled') return false;
      const [failure] = answer.response.failures;
      // A refusal of one try, or one copy, says nothing of the others.
      if (failure === undefined || (tries === 1 && single)) {
        settlement.state = failure === undefined ? 'done' : 'refused';
        settlement.endMs = actor.nowMs;
      }
      if (failure !== undefined) actor.count(`failure ${failure.failure.reason}`);
      actor.count(`${type}: ${settlement.state}`);
      actor.say(`${type} ${name}/${partition} ${position}: ${failure === undefined ? 'done' : failure.failure.message}`);
      return true;
    });
  }
}

function tagOf({ generation, position, attempt }: Received, incarnation: number): DeliveryTag {
  return { generation, position, attempt, incarnation };
}
