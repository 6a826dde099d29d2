import { CounterServiceService as methods } from '../../gen/txmesh/counter/v1/counter.ts';
import type { Rpc } from '../rpc.ts';
import { watch } from '../watch.ts';
import { valueFrom, type CounterValue } from './counter-codec.ts';

/** A counter that has changed. */
export interface CounterEvent {
  readonly counter: string;
  /** Its newest value. Undefined: it does not exist. */
  readonly value: CounterValue | undefined;
}

/** The values of counters now, and again when they have changed; goes on after a lost connection. */
export async function* watchCounters(
  rpc: Rpc,
  participant: string,
  counters: readonly string[],
  signal: AbortSignal | undefined,
): AsyncGenerator<CounterEvent, void, undefined> {
  const responses = watch(rpc, {
    what: `the watch of ${counters.join(', ')}`,
    signal,
    address: () => rpc.map.route(participant, counters[0] ?? ''),
    open: (address) => rpc.stream(methods.watch, { participant, counters: [...counters] }, address),
  });
  for await (const response of responses)
    for (const { counter, value } of response.counters) yield { counter, value: value && valueFrom(value) };
}
