/** The counter service, as a process takes it. */

import { CounterResource } from '../../kernel/counter/resource.ts';
import { type CounterEvent, type CounterTypes, DEFAULT_COUNTER_SETTINGS } from '../../kernel/counter/types.ts';
import { hostParticipant } from '../../runtime/participant/host.ts';
import { kindApi, type ParticipantKind } from '../../runtime/participant/kind.ts';
import { decodeOperations, fingerprintOf, misplacedOperation, READ_ONLY_TYPES } from '../codec-operations.ts';
import { counterCodec } from '../codec.ts';
import { counterApi, CounterPartitionServiceService, CounterServiceService } from './handlers.ts';
import { CounterMeter } from './meter.ts';

export interface CounterOptions {
  /** host:port of other clusters whose replicated counters are told of ours. */
  readonly peers: readonly string[];
}

/**
 * Under which name the cluster counts at a replicated counter. What a cluster counted after its backup may
 * have been told to others: restored, it counts under another name (invariants C7, P10).
 */
function originOf({ clusterId, numbersAbove }: { readonly clusterId: string; readonly numbersAbove: number }): string {
  return numbersAbove === 0 ? clusterId : `${clusterId}/${numbersAbove}`;
}

export function counterKind({ peers }: CounterOptions): ParticipantKind<CounterTypes, CounterEvent> {
  return {
    name: 'counter',
    label: 'counter service',
    readOnlyTypes: READ_ONLY_TYPES,
    codec: counterCodec,
    decodeOperations: (operations) => decodeOperations(operations),
    fingerprintOf,
    misplaced: misplacedOperation,
    host: (options) => {
      const { service, retentionMs, metrics, clock } = options;
      const clusterId = originOf(options);
      const meter = metrics && new CounterMeter(metrics, service.name, clock);
      return hostParticipant<CounterTypes, CounterEvent>({
        ...options,
        codec: counterCodec,
        misplaced: misplacedOperation,
        createResource: (partition, counts) => {
          const resource = new CounterResource({
            ...DEFAULT_COUNTER_SETTINGS,
            participant: service.name,
            partition,
            partitions: service.partitions,
            clusterId,
            retentionMs,
            ...(meter && counts && { tally: meter.tally(counts) }),
          });
          if (counts !== undefined) meter?.watch(counts, resource);
          return resource;
        },
      });
    },
    api: (services) => {
      const { spans, log } = services;
      const api = counterApi(services, { peers, spans, log });
      return {
        ...kindApi('txmesh.counter.v1.CounterService', CounterServiceService, api.counters, () => api.close()),
        internal: [kindApi('txmesh.counter.v1.CounterPartitionService', CounterPartitionServiceService, api.partitions)],
      };
    },
  };
}
