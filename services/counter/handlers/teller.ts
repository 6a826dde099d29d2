/**
 * Tells one other place, a partition of the service or another cluster, what a partition has of
 * replicated counters: everything when its term begins, and then what is news. Merging makes
 * repetition and disorder harmless (invariant C7).
 */

import { CounterServiceService } from '../../gen/txmesh/counter/v1/counter.ts';
import { COUNTER_PREFIX, counterKey } from '../../kernel/counter/keys.ts';
import { type CounterRecord, LIMITS, type ReplicatedState } from '../../kernel/counter/types.ts';
import { delay } from '../../runtime/clock.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import { prefixRange } from '../../runtime/store/store.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { toState } from '../codec-partition.ts';
import type { Led, Task } from './background.ts';

/** A number of a partition, or host:port of another cluster. */
export type Listener = number | string;

/** News are collected for so long before they are told, milliseconds. */
const COLLECT_MS = 100;
/** Most names that are kept; beyond, everything is told. */
const MOST_NEWS = 10_000;
const SCAN = 256;

export class Teller implements Task {
  readonly name: string;
  private readonly led: Led;
  private readonly listener: Listener;
  /** Names of counters; undefined: all. */
  private news: Set<string> | undefined = undefined;

  constructor(led: Led, listener: Listener) {
    this.led = led;
    this.listener = listener;
    this.name = `telling ${typeof listener === 'number' ? `partition ${listener}` : listener} of replicated counters`;
  }

  get isDue(): boolean {
    return this.news?.size !== 0;
  }

  hear(names: readonly string[]): void {
    if (this.news === undefined) return;
    for (const name of names) this.news.add(name);
    if (this.news.size > MOST_NEWS) this.news = undefined;
  }

  async run(context: () => CallContext): Promise<void> {
    await delay(this.led.services.clock, COLLECT_MS);
    const { news } = this;
    this.news = new Set();
    try {
      if (news === undefined) for await (const names of this.stored()) await this.tell(names, context);
      else await this.tell([...news], context);
    } catch (error) {
      this.news = undefined;
      throw error;
    }
  }

  /** Names of all replicated counters, a part at a time. */
  private async *stored(): AsyncGenerator<string[]> {
    const { services, service, partition } = this.led;
    const records = partitionPrefix(service.name, partition);
    const range = prefixRange(records + counterKey(''));
    let { from } = range;
    for (;;) {
      const { entries, more } = await services.store.scan({ from, to: range.to }, { limit: SCAN });
      const names: string[] = [];
      for (const { key, value } of entries) {
        const local = key.slice(records.length);
        if ((services.codec.decode(local, value) as CounterRecord).kind === 'replicated') names.push(local.slice(COUNTER_PREFIX.length));
      }
      yield names;
      const last = entries.at(-1);
      if (last === undefined || !more) return;
      from = `${last.key}\0`;
    }
  }

  private async tell(names: readonly string[], context: () => CallContext): Promise<void> {
    for (let from = 0; from < names.length; from += LIMITS.states) {
      const states = await this.states(names.slice(from, from + LIMITS.states), context());
      if (states.length > 0) await this.send(states, context());
    }
  }

  private async states(names: readonly string[], context: CallContext): Promise<ReplicatedState[]> {
    const { port, term } = this.led;
    const answer = await port.read(term, { type: 'counters', names }, false, context);
    if (answer.type !== 'counters') throw new Error(`a partition answered ${answer.type} instead of counters`);
    return answer.views.flatMap((view) => (view?.kind === 'replicated' ? [{ name: view.name, components: view.components }] : []));
  }

  private async send(known: readonly ReplicatedState[], context: CallContext): Promise<void> {
    const { services, port, service, partition } = this.led;
    const { listener } = this;
    const states = known.map(toState);
    if (typeof listener === 'number') {
      await port.ask(service.name, listener, { $case: 'merge', value: { states, relay: false } }, 'merged', context);
      return;
    }
    const { signal, deadlineMs } = context;
    const request = { participant: service.name, states };
    const answer = await services.router.channels.unary(listener, CounterServiceService.mergeState, request, { signal, deadlineMs });
    // What the other cluster knows, where it has the counter: new here perhaps, and then told on.
    const theirs = answer.states.filter(({ components }) => components.length > 0).slice(0, LIMITS.states);
    if (theirs.length > 0) await port.ask(service.name, partition, { $case: 'merge', value: { states: theirs, relay: true } }, 'merged', context);
  }
}
