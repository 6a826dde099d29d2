/**
 * Between a participant partition's records and their bytes: those of the branch protocol are the same
 * for every kind of participant, the others its resource knows.
 */

import { BinaryReader } from '@bufbuild/protobuf/wire';
import { ParticipantRecord as RecordMessage } from '../../gen/txmesh/record/v1/participant_record.ts';
import type { ParticipantRecord, ProtocolRecord, ResourceTypes } from '../../kernel/participant/types.ts';
import { encode } from '../encode.ts';
import type { RecordCodec } from '../partition/term.ts';
import { protocolFromMessage, protocolToMessage, type EffectCodec } from './codec-protocol.ts';

const FORMAT = 2;

/** What is stored can't be used by this version. */
export class UnreadableRecord extends Error {
  override get name(): string {
    return 'UnreadableRecord';
  }
}

/** Between a resource's own records and effects, and their messages. */
export interface ResourceCodec<T extends ResourceTypes> {
  readonly effects: EffectCodec<T['effect']>;
  /** Undefined: the record is none of the resource's, so the branch protocol's. */
  toMessage(record: ParticipantRecord<T>): RecordMessage['record'];
  /** The bytes of a record that is written by hand; undefined of any other. */
  encodeHot?(record: ParticipantRecord<T>, format: number): Uint8Array | undefined;
  /** Undefined: the message is none of the resource's. */
  fromMessage(message: RecordMessage['record']): T['record'] | undefined;
}

/** The codec of a kind of participant. */
export function participantRecordCodec<T extends ResourceTypes>(resource: ResourceCodec<T>): RecordCodec<ParticipantRecord<T>> {
  const { effects } = resource;
  return {
    encode(record) {
      const bytes = resource.encodeHot?.(record, FORMAT);
      if (bytes !== undefined) return bytes;
      const message = resource.toMessage(record) ?? protocolToMessage(record as ProtocolRecord<T['effect']>, effects);
      return encode(RecordMessage, { format: FORMAT, record: message });
    },
    decode(key, bytes) {
      const message = decodeMessage(key, bytes);
      const record = protocolFromMessage(message.record, effects) ?? resource.fromMessage(message.record);
      if (message.format === 0 || record === undefined) {
        throw new UnreadableRecord(`participant record ${key} holds nothing that this version of txmesh knows; the store is damaged`);
      }
      return record;
    },
  };
}

function decodeMessage(key: string, bytes: Uint8Array): RecordMessage {
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
  return message;
}
