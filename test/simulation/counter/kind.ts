/** The counter service's kernel as the services build it, with settings that suit a small world. */

import { CounterResource } from '../../../services/kernel/counter/resource.ts';
import type { CounterTypes } from '../../../services/kernel/counter/types.ts';
import { ParticipantKernel } from '../../../services/kernel/participant/kernel.ts';
import { counterCodec } from '../../../services/counter/codec.ts';
import { decodeOperations } from '../../../services/counter/codec-operations.ts';
import { only } from '../bugs.ts';
import { CLUSTER_ID, PARTITIONS } from '../world/cluster.ts';
import { participantSettings, type KernelSettings, type SimulatedKind } from '../world/kind.ts';

/** Of queued counters: soon, so that a run sees many. */
const ROLL_UP_MS = 150;
const MAX_EVENTS = 24;

export const COUNTER_KIND: SimulatedKind = {
  createKernel(settings) {
    return new ParticipantKernel<CounterTypes>({
      settings: participantSettings(settings),
      resource: createResource(settings),
      bugs: only(settings.switches.participant),
    });
  },
  codec: counterCodec,
  decodeOperations,
};

function createResource({ participant, partition, cacheBytes, retentionMs, switches }: KernelSettings): CounterResource {
  return new CounterResource(
    {
      participant,
      partition,
      partitions: PARTITIONS,
      clusterId: CLUSTER_ID,
      cacheBytes,
      retentionMs,
      rollUpMs: ROLL_UP_MS,
      maxEvents: MAX_EVENTS,
    },
    only(switches.counter),
  );
}
