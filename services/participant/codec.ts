/** Between a key-value participant's records and their bytes. */

import { BinaryReader } from '@bufbuild/protobuf/wire';
import { ParticipantRecord as RecordMessage } from '../gen/txmesh/record/v1/participant_record.ts';
import type { KeyValueRecord, KeyValueTypes } from '../kernel/keyvalue/types.ts';
import type { ParticipantRecord, ProtocolRecord } from '../kernel/participant/types.ts';
import type { KeyValueEffect } from '../kernel/keyvalue/types.ts';
import { encode } from '../runtime/encode.ts';
import type { RecordCodec } from '../runtime/partition/term.ts';
import { encodeHot } from './codec-hot.ts';
import { keyValueEffects, keyValueFromMessage, keyValueToMessage } from './codec-keyvalue.ts';
import { protocolFromMessage, protocolToMessage } from './codec-protocol.ts';

const FORMAT = 2;

/** What is stored can't be used by this version. */
export class UnreadableRecord extends Error {
  override get name(): string {
    return 'UnreadableRecord';
  }
}

export type KeyValuePartitionRecord = ParticipantRecord<KeyValueTypes>;

export const participantCodec: RecordCodec<KeyValuePartitionRecord> = { encode: encodeRecord, decode: decodeRecord };

export function encodeRecord(record: KeyValuePartitionRecord): Uint8Array {
  return encodeHot(record, FORMAT) ?? encode(RecordMessage, { format: FORMAT, record: toMessage(record) });
}

export function decodeRecord(key: string, bytes: Uint8Array): KeyValuePartitionRecord {
  let message: RecordMessage;
  try {
    message = RecordMessage.decode(new BinaryReader(bytes));
  } catch (error) {
    throw new UnreadableRecord(`participant record ${key} can't be decoded; the store is damaged`, { cause: error });
  }
  if (message.format > FORMAT) {
    throw new UnreadableRecord(
      `participant record ${key} has format ${message.format}, this version of txmesh reads up to ${FORMAT}; run a newer version`,
    );
  }
  const record = protocolFromMessage(message.record, keyValueEffects) ?? keyValueFromMessage(message.record);
  if (message.format === 0 || record === undefined) {
    throw new UnreadableRecord(`participant record ${key} holds nothing that this version of txmesh knows; the store is damaged`);
  }
  return record;
}

function toMessage(record: KeyValuePartitionRecord): NonNullable<RecordMessage['record']> {
  switch (record.type) {
    case 'key':
    case 'version':
    case 'change':
    case 'kept':
      return keyValueToMessage(record as KeyValueRecord);
    default:
      return protocolToMessage(record as ProtocolRecord<KeyValueEffect>, keyValueEffects);
  }
}
