/** MergeState: what other clusters, or tools, know of replicated counters. */

import type { MergeStateRequest, MergeStateResponse, ReplicatedState } from '../../gen/txmesh/counter/v1/counter.ts';
import { homeOf } from '../../kernel/counter/placement.ts';
import { LIMITS } from '../../kernel/counter/types.ts';
import { validate } from '../../runtime/participant/service.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import type { PartitionPort } from './partition-port.ts';
import { counterService, type CounterServices } from './service.ts';
import { mergeStateRequest } from './validate.ts';

/** Merges at each counter's home, which tells the other partitions and clusters what is new. */
export async function mergeState(services: CounterServices, port: PartitionPort, request: MergeStateRequest, context: CallContext): Promise<MergeStateResponse> {
  validate(mergeStateRequest, request);
  services.router.requireRoom();
  const { name: participant, partitions } = counterService(services, request.participant);
  const { states } = request;
  const places = new Map<number, number[]>();
  states.forEach(({ counter }, place) => {
    const partition = homeOf(counter, partitions);
    const known = places.get(partition);
    if (known === undefined) places.set(partition, [place]);
    else known.push(place);
  });
  const merged: ReplicatedState[] = [];
  await Promise.all(
    [...places].map(async ([partition, all]) => {
      for (let from = 0; from < all.length; from += LIMITS.states) {
        const part = all.slice(from, from + LIMITS.states);
        const ask = { $case: 'merge' as const, value: { states: part.map((place) => states[place]!), relay: true } };
        const answer = await port.ask(participant, partition, ask, 'merged', context);
        part.forEach((place, i) => (merged[place] = answer.states[i]!));
      }
    }),
  );
  return { states: merged };
}
