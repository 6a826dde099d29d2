/** Between a key-value participant's records and their bytes. */

import type { KeyValueRecord, KeyValueTypes } from '../kernel/keyvalue/types.ts';
import type { ParticipantRecord } from '../kernel/participant/types.ts';
import { participantRecordCodec } from '../runtime/participant/codec.ts';
import { encodeHot } from './codec-hot.ts';
import { keyValueEffects, keyValueFromMessage, keyValueToMessage } from './codec-keyvalue.ts';

export type KeyValuePartitionRecord = ParticipantRecord<KeyValueTypes>;

export const participantCodec = participantRecordCodec<KeyValueTypes>({
  effects: keyValueEffects,
  encodeHot,
  toMessage(record) {
    switch (record.type) {
      case 'key':
      case 'version':
      case 'change':
      case 'kept':
        return keyValueToMessage(record as KeyValueRecord);
      default:
        return undefined;
    }
  },
  fromMessage: keyValueFromMessage,
});

export const { encode: encodeRecord, decode: decodeRecord } = participantCodec;
