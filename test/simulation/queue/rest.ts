/** When everything has come to rest: every subscription is emptied, which shows what was lost. */

import type { DeliveryTag, SubscriptionConfig } from '../../../services/kernel/queue/types.ts';
import { PARTITIONS } from '../world/cluster.ts';
import type { AnyReply } from '../world/commands.ts';
import type { Ask } from '../world/rest.ts';
import type { Drained } from './history.ts';
import { payloadOf } from './messages.ts';
import { QUEUE, SUBSCRIPTIONS } from './plan.ts';

/** Rounds without a message until nothing more is waited for; the pause is longer than any deadline or delay together. */
const QUIET_ROUNDS = 5;
const ROUND_MS = 600;
const MOST_ROUNDS = 60;
/** Pulls of one subscription and partition within a round. */
const MOST_PULLS = 400;

/** @param sleep lets the mesh go on meanwhile */
export async function drain(ask: Ask, sleep: (forMs: number) => Promise<void>): Promise<{ drained: Drained[]; problems: string[] }> {
  const drained: Drained[] = [];
  for (let [quiet, round] = [0, 0]; quiet < QUIET_ROUNDS; round++) {
    if (round === MOST_ROUNDS) return { drained, problems: ['the queues never come to rest'] };
    const before = drained.length;
    for (const subscription of SUBSCRIPTIONS) {
      for (let partition = 0; partition < PARTITIONS; partition++) await empty(subscription, partition, ask, drained);
    }
    quiet = drained.length === before ? quiet + 1 : 0;
    await sleep(ROUND_MS);
  }
  return { drained, problems: [] };
}

async function empty({ name }: SubscriptionConfig, partition: number, ask: Ask, drained: Drained[]): Promise<void> {
  for (let pulled = 0; pulled < MOST_PULLS; pulled++) {
    const reply = await ask(QUEUE, partition, (origin) => ({
      type: 'request',
      origin,
      request: { type: 'pull', subscription: name, maxMessages: 100, maxBytes: 1_000_000, ackDeadlineMs: 0, untilMs: 0 },
    }));
    const tags = take(reply, name, partition, drained);
    if (tags.length === 0) return;
    await ask(QUEUE, partition, (origin) => ({ type: 'request', origin, request: { type: 'acknowledge', subscription: name, tags } }));
  }
}

function take(reply: AnyReply | undefined, subscription: string, partition: number, drained: Drained[]): DeliveryTag[] {
  if (reply?.type !== 'response' || reply.response.type !== 'delivered') return [];
  const { messages, incarnation } = reply.response;
  return messages.map(({ position, generation, attempt, encoded }) => {
    drained.push({ subscription, partition, generation, position, payload: payloadOf(encoded) });
    return { generation, position, attempt, incarnation };
  });
}
