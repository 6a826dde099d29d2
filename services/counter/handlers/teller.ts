/**
 * Tells one other place, a partition of the service or another cluster, what a partition has of
 * replicated counters: everything when its term begins, and then what is news. Merging makes
 * repetition and disorder harmless (invariant C7).
 */

import { CounterServiceService } from '../../gen/txmesh/counter/v1/counter.ts';
import { REPLICA_PREFIX } from '../../kernel/counter/keys.ts';
import { compareComponents, mergeComponents } from '../../kernel/counter/replicated.ts';
import { LIMITS, type ReplicatedState } from '../../kernel/counter/types.ts';
import { delay } from '../../runtime/clock.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import { prefixRange } from '../../runtime/store/store.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { validate } from '../../runtime/participant/service.ts';
import { list } from '../../runtime/router/rules.ts';
import { toState } from '../codec-partition.ts';
import type { Led, Task } from './background.ts';
import { replicatedState } from './validate.ts';

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
  /** Since when there are news, and since when there were those that are being told; wall time. */
  private dueSinceMs: number | undefined;
  private tellingSinceMs: number | undefined;

  constructor(led: Led, listener: Listener) {
    this.led = led;
    this.listener = listener;
    this.dueSinceMs = led.services.clock.nowMs();
    this.name = `telling ${typeof listener === 'number' ? `partition ${listener}` : listener} of replicated counters`;
  }

  get isDue(): boolean {
    return this.news?.size !== 0;
  }

  /** Since when something is not told; undefined: everything is. */
  get behindSinceMs(): number | undefined {
    return this.tellingSinceMs ?? this.dueSinceMs;
  }

  hear(names: readonly string[]): void {
    this.dueSinceMs ??= this.led.services.clock.nowMs();
    if (this.news === undefined) return;
    for (const name of names) this.news.add(name);
    if (this.news.size > MOST_NEWS) this.news = undefined;
  }

  async run(context: () => CallContext): Promise<void> {
    await delay(this.led.services.clock, COLLECT_MS);
    const { news } = this;
    this.news = new Set();
    this.tellingSinceMs = this.dueSinceMs;
    this.dueSinceMs = undefined;
    try {
      if (news === undefined) for await (const names of this.stored()) await this.tell(names, context);
      else await this.tell([...news], context);
    } catch (error) {
      this.news = undefined;
      this.dueSinceMs = this.tellingSinceMs ?? this.dueSinceMs;
      throw error;
    } finally {
      this.tellingSinceMs = undefined;
    }
  }

  /** Names of all replicated counters, a part at a time. */
  private async *stored(): AsyncGenerator<string[]> {
    const { services, service, partition } = this.led;
    const records = partitionPrefix(service.name, partition);
    const prefix = records + REPLICA_PREFIX;
    const range = prefixRange(prefix);
    let { from } = range;
    for (;;) {
      const { entries, more } = await services.store.scan({ from, to: range.to }, { limit: SCAN });
      yield entries.map(({ key }) => key.slice(prefix.length));
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
    const near = typeof listener === 'number';
    const { signal, deadlineMs } = context;
    const answer = near
      ? await port.ask(service.name, listener, { $case: 'merge', value: { states, relay: false } }, 'merged', context)
      : await services.router.channels.unary(listener, CounterServiceService.mergeState, { participant: service.name, states }, { signal, deadlineMs });
    // Another cluster is not believed to keep the rules.
    validate(list(0, LIMITS.states, replicatedState), answer.states);
    const news: typeof states = [];
    known.forEach(({ name, components }, i) => {
      const theirs = answer.states[i]?.components ?? [];
      // Where the creation is still under way, it is told again. Another cluster need not have the counter.
      if (near && theirs.length < components.length) this.hear([name]);
      if (mergeComponents(components, theirs.toSorted(compareComponents)) !== components) news.push({ counter: name, components: theirs });
    });
    if (news.length > 0) await port.ask(service.name, partition, { $case: 'merge', value: { states: news, relay: !near } }, 'merged', context);
  }
}
