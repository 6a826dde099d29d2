/** Key-value records, effects and conflicts, and their messages. */

import { ConflictDetail, type Entry } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import {
  type KeyRecord as KeyMessage,
  type KeyVersionRecord,
  type KeyWrite as KeyWriteMessage,
  KeyWrite_Type as WriteType,
  type ParticipantRecord,
} from '../gen/txmesh/record/v1/participant_record.ts';
import type { Failure } from '../kernel/failure.ts';
import { effectOf } from '../kernel/keyvalue/effect.ts';
import { splitName } from '../kernel/keyvalue/keys.ts';
import type {
  Conflict,
  KeyEntry,
  KeyRecord,
  KeyValueEffect,
  KeyValueRecord,
  KeyWrite,
  TextCodec,
  VersionRecord,
} from '../kernel/keyvalue/types.ts';
import { copyOf, type EffectCodec } from '../runtime/participant/codec-protocol.ts';

const EMPTY = new Uint8Array(0);
const CONFLICT_TYPE_URL = 'type.googleapis.com/txmesh.keyvalue.v1.ConflictDetail';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** What the key-value kernel merges documents with. */
export const textCodec: TextCodec = {
  encode: (text) => encoder.encode(text),
  decode: (bytes) => decoder.decode(bytes),
};

export const keyValueEffects: EffectCodec<KeyValueEffect> = {
  toMessage: ({ writes, reads }) => ({ $case: 'keyValue', value: { writes: writes.map(toWrite), reads: [...reads] } }),
  fromMessage: (message) => {
    if (message.$case !== 'keyValue') throw new Error(`an effect of kind ${message.$case} is none of a key-value participant's`);
    return effectOf(message.value.writes.map(fromWrite), message.value.reads);
  },
};

const NO_VERSIONS: bigint[] = [];

/** Generated code has no numbers for repeated 64-bit fields. */
function toVersions(history: readonly number[]): bigint[] {
  return history.length === 0 ? NO_VERSIONS : history.map(BigInt);
}

const WRITE_TYPES = { none: WriteType.UNSPECIFIED, put: WriteType.PUT, delete: WriteType.DELETE } as const;

function toWrite({ name, type, value, contentType, apart, history, drop }: KeyWrite): KeyWriteMessage {
  return {
    name,
    type: WRITE_TYPES[type],
    value: value ?? EMPTY,
    contentType,
    apart,
    history: toVersions(history),
    dropFirst: drop?.[0] ?? 0,
    dropLast: drop?.[1] ?? 0,
  };
}

function fromWrite({ name, type, value, contentType, apart, history, dropFirst, dropLast }: KeyWriteMessage): KeyWrite {
  return {
    name,
    type: type === WriteType.PUT ? 'put' : type === WriteType.DELETE ? 'delete' : 'none',
    value: type === WriteType.PUT ? copyOf(value) : undefined,
    contentType,
    apart,
    history: history.map(Number),
    drop: dropFirst === 0 ? undefined : [dropFirst, dropLast],
  };
}

export function keyValueToMessage(record: KeyValueRecord): NonNullable<ParticipantRecord['record']> {
  switch (record.type) {
    case 'key':
      return { $case: 'key', value: toKey(record) };
    case 'version':
      return { $case: 'keyVersion', value: toVersion(record) };
    case 'change':
      return { $case: 'keyChanges', value: { changes: [...record.changes] } };
    case 'kept':
      return { $case: 'keyValueKept', value: { changesThrough: record.changesThrough, versioned: record.versioned } };
  }
}

export function keyValueFromMessage(message: ParticipantRecord['record']): KeyValueRecord | undefined {
  switch (message?.$case) {
    case 'key':
      return fromKey(message.value);
    case 'keyVersion':
      return fromVersion(message.value);
    case 'keyChanges':
      return { type: 'change', changes: message.value.changes };
    case 'keyValueKept':
      return { type: 'kept', ...message.value };
    default:
      return undefined;
  }
}

function toKey({ version, updateMs, contentType, deleted, value, apart, history }: KeyRecord): KeyMessage {
  return { version, updateMs, contentType, deleted, value: value ?? EMPTY, apart, history: toVersions(history) };
}

function fromKey({ version, updateMs, contentType, deleted, value, apart, history }: KeyMessage): KeyRecord {
  const inline = deleted || apart ? undefined : copyOf(value);
  return { type: 'key', version, updateMs, contentType, deleted, value: inline, apart, history: history.map(Number) };
}

function toVersion({ version, updateMs, contentType, value }: VersionRecord): KeyVersionRecord {
  return { version, updateMs, contentType, value: value ?? EMPTY, deleted: value === undefined };
}

function fromVersion({ version, updateMs, contentType, value, deleted }: KeyVersionRecord): VersionRecord {
  return { type: 'version', version, updateMs, contentType, value: deleted ? undefined : copyOf(value) };
}

/** For the API: a key as read, or as it was. */
export function toEntry({ name, value, contentType, version, updateMs }: KeyEntry): Entry {
  const seconds = Math.floor(updateMs / 1000);
  return {
    ...splitName(name),
    value: value ?? EMPTY,
    contentType,
    version,
    absent: value === undefined,
    updateTime: updateMs === 0 ? undefined : { seconds: BigInt(seconds), nanos: Math.round((updateMs - seconds * 1000) * 1e6) },
  };
}

/** The detail of a failure; the kernel's `describeConflict`. */
export function describeConflict({ participant, name, expected, current, exists, conflictingFields }: Conflict): Failure['detail'] {
  const entry = toEntry(current);
  const detail: ConflictDetail = {
    participant,
    ...splitName(name),
    expected,
    // A value may be left out because it is large; absent is what was never there or is deleted.
    current: { ...entry, absent: !exists },
    conflictingFields: [...conflictingFields],
  };
  return { typeUrl: CONFLICT_TYPE_URL, value: ConflictDetail.encode(detail).finish() };
}
