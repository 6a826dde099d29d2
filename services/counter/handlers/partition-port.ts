/** One question or task for a partition, wherever it is led. */

import {
  type AskPartitionRequest,
  type AskPartitionResponse,
  CounterPartitionServiceService,
} from '../../gen/txmesh/counter/v1/counter_partition.ts';
import { counterKey } from '../../kernel/counter/keys.ts';
import { homeOf } from '../../kernel/counter/placement.ts';
import type { CounterQuery, CounterRecord, CounterRequest, CounterResponse, CounterView } from '../../kernel/counter/types.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { ask, validate, waitUntilMs } from '../../runtime/participant/service.ts';
import { prefixRange } from '../../runtime/store/store.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { answerOf, type Answers, fromAdds, fromMerge, fromSlot, isLinearizable, toOutcome, toRate, toSlot, toState, toView } from '../codec-partition.ts';
import { counterService, type CounterServices, type CounterTerm } from './service.ts';
import { askPartitionRequest } from './validate-partition.ts';

type Ask = NonNullable<AskPartitionRequest['ask']>;
type Answer = NonNullable<AskPartitionResponse['answer']>;

/** Asks that can be repeated whatever became of them, because they change nothing. */
const READS: ReadonlySet<Ask['$case']> = new Set(['read', 'rates', 'list']);
const LARGEST_SCAN = 256;

export class PartitionPort {
  private readonly services: CounterServices;

  constructor(services: CounterServices) {
    this.services = services;
  }

  /** @throws FailureError */
  async ask<Case extends keyof Answers>(participant: string, partition: number, ask: Ask, expected: Case, context: CallContext): Promise<Answers[Case]> {
    const request: AskPartitionRequest = { participant, partition, ask };
    const method = CounterPartitionServiceService.askPartition;
    const route = { service: participant, partition, method, request, context, changes: !READS.has(ask.$case) };
    const response = await this.services.router.unary(route, (term) => this.here(term, participant, partition, ask, context));
    return answerOf(response, expected);
  }

  /** What another replica asks of a partition that is led here. */
  async serve(request: AskPartitionRequest, context: CallContext): Promise<AskPartitionResponse> {
    validate(askPartitionRequest, request);
    const { participant, partition, ask } = request;
    const { partitions } = counterService(this.services, participant);
    if (partition >= partitions || ask === undefined) throw new FailureError(malformed(participant, partitions));
    const route = { service: participant, partition, method: CounterPartitionServiceService.askPartition, request, context, changes: !READS.has(ask.$case) };
    return this.services.router.unary(route, (term) => this.here(term, participant, partition, ask, context));
  }

  private async here(term: CounterTerm, participant: string, partition: number, ask: Ask, context: CallContext): Promise<AskPartitionResponse> {
    return { answer: await this.answer(term, participant, partition, ask, context) };
  }

  private async answer(term: CounterTerm, participant: string, partition: number, ask: Ask, context: CallContext): Promise<Answer> {
    switch (ask.$case) {
      case 'adds': {
        const { outcomes } = await this.request(term, fromAdds(ask.value), 'added', context);
        return { $case: 'added', value: { outcomes: outcomes.map(toOutcome) } };
      }
      case 'read': {
        const { names, consistency } = ask.value;
        const answer = await this.read(term, { type: 'counters', names }, isLinearizable(consistency), context);
        if (answer.type !== 'counters') throw new Error(`a partition answered ${answer.type} instead of counters`);
        return { $case: 'views', value: { views: names.map((name, i) => toView(name, answer.views[i])), more: false } };
      }
      case 'rates': {
        const answer = await this.read(term, { type: 'rates', name: ask.value }, false, context);
        const windows = answer.type === 'rates' ? answer.windows : undefined;
        return { $case: 'rates', value: { known: windows !== undefined, rates: (windows ?? []).map(toRate) } };
      }
      case 'freeze': {
        const { slot } = await this.request(term, { type: 'freeze', ...ask.value }, 'frozen', context);
        return { $case: 'frozen', value: { slot: slot && toSlot(slot) } };
      }
      case 'install': {
        if (ask.value.name === undefined) throw new FailureError(malformed(participant, 0));
        const { known } = await this.request(term, { type: 'install', slot: fromSlot(ask.value) }, 'installed', context);
        return { $case: 'installed', value: known };
      }
      case 'merge': {
        const { states } = await this.request(term, { type: 'merge', ...fromMerge(ask.value) }, 'merged', context);
        return { $case: 'merged', value: { states: states.map((state, i) => (state === undefined ? { counter: ask.value.states[i]!.counter, components: [] } : toState(state))) } };
      }
      case 'list':
        return { $case: 'listed', value: await this.list(participant, partition, ask.value) };
    }
  }

  /** A request to a term in this process. @throws FailureError */
  async request<Type extends CounterResponse['type']>(
    term: CounterTerm,
    request: CounterRequest,
    type: Type,
    context: CallContext,
  ): Promise<Extract<CounterResponse, { readonly type: Type }>> {
    const { response } = await ask(this.services, term, 'response', context, true, (origin) => ({ type: 'request', origin, request }));
    if (response.type !== type) throw new Error(`a partition answered ${response.type} instead of ${type}`);
    return response as Extract<CounterResponse, { readonly type: Type }>;
  }

  /** A read of a term in this process. @throws FailureError */
  async read(term: CounterTerm, query: CounterQuery, linearizable: boolean, context: CallContext) {
    const { answer } = await ask(this.services, term, 'read', context, false, (origin) => ({
      type: 'read',
      origin,
      query,
      consistency: linearizable ? 'linearizable' : 'eventual',
      deadlineMs: waitUntilMs(this.services, context),
    }));
    return answer;
  }

  /** Counters whose home this partition is, from the store, which has what was committed before the call. */
  private async list(participant: string, partition: number, { prefix, after, limit }: { prefix: string; after: string; limit: number }) {
    const { store, codec } = this.services;
    const { partitions } = counterService(this.services, participant);
    const records = partitionPrefix(participant, partition);
    const base = records + counterKey('');
    const { to } = prefixRange(base);
    let from = after < prefix ? base + prefix : `${base}${after}\0`;
    const views: ReturnType<typeof toView>[] = [];
    for (;;) {
      const { entries, more } = await store.scan({ from, to }, { limit: Math.min(limit + 1, LARGEST_SCAN) });
      for (const { key, value } of entries) {
        const name = key.slice(base.length);
        if (!name.startsWith(prefix)) return { views, more: false };
        if (homeOf(name, partitions) !== partition) continue;
        if (views.length === limit) return { views, more: true };
        views.push(toView(name, viewOf(name, codec.decode(key.slice(records.length), value) as CounterRecord)));
      }
      const last = entries.at(-1);
      if (last === undefined || !more) return { views, more: false };
      from = `${last.key}\0`;
    }
  }
}

function viewOf(name: string, record: CounterRecord): CounterView {
  const { kind, id, createMs, bounds, value, shards, previousShards, slots, components } = record;
  return { name, kind, id, createMs, bounds, value, shards, previousShards, slots, components, pendingAdds: 0, pendingSinceMs: 0 };
}

function malformed(participant: string, partitions: number) {
  const description = `must be below ${partitions}, the number of partitions of ${participant}, and there must be something to ask`;
  return { reason: 'INVALID_FIELD' as const, message: `partition ${description}`, violations: [{ field: 'partition', description }] };
}
