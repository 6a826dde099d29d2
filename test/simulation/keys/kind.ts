/** The key-value participant as the services build it, with settings that suit a small world. */

import { KeyValueResource } from '../../../services/kernel/keyvalue/resource.ts';
import { DEFAULT_KEY_VALUE_SETTINGS, type KeyValueTypes } from '../../../services/kernel/keyvalue/types.ts';
import { ParticipantKernel } from '../../../services/kernel/participant/kernel.ts';
import { describeConflict, textCodec } from '../../../services/participant/codec-keyvalue.ts';
import { keyValueKind } from '../../../services/participant/handlers/kind.ts';
import { only } from '../bugs.ts';
import { participantSettings, type KernelSettings, type SimulatedKind } from '../world/kind.ts';

const { codec, decodeOperations } = keyValueKind({ historyLimit: 0 });

export const KEY_VALUE: SimulatedKind = {
  createKernel(settings) {
    return new ParticipantKernel<KeyValueTypes>({
      settings: participantSettings(settings),
      resource: createResource(settings),
      bugs: only(settings.switches.participant),
    });
  },
  codec,
  decodeOperations,
};

function createResource({ participant, historyLimit, cacheBytes, retentionMs }: KernelSettings): KeyValueResource {
  return new KeyValueResource({
    ...DEFAULT_KEY_VALUE_SETTINGS,
    participant,
    historyLimit,
    cacheBytes,
    changeRetentionMs: retentionMs,
    text: textCodec,
    describeConflict,
  });
}
