/**
 * A client that adds, with tokens of its session: an add whose result it does not know it sends again
 * under the same token, now or later, until it knows.
 */

import { partitionOfReplica, partitionOfSlot, slotOf } from '../../../services/kernel/counter/placement.ts';
import type { AddOutcome, CounterRequest } from '../../../services/kernel/counter/types.ts';
import { CALL_TIMEOUT_MS, type Actor } from '../work/actor.ts';
import { PARTITIONS } from '../world/cluster.ts';
import type { CounterAdd } from './history.ts';
import { COUNTER, countersOf, homeOfCounter, type PlannedCounter } from './plan.ts';

/** An add whose result is not known. */
interface PendingAdd {
  readonly add: CounterAdd;
  readonly sequence: number;
  /** Where it is believed to belong. */
  partition: number;
}

/** Adds of one session before another one is begun. */
const SESSION_ADDS = 25;
const TRIES = 4;
const SETTLE_TRIES = 40;

export class Adder {
  private readonly actor: Actor;
  private session: string;
  private sequence = 0;
  private pending: PendingAdd[] = [];

  constructor(actor: Actor) {
    this.actor = actor;
    this.session = actor.client.newId();
  }

  /** Adds to one or several counters, and tries again what is not known from before. */
  async add(): Promise<void> {
    const { random, profile } = this.actor;
    this.renewSession();
    const counters = random.sample(random.chance(0.75) ? countersOf('ledger', profile.counterKinds) : this.others, 1 + random.below(3));
    for (const counter of counters) this.ask(counter);
    await this.actor.retrying(TRIES, () => this.flush());
  }

  /** Goes on until everything is known; the faults have ended. */
  async settle(): Promise<void> {
    await this.actor.retrying(SETTLE_TRIES, () => this.flush());
  }

  private get others(): readonly PlannedCounter[] {
    return [...countersOf('bounded'), ...countersOf('register')];
  }

  private renewSession(): void {
    if (this.sequence < SESSION_ADDS || this.pending.length > 0) return;
    this.session = this.actor.client.newId();
    this.sequence = 0;
  }

  private ask(counter: PlannedCounter): void {
    const { history, random, nowMs } = this.actor;
    const { counters } = history;
    const small = BigInt(1 + random.below(4)) * (random.chance(0.5) ? 1n : -1n);
    const amount = counter.role === 'ledger' ? counters.nextAmount(counter.name) : small;
    if (amount === undefined) return;
    const sequence = ++this.sequence;
    this.pending.push({ add: counters.add(counter.name, amount, nowMs), sequence, partition: this.partitionOf(counter, sequence) });
  }

  private partitionOf(counter: PlannedCounter, sequence: number): number {
    switch (counter.kind) {
      case 'strong':
      case 'queued':
        return homeOfCounter(counter);
      case 'replicated':
        return partitionOfReplica(this.session, PARTITIONS);
      case 'sharded':
        return partitionOfSlot(counter.name, slotOf(this.session, sequence), counter.shards, PARTITIONS);
    }
  }

  /** Sends what is pending, partition by partition. Whether everything is known then. */
  private async flush(): Promise<boolean> {
    const partitions = new Set(this.pending.map(({ partition }) => partition));
    await Promise.all([...partitions].map((partition) => this.send(partition)));
    return this.pending.length === 0;
  }

  private async send(partition: number): Promise<void> {
    const { actor, session } = this;
    const sent = this.pending.filter((one) => one.partition === partition);
    const names = [...new Set(sent.map(({ add }) => add.counter))];
    const request: CounterRequest = {
      type: 'add',
      session,
      settledBelow: Math.min(...this.pending.map(({ sequence }) => sequence)),
      names,
      adds: sent.map(({ add, sequence }) => ({ counter: names.indexOf(add.counter), amount: add.amount, sequence })),
    };
    const answer = await actor.call(COUNTER, partition, (_, origin) => ({ type: 'request', origin, request }), CALL_TIMEOUT_MS);
    if (answer.type === 'failure') actor.count(`failure ${answer.failure.reason}`);
    if (answer.type !== 'response' || answer.response.type !== 'added') return;
    for (const [index, outcome] of answer.response.outcomes.entries()) this.take(sent[index]!, outcome);
    this.pending = this.pending.filter(({ add }) => add.state === 'asked');
  }

  private take(pending: PendingAdd, outcome: AddOutcome): void {
    const { actor } = this;
    const { add, sequence } = pending;
    // A late answer to an earlier try tells nothing new.
    if (add.state !== 'asked') return;
    const what = `add ${this.session}/${sequence} of ${add.amount} to ${add.counter}`;
    switch (outcome.type) {
      case 'elsewhere':
        actor.count('adds sent elsewhere');
        pending.partition = 1 - pending.partition;
        return;
      case 'counted':
        add.state = 'counted';
        add.value = outcome.value;
        break;
      case 'failed': {
        const { reason, message } = outcome.failure;
        actor.count(`failure ${reason}`);
        if (reason === 'COUNTER_NOT_FOUND' || reason === 'TOKEN_REUSED') throw new Error(`${what}: ${message}`);
        if (reason === 'SESSION_EXPIRED' || reason === 'SESSION_IN_FUTURE' || reason === 'TOKEN_SETTLED') add.state = 'lost';
        else if (reason === 'BOUND_EXCEEDED' || reason === 'COUNTER_OVERFLOW') add.state = 'refused';
        else return;
      }
    }
    add.endMs = actor.nowMs;
    actor.count(`adds ${add.state}`);
    actor.say(`${what} was ${add.state}`);
  }
}
