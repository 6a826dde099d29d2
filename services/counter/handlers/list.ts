/** ListCounters: every partition is asked for the next names, and the answers are merged in the order of their UTF-8 bytes. */

import type { Counter, ListCountersRequest, ListCountersResponse } from '../../gen/txmesh/counter/v1/counter.ts';
import { validate } from '../../runtime/participant/service.ts';
import { decodePageToken, encodePageToken, pageToken } from '../../runtime/router/page-token.ts';
import { DEFAULT_PAGE_SIZE } from '../../runtime/router/rules.ts';
import { compareKeys } from '../../runtime/store/keys.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { fromView } from '../codec-partition.ts';
import type { PartitionPort } from './partition-port.ts';
import { toCounter } from './reads.ts';
import { counterService, type CounterServices } from './service.ts';
import { listCountersRequest } from './validate.ts';

/** The partition of a token that goes on in all of them. */
const ALL = -1;

export async function listCounters(
  services: CounterServices,
  port: PartitionPort,
  request: ListCountersRequest,
  context: CallContext,
): Promise<ListCountersResponse> {
  const question = `counters ${request.participant} ${request.prefix}`;
  validate(listCountersRequest(pageToken(question)), request);
  const { prefix } = request;
  const { name: participant, partitions } = counterService(services, request.participant);
  const limit = request.pageSize || DEFAULT_PAGE_SIZE;
  const { after } = decodePageToken(question, request.pageToken) ?? { after: '' };
  const parts = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      const ask = { $case: 'list' as const, value: { prefix, after, limit } };
      const { views, more } = await port.ask(participant, partition, ask, 'listed', context);
      return { counters: views.map((view) => toCounter(fromView(view)!)), more };
    }),
  );
  const counters = parts.flatMap((part) => part.counters).sort((a, b) => compareKeys(a.counter, b.counter));
  const page: Counter[] = counters.slice(0, limit);
  const more = counters.length > limit || parts.some((part) => part.more);
  return { counters: page, nextPageToken: more ? encodePageToken(question, { partition: ALL, after: page.at(-1)?.counter ?? after }) : '' };
}
