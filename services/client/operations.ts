/**
 * What a transaction does, and how a key-value participant's keys and values are written: builders for
 * the operations that `execute` takes.
 */

import { CheckOperation, DeleteOperation, MergePolicy, PutOperation, type Precondition as WirePrecondition } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { encode } from '../runtime/encode.ts';
import { invalidRequest } from './errors.ts';

/** A message that only its participant understands, as google.protobuf.Any. */
export interface Content {
  /** "type.googleapis.com/" and the full name of the message. */
  readonly typeUrl: string;
  /** The encoded message. */
  readonly value: Uint8Array;
}

/** One thing to be done by a participant as a part of a transaction. */
export interface Operation {
  /** Name of the participant: 1 to 63 characters of a-z, 0-9 and '-', beginning with a letter. */
  readonly participant: string;
  /** Decides the partition that does it, 1 to 1024 bytes. */
  readonly routingKey: string;
  readonly operation: Content;
}

/** What must hold of a key: 'absent', that is not there now, or that it has the version that a read returned. */
export type Precondition = 'absent' | { readonly version: number };

/**
 * What a put does when the key has changed since the version that its precondition names:
 * `reject` (the default) lets the precondition decide; `lastWriterWins` replaces whatever is there;
 * `jsonMergePatch` applies the value as a patch (RFC 7396) to whatever is there; `jsonThreeWay` merges
 * both JSON documents field by field, with a conflict where both changed the same field differently.
 */
export type MergeRule = 'reject' | 'lastWriterWins' | 'jsonMergePatch' | 'jsonThreeWay';

export interface PutOptions {
  readonly precondition?: Precondition;
  readonly merge?: MergeRule;
}

export interface DeleteOptions {
  readonly precondition?: Precondition;
}

/** A value with its media type, as {@link json} and {@link text} make it. */
export interface TypedValue {
  /** At most 1 MiB. */
  readonly value: Uint8Array;
  readonly contentType: string;
}

/** Bytes without a media type, text (text/plain), or a value with its media type. */
export type Value = Uint8Array | string | TypedValue;

const encoder = new TextEncoder();

/**
 * A JSON document (application/json).
 * @throws InvalidRequest for what JSON has no word for: undefined, a function
 */
export function json(document: unknown): TypedValue {
  const written = JSON.stringify(document) as string | undefined;
  if (written === undefined) throw invalidRequest(`json() was given ${typeof document}, which is no JSON document`, 'value');
  return { value: encoder.encode(written), contentType: 'application/json' };
}

/** Text (text/plain, UTF-8). */
export function text(value: string): TypedValue {
  return { value: encoder.encode(value), contentType: 'text/plain; charset=utf-8' };
}

/** @throws InvalidRequest for what is no value */
export function typedValue(value: Value, field = 'value'): TypedValue {
  if (typeof value === 'string') return text(value);
  if (value instanceof Uint8Array) return { value, contentType: '' };
  const typed = value as Partial<TypedValue> | undefined;
  if (!(typed?.value instanceof Uint8Array) || typeof typed.contentType !== 'string')
    throw invalidRequest(`${field} must be bytes (Uint8Array), text, or what json() or text() makes of it`, field);
  return value;
}

/** The part of a key that decides its partition: what is between the first '{' and the next '}', if that is not empty. */
export function routingKeyOf(key: string): string {
  const open = key.indexOf('{');
  if (open < 0) return key;
  const close = key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

const TYPE = 'type.googleapis.com/txmesh.keyvalue.v1.';
const PUT = `${TYPE}PutOperation`;
const DELETE = `${TYPE}DeleteOperation`;
const CHECK = `${TYPE}CheckOperation`;

/** Writes a key. */
export function put(participant: string, collection: string, key: string, value: Value, options: PutOptions = {}): Operation {
  const typed = typedValue(value);
  const message = {
    collection,
    key,
    value: typed.value,
    contentType: typed.contentType,
    precondition: wirePrecondition(options.precondition),
    mergePolicy: wireMergePolicy(options.merge),
  };
  return operation(participant, routingKeyOf(key), PUT, encode(PutOperation, message));
}

/** Deletes a key. Deleting an absent key changes nothing. */
export function del(participant: string, collection: string, key: string, options: DeleteOptions = {}): Operation {
  const message = { collection, key, precondition: wirePrecondition(options.precondition) };
  return operation(participant, routingKeyOf(key), DELETE, encode(DeleteOperation, message));
}

/** Requires something of a key without changing it. */
export function check(participant: string, collection: string, key: string, precondition: Precondition): Operation {
  const message = { collection, key, precondition: wirePrecondition(precondition) };
  return operation(participant, routingKeyOf(key), CHECK, encode(CheckOperation, message));
}

function operation(participant: string, routingKey: string, typeUrl: string, value: Uint8Array): Operation {
  return { participant, routingKey, operation: { typeUrl, value } };
}

export function wirePrecondition(precondition: Precondition | undefined): WirePrecondition | undefined {
  if (precondition === undefined) return undefined;
  if (precondition === 'absent') return { condition: { $case: 'absent', value: true } };
  const { version } = precondition;
  if (!Number.isSafeInteger(version) || version < 0) throw invalidRequest(`the version of a precondition is ${version}; it must be one that a read returned`, 'precondition');
  return { condition: { $case: 'version', value: BigInt(version) } };
}

export function wireMergePolicy(policy: MergeRule | undefined): MergePolicy {
  switch (policy) {
    case undefined:
      return MergePolicy.UNSPECIFIED;
    case 'reject':
      return MergePolicy.REJECT;
    case 'lastWriterWins':
      return MergePolicy.LAST_WRITER_WINS;
    case 'jsonMergePatch':
      return MergePolicy.JSON_MERGE_PATCH;
    case 'jsonThreeWay':
      return MergePolicy.JSON_THREE_WAY;
  }
}
