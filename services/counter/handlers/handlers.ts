/** CounterService and CounterPartitionService, put together. */

import { CounterServiceService } from '../../gen/txmesh/counter/v1/counter.ts';
import { CounterPartitionServiceService } from '../../gen/txmesh/counter/v1/counter_partition.ts';
import type { Spans } from '../../runtime/telemetry/spans.ts';
import type { Handlers } from '../../runtime/transport/service.ts';
import { AddHandlers } from './adds.ts';
import { type AddParts, AddSession } from './add-stream.ts';
import { AdministrationHandlers } from './administration.ts';
import { Dispatcher } from './dispatch.ts';
import { Leading } from './leading.ts';
import { listCounters } from './list.ts';
import { mergeState } from './merge.ts';
import { PartitionPort } from './partition-port.ts';
import { ReadHandlers } from './reads.ts';
import type { CounterServices } from './service.ts';
import { Values } from './values.ts';
import { watchCounters, watchPartition } from './watch.ts';

export { CounterPartitionServiceService, CounterServiceService };

export interface CounterApiOptions {
  /** host:port of other clusters whose replicated counters are told of ours. */
  readonly peers: readonly string[];
  readonly spans: Pick<Spans, 'serve'>;
  log(message: string, fields: Record<string, unknown>): void;
}

export interface CounterApi {
  readonly counters: Handlers<typeof CounterServiceService>;
  /** Between replicas. */
  readonly partitions: Handlers<typeof CounterPartitionServiceService>;
  close(): void;
}

export function counterApi(services: CounterServices, { peers, spans, log }: CounterApiOptions): CounterApi {
  const port = new PartitionPort(services);
  const dispatcher = new Dispatcher(services, port);
  const values = new Values(services, port);
  const adds = new AddHandlers(services, dispatcher);
  const requests = services.metrics?.requests.stream(CounterServiceService.addStream.path);
  const streams: AddParts = { services, dispatcher, spans, requests };
  const reads = new ReadHandlers(services, port, values);
  const administration = new AdministrationHandlers(services, reads, values);
  const leading = new Leading({ services, port, peers, log });
  return {
    counters: {
      createCounter: (request, context) => administration.createCounter(request, context),
      getCounter: (request, context) => reads.getCounter(request, context),
      updateCounter: (request, context) => administration.updateCounter(request, context),
      deleteCounter: (request, context) => administration.deleteCounter(request, context),
      listCounters: (request, context) => listCounters(services, port, request, context),
      add: (request, context) => adds.add(request, context),
      batchAdd: (request, context) => adds.batchAdd(request, context),
      addStream: (calls, context) => new AddSession(streams, calls, context).run(),
      get: (request, context) => reads.get(request, context),
      batchGet: (request, context) => reads.batchGet(request, context),
      compareAndSet: (request, context) => administration.compareAndSet(request, context),
      reset: (request, context) => administration.reset(request, context),
      watch: (request, context) => watchCounters(services, values, request, context),
      getRates: (request, context) => reads.getRates(request, context),
      mergeState: (request, context) => mergeState(services, port, request, context),
    },
    partitions: {
      askPartition: (request, context) => port.serve(request, context),
      watchPartition: (request, context) => watchPartition(services, request, context),
    },
    close: () => leading.close(),
  };
}
