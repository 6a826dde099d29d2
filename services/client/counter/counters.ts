/** The counters of a counter service, many at a time. */

import { CounterServiceService as methods } from '../../gen/txmesh/counter/v1/counter.ts';
import { invalidRequest, TxmeshError } from '../errors.ts';
import type { CallOptions } from '../options.ts';
import { pages } from '../paging.ts';
import type { Rpc } from '../rpc.ts';
import { errorFromStatus } from '../status-codec.ts';
import { duration } from '../times.ts';
import type { Adder } from './adder.ts';
import { Counter, type CounterReadOptions } from './counter.ts';
import { counterFrom, valueFrom, wireConsistency, type CounterInfo, type CounterValue } from './counter-codec.ts';
import type { Integer } from './integer.ts';
import { watchCounters, type CounterEvent } from './watch-counters.ts';

export interface ListCountersOptions extends CallOptions {
  /** Only counters whose name begins with this. */
  readonly prefix?: string;
  /** How many are fetched at a time, 1 to 1000. Default 100. */
  readonly pageSize?: number;
}

/** What became of one add of many. */
export type AddOutcome =
  | { readonly counter: string; readonly error?: undefined; readonly value: bigint | undefined }
  | { readonly counter: string; readonly error: TxmeshError };

/** What was found of one counter of many. */
export type GetOutcome =
  | { readonly counter: string; readonly error?: undefined; readonly value: CounterValue }
  | { readonly counter: string; readonly error: TxmeshError };

/** A counter service, as `mesh.counters()` makes it. */
export class Counters {
  private readonly rpc: Rpc;
  private readonly adder: Adder;
  private readonly participant: string;

  constructor(rpc: Rpc, adder: Adder, participant: string) {
    this.rpc = rpc;
    this.adder = adder;
    this.participant = participant;
  }

  /** By name, in the order of the UTF-8 bytes. */
  async *list({ prefix = '', pageSize = 0, ...options }: ListCountersOptions = {}): AsyncGenerator<CounterInfo, void, undefined> {
    const { rpc, participant } = this;
    for await (const { counters } of pages((pageToken) => rpc.call(methods.listCounters, { participant, prefix, pageSize, pageToken }, options)))
      for (const counter of counters) yield counterFrom(counter);
  }

  /**
   * Adds to many counters, each by itself: some may go through and others not (all or nothing is what
   * a transaction does).
   */
  async add(adds: readonly { readonly counter: string; readonly amount: Integer }[], options: CallOptions = {}): Promise<AddOutcome[]> {
    return Promise.all(
      adds.map(async ({ counter, amount }): Promise<AddOutcome> => {
        try {
          return { counter, value: await new Counter(this.rpc, this.adder, this.participant, counter).add(amount, options) };
        } catch (error) {
          if (error instanceof TxmeshError) return { counter, error };
          throw error;
        }
      }),
    );
  }

  /** The values of 1 to 1000 counters, in the order of their names here. */
  async get(counters: readonly string[], { consistency, maxAgeMs, ...options }: CounterReadOptions = {}): Promise<GetOutcome[]> {
    if (counters.length === 0) throw invalidRequest('at least one counter is needed', 'counters');
    const request = {
      participant: this.participant,
      counters: [...counters],
      consistency: wireConsistency(consistency),
      maxAge: duration(maxAgeMs, 'maxAgeMs'),
    };
    const { results } = await this.rpc.call(methods.batchGet, request, options);
    return results.map(({ result }, i): GetOutcome => {
      const counter = counters[i]!;
      return result?.$case === 'value' ? { counter, value: valueFrom(result.value) } : { counter, error: errorFromStatus(result?.value) };
    });
  }

  /**
   * The values of 1 to 100 counters now, and again when they have changed, of each at most every
   * 100 ms. Goes on by itself after a lost connection.
   * @throws Cancelled when the signal fires
   */
  watch(counters: readonly string[], { signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<CounterEvent, void, undefined> {
    return watchCounters(this.rpc, this.participant, counters, signal);
  }
}
