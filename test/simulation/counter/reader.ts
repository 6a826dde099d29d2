/** A client that reads counters and sets them, as the service's handlers do. */

import { SLOTS } from '../../../services/kernel/counter/placement.ts';
import type { CounterOperation, CounterView, Slot } from '../../../services/kernel/counter/types.ts';
import type { Actor } from '../work/actor.ts';
import { CALL_TIMEOUT_MS, READ_TIMEOUT_MS } from '../work/actor.ts';
import type { Transactions } from '../work/transactions.ts';
import { PARTITIONS } from '../world/cluster.ts';
import type { Answer, Build } from '../world/commands.ts';
import type { CounterRead, CounterSet } from './history.ts';
import { COUNTER, COUNTERS, countersOf, homeOfCounter, type PlannedCounter } from './plan.ts';

type Consistency = 'linearizable' | 'eventual';

/** Asks partitions for their parts of a counter. */
export type AskViews = (partitions: readonly number[]) => Promise<readonly (CounterView | undefined)[]>;

export class CounterReader {
  private readonly actor: Actor;
  private readonly transactions: Transactions;

  constructor(actor: Actor, transactions: Transactions) {
    this.actor = actor;
    this.transactions = transactions;
  }

  async read(): Promise<void> {
    const { random, profile } = this.actor;
    const counter = random.pick(COUNTERS.filter(({ kind }) => profile.counterKinds.includes(kind)));
    const readers = Array.from({ length: 1 + random.below(3) }, () => this.readOne(counter, random.chance(0.2) ? 'eventual' : 'linearizable'));
    if (random.chance(0.5)) await Promise.all(readers);
    else await readers[0];
  }

  /** Sets a register, half of the time only if it has what was read. */
  async set(): Promise<void> {
    const { actor } = this;
    const { random, history } = actor;
    const counter = random.pick(countersOf('register'));
    const expected = random.chance(0.5) ? (await this.readOne(counter, 'linearizable'))?.value : undefined;
    const value = BigInt(100 * (1 + random.below(50)));
    const set: CounterSet = { counter: counter.name, expected, value, startMs: actor.nowMs, endMs: Infinity, state: 'asked' };
    history.counters.sets.push(set);
    const operation: CounterOperation = { type: 'set', name: counter.name, expected, value };
    await this.transactions.runLocal(actor.client.newId(), { participant: COUNTER, partition: homeOfCounter(counter) }, [operation], (answer) =>
      this.settle(set, answer));
  }

  private settle(set: CounterSet, answer: Answer): boolean {
    const { actor } = this;
    const reason = answer.type === 'failure' ? answer.failure.reason : undefined;
    if (answer.type === 'done') set.state = 'set';
    else if (reason === 'PRECONDITION_FAILED') set.state = 'failed';
    else if (reason === 'LOCK_CONFLICT' || reason === 'LOCK_TIMEOUT') set.state = 'refused';
    else return reason === 'TRANSACTION_EXPIRED';
    set.endMs = Math.min(set.endMs, actor.nowMs);
    actor.count(`counters: ${set.state}`);
    return true;
  }

  private async readOne(counter: PlannedCounter, consistency: Consistency): Promise<CounterRead | undefined> {
    const { actor } = this;
    const startMs = actor.nowMs;
    const ask = async (partition: number): Promise<CounterView | undefined> =>
      viewIn(await actor.call(COUNTER, partition, viewOf(counter.name, consistency, READ_TIMEOUT_MS), CALL_TIMEOUT_MS));
    const value = await readValue(counter, (partitions) => Promise.all(partitions.map(ask)));
    if (value === undefined) return undefined;
    actor.count(`${consistency} reads of ${counter.kind} counters`);
    const read: CounterRead = { counter: counter.name, consistency, startMs, endMs: actor.nowMs, value };
    actor.history.counters.reads.push(read);
    return read;
  }
}

export function viewOf(name: string, consistency: Consistency, timeoutMs: number): Build {
  return (nowMs, origin) => ({ type: 'read', origin, query: { type: 'counters', names: [name] }, consistency, deadlineMs: nowMs + timeoutMs });
}

export function viewIn(answer: Answer): CounterView | undefined {
  if (answer.type !== 'read' || !('type' in answer.answer) || answer.answer.type !== 'counters') return undefined;
  return answer.answer.views[0];
}

/** The counter's value, from its parts at every partition where it has some; undefined: not to be had now. */
export async function readValue(counter: PlannedCounter, ask: AskViews): Promise<bigint | undefined> {
  if (counter.kind === 'strong' || counter.kind === 'queued') return (await ask([homeOfCounter(counter)]))[0]?.value;
  const views = await ask(Array.from({ length: PARTITIONS }, (_, partition) => partition));
  const known = views.filter((view) => view !== undefined);
  if (known.length < PARTITIONS) return undefined;
  return counter.kind === 'sharded' ? sumOfSlots(known.flatMap(({ slots }) => slots)) : sumOfComponents(known);
}

/**
 * Of each slot the highest generation counts; one that has left says under which generation it must be
 * elsewhere. Undefined: one was on its way.
 */
export function sumOfSlots(slots: readonly Slot[]): bigint | undefined {
  const newest = new Map<number, Slot>();
  for (const slot of slots) {
    const known = newest.get(slot.slot);
    if (known === undefined || slot.generation > known.generation || (slot.generation === known.generation && known.state === 'left')) {
      newest.set(slot.slot, slot);
    }
  }
  const found = [...newest.values()];
  if (found.length < SLOTS + 1 || found.some(({ state }) => state === 'left')) return undefined;
  return found.reduce((sum, { value }) => sum + value, 0n);
}

/** Of each component the largest counts: they only grow. */
export function sumOfComponents(views: readonly CounterView[]): bigint {
  const added = new Map<number, bigint>();
  const subtracted = new Map<number, bigint>();
  const raise = (sums: Map<number, bigint>, partition: number, value: bigint): void => {
    if (value > (sums.get(partition) ?? 0n)) sums.set(partition, value);
  };
  for (const { components } of views) {
    for (const { partition, added: up, subtracted: down } of components) {
      raise(added, partition, up);
      raise(subtracted, partition, down);
    }
  }
  const sum = (values: Iterable<bigint>): bigint => [...values].reduce((a, b) => a + b, 0n);
  return sum(added.values()) - sum(subtracted.values());
}
