/** What is to be seen when the faults have ended: that everything comes to an end, and the last word of every key. */

import type { Service } from '../../../services/runtime/cluster/view.ts';
import { nameOf, type History } from '../history.ts';
import { readOf, seenIn } from '../keys/operations.ts';
import type { Places } from '../keys/places.ts';
import type { AnyCommand, AnyReply } from './commands.ts';

/** Makes a command with whom to answer. */
export type Question = (origin: object) => AnyCommand;

/** Asks the leader of a partition, without a network in between. */
export type Ask = (service: string, partition: number, question: Question) => Promise<AnyReply | undefined>;

/** What is still not done: branches in doubt, transactions not finished, partitions without a leader. */
export async function findUnrest(services: readonly Service[], ask: Ask): Promise<string[]> {
  const unrest: string[] = [];
  for (const { name, kind, partitions } of services) {
    for (let partition = 0; partition < partitions; partition++) {
      const where = `${name}/${partition}`;
      const reply = await ask(name, partition, (origin) =>
        kind === 'coordinator' ? { type: 'list-active', origin, afterId: '', limit: 10 } : { type: 'listPrepared', origin, limit: 10 });
      if (reply?.type === 'transactions') {
        for (const { transactionId, state } of reply.transactions) unrest.push(`${where}: transaction ${transactionId} is ${state} for ever`);
      } else if (reply?.type === 'prepared') {
        for (const { branch } of reply.branches) unrest.push(`${where}: the branch of ${branch.transactionId} is in doubt for ever`);
      } else unrest.push(`${where}: nobody answers for ever`);
    }
  }
  return unrest;
}

/** The last word of every key, into the history. Returns the keys that can't be read. */
export async function readEverything(places: Places, ask: Ask, history: History, nowMs: () => number): Promise<string[]> {
  const unread: string[] = [];
  for (const place of places.all) {
    const startMs = nowMs();
    const question: Question = (origin) => readOf(place, 'linearizable', Infinity)(0, origin);
    const seen = seenIn((await ask(place.participant, place.partition, question)) ?? { type: 'unanswered' });
    if (seen === undefined) unread.push(`${nameOf(place)}: can't be read when everything is at rest`);
    else history.reads.push({ name: nameOf(place), consistency: 'linearizable', startMs, endMs: nowMs(), version: seen.written, value: seen.value });
  }
  return unread;
}
