/** Between a counter service's records and their bytes. */

import type { CounterStored, CounterTypes } from '../kernel/counter/types.ts';
import type { ParticipantRecord } from '../kernel/participant/types.ts';
import { participantRecordCodec } from '../runtime/participant/codec.ts';
import { counterEffects, counterFromMessage, counterToMessage } from './codec-counter.ts';

export type CounterPartitionRecord = ParticipantRecord<CounterTypes>;

export const counterCodec = participantRecordCodec<CounterTypes>({
  effects: counterEffects,
  toMessage(record) {
    switch (record.type) {
      case 'counter':
      case 'event':
      case 'moving':
      case 'replica':
      case 'tokens':
        return counterToMessage(record as CounterStored);
      default:
        return undefined;
    }
  },
  fromMessage: counterFromMessage,
});
