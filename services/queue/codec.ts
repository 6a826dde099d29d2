/** Between a queue's records and their bytes. */

import type { ParticipantRecord } from '../kernel/participant/types.ts';
import type { QueueRecord, QueueTypes } from '../kernel/queue/types.ts';
import { participantRecordCodec } from '../runtime/participant/codec.ts';
import { queueEffects } from './codec-effect.ts';
import { encodeHot } from './codec-hot.ts';
import { queueFromMessage, queueToMessage } from './codec-records.ts';

export type QueuePartitionRecord = ParticipantRecord<QueueTypes>;

export const queueCodec = participantRecordCodec<QueueTypes>({
  effects: queueEffects,
  toMessage: (record) => queueToMessage(record as QueueRecord),
  encodeHot,
  fromMessage: queueFromMessage,
});
