/** A key-value participant as a service that a replica hosts. */

import { KeyValueResource } from '../../kernel/keyvalue/resource.ts';
import { DEFAULT_KEY_VALUE_SETTINGS, type KeyValueEvent, type KeyValueTypes } from '../../kernel/keyvalue/types.ts';
import type { Hosted } from '../../runtime/cluster/replica.ts';
import { hostParticipant, type HostOptions, type ParticipantServingTerm } from '../../runtime/participant/host.ts';
import { describeConflict, textCodec } from '../codec-keyvalue.ts';
import { participantCodec } from '../codec.ts';
import { misplacedOperation } from './service.ts';

export interface KeyValueHostOptions extends HostOptions<KeyValueTypes> {
  /** Earlier versions to keep of every key. */
  readonly historyLimit: number;
}

export function hostKeyValue(options: KeyValueHostOptions): Hosted<ParticipantServingTerm<KeyValueTypes, KeyValueEvent>> {
  const { service, retentionMs, numbersAbove, historyLimit } = options;
  return hostParticipant<KeyValueTypes, KeyValueEvent>({
    ...options,
    codec: participantCodec,
    misplaced: misplacedOperation,
    createResource: () =>
      new KeyValueResource({
        ...DEFAULT_KEY_VALUE_SETTINGS,
        participant: service.name,
        historyLimit,
        changeRetentionMs: retentionMs,
        numbersAbove,
        text: textCodec,
        describeConflict,
      }),
  });
}
