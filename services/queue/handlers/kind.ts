/** The queue, as a process takes it. */

import { QueueResource } from '../../kernel/queue/resource.ts';
import { DEFAULT_QUEUE_SETTINGS, type QueueTypes } from '../../kernel/queue/types.ts';
import { hostParticipant } from '../../runtime/participant/host.ts';
import { kindApi, type ParticipantKind } from '../../runtime/participant/kind.ts';
import { messagePort } from '../codec-messages.ts';
import { decodeOperations, fingerprintOf, misplacedOperation } from '../codec-operations.ts';
import { queueCodec } from '../codec.ts';
import { queueDefinition, queueHandlers } from './handlers.ts';
import { QueueMeter } from './meter.ts';

export function queueKind(): ParticipantKind<QueueTypes, never> {
  return {
    name: 'queue',
    label: 'queue',
    readOnlyTypes: new Set(),
    codec: queueCodec,
    decodeOperations: (operations) => decodeOperations(operations),
    fingerprintOf,
    misplaced: misplacedOperation,
    host: (options) => {
      const { service, retentionMs, metrics, clock } = options;
      const meter = metrics && new QueueMeter(metrics, service.name, clock);
      return hostParticipant<QueueTypes, never>({
        ...options,
        codec: queueCodec,
        misplaced: misplacedOperation,
        createResource: (partition, counts) => {
          const resource = new QueueResource({
            ...DEFAULT_QUEUE_SETTINGS,
            participant: service.name,
            partition,
            partitions: service.partitions,
            messages: messagePort,
            sessionRetentionMs: retentionMs,
            numbersAbove: options.numbersAbove,
            ...(meter && counts && { tally: meter.tally(counts) }),
          });
          if (counts !== undefined) meter?.watch(counts, resource);
          return resource;
        },
      });
    },
    api: (services) => kindApi('txmesh.queue.v1.QueueService', queueDefinition(), queueHandlers(services)),
  };
}
