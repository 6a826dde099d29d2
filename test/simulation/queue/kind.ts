/** The queue service's kernel as the services build it, with settings that suit a small world. */

import { ParticipantKernel } from '../../../services/kernel/participant/kernel.ts';
import { QueueResource } from '../../../services/kernel/queue/resource.ts';
import type { QueueTypes } from '../../../services/kernel/queue/types.ts';
import { decodeOperations } from '../../../services/queue/codec-operations.ts';
import { queueCodec } from '../../../services/queue/codec.ts';
import { only } from '../bugs.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { participantSettings, type SimulatedKind } from '../world/kind.ts';
import { isSimulated, operationIn } from '../world/opaque.ts';
import { PORT } from './messages.ts';

const MEMORY_BYTES = 1_000_000;
const KEY_WAIT_MS = 600;

export const QUEUE_KIND: SimulatedKind = {
  createKernel(settings) {
    const { participant, partition, cacheBytes, retentionMs, switches } = settings;
    return new ParticipantKernel<QueueTypes>({
      settings: participantSettings(settings),
      resource: new QueueResource({
        participant,
        partition,
        partitions: PARTITIONS,
        messages: PORT,
        cacheBytes,
        memoryBytes: MEMORY_BYTES,
        sessionRetentionMs: retentionMs,
        keyWaitMs: KEY_WAIT_MS,
        numbersAbove: 0,
        bugs: only(switches.queue),
      }),
      bugs: only(switches.participant),
    });
  },
  codec: queueCodec,
  decodeOperations: (operations) => {
    const decoded = [];
    for (const operation of operations) {
      const one = isSimulated(operation) ? [operationIn(operation)] : decodeOperations([operation]);
      if ('reason' in one) return one;
      decoded.push(...one);
    }
    return decoded;
  },
};
