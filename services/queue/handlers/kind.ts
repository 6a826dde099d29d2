/** The queue, as a process takes it. */

import { QueueResource } from '../../kernel/queue/resource.ts';
import { DEFAULT_QUEUE_SETTINGS, type QueueTypes } from '../../kernel/queue/types.ts';
import { hostParticipant } from '../../runtime/participant/host.ts';
import { kindApi, type ParticipantKind } from '../../runtime/participant/kind.ts';
import { messagePort } from '../codec-messages.ts';
import { decodeOperations, fingerprintOf, misplacedOperation } from '../codec-operations.ts';
import { queueCodec } from '../codec.ts';
import { queueDefinition, queueHandlers } from './handlers.ts';

export function queueKind(): ParticipantKind<QueueTypes, never> {
  return {
    name: 'queue',
    label: 'queue',
    readOnlyTypes: new Set(),
    codec: queueCodec,
    decodeOperations: (operations) => decodeOperations(operations),
    fingerprintOf,
    misplaced: misplacedOperation,
    host: (options) =>
      hostParticipant<QueueTypes, never>({
        ...options,
        codec: queueCodec,
        misplaced: misplacedOperation,
        createResource: (partition) =>
          new QueueResource({
            ...DEFAULT_QUEUE_SETTINGS,
            participant: options.service.name,
            partition,
            partitions: options.service.partitions,
            messages: messagePort,
            sessionRetentionMs: options.retentionMs,
            numbersAbove: options.numbersAbove,
          }),
      }),
    api: (services) => kindApi('txmesh.queue.v1.QueueService', queueDefinition(), queueHandlers(services)),
  };
}
