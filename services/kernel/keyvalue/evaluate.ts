/**
 * Evaluates a branch's operations on what is stored: preconditions, merges, limits. The result is what
 * the commit will write (invariant K7). Changes nothing.
 */

import type { Failure } from '../failure.ts';
import type { Evaluation } from '../participant/resource.ts';
import { effectOf } from './effect.ts';
import { splitName } from './keys.ts';
import { mergePatch, parseJson, threeWayMerge, type Json } from './merge.ts';
import {
  LIMITS,
  type Conflict,
  type KeyEntry,
  type KeyRecord,
  type KeyValueEffect,
  type KeyValueOperation,
  type KeyValueSettings,
  type KeyWrite,
  type PutOperation,
} from './types.ts';

/** A conflict's current value is left out if it is larger. */
const CONFLICT_VALUE_BYTES = 65_536;

/** Looks at what is stored. */
export interface StoredKeys {
  /** Of a key: undefined if absent, or if it is only written blindly and not known. */
  record(name: string): KeyRecord | undefined;
  /** The version of a key that is absent, see deletions.ts. */
  absentVersion(name: string): number;
  /** The entry as it was at a version that is kept, or is now. */
  entryAt(name: string, version: number): KeyEntry | undefined;
}

/** A key as the operations so far leave it. */
interface Staged {
  readonly record: KeyRecord | undefined;
  exists: boolean;
  value: Uint8Array | undefined;
  contentType: string;
  /** 'none' until a write: only read. */
  write: 'put' | 'delete' | 'none';
  /** Some operation may write it. */
  exclusive: boolean;
}

export function evaluateOperations(
  operations: readonly KeyValueOperation[],
  stored: StoredKeys,
  settings: KeyValueSettings,
): Evaluation<KeyValueEffect> {
  const staged = stageOperations(operations, stored, settings);
  if (!(staged instanceof Map)) return { type: 'refusal', failure: staged };
  const writes: KeyWrite[] = [];
  const reads: string[] = [];
  for (const [name, key] of staged) {
    if (key.exclusive) writes.push(writeOf(name, key, settings.historyLimit));
    else reads.push(name);
  }
  const effect = effectOf(writes, reads);
  const failure = overLimit(effect);
  return failure === undefined ? { type: 'effect', effect } : { type: 'refusal', failure };
}

/** The keys as the operations leave them, or why they can't be carried out. */
export function stageOperations(
  operations: readonly KeyValueOperation[],
  stored: StoredKeys,
  settings: KeyValueSettings,
): Map<string, Staged> | Failure {
  const staged = new Map<string, Staged>();
  for (const operation of operations) {
    const { name } = operation;
    let key = staged.get(name);
    if (key === undefined) {
      const record = stored.record(name);
      const exists = record !== undefined && !record.deleted;
      key = { record, exists, value: undefined, contentType: record?.contentType ?? '', write: 'none', exclusive: false };
      staged.set(name, key);
    }
    if (operation.type !== 'check') key.exclusive = true;
    const failure = carryOut(operation, key, stored, settings);
    if (failure !== undefined) return failure;
  }
  return staged;
}

function carryOut(
  operation: KeyValueOperation,
  key: Staged,
  stored: StoredKeys,
  settings: KeyValueSettings,
): Failure | undefined {
  if (!holds(operation, key, stored)) return preconditionFailed(operation, key, stored, settings);
  switch (operation.type) {
    case 'check':
      return undefined;
    case 'delete':
      if (key.exists) key.write = 'delete';
      key.exists = false;
      key.value = undefined;
      return undefined;
    case 'put': {
      const result = newValue(operation, key, stored, settings);
      if ('reason' in result) return result;
      if (result.value.length > LIMITS.valueBytes) return limitExceeded('a value', result.value.length, LIMITS.valueBytes, 'bytes');
      key.write = 'put';
      key.exists = true;
      key.value = result.value;
      key.contentType = result.contentType;
      return undefined;
    }
  }
}

/** Versions are those before the branch; absence is seen after the operations so far. */
function holds(operation: KeyValueOperation, key: Staged, stored: StoredKeys): boolean {
  const { name, precondition } = operation;
  if (precondition === 'any') return true;
  if (precondition === 'absent') return !key.exists;
  if (operation.type === 'put' && operation.mergePolicy !== 'reject') return true;
  return committedVersion(name, key, stored) === precondition;
}

/** Of a key that is absent too: the same version means that it has not existed meanwhile. */
function committedVersion(name: string, { record }: Staged, stored: StoredKeys): number {
  return record?.version ?? stored.absentVersion(name);
}

type NewValue = { readonly value: Uint8Array; readonly contentType: string };

function newValue(operation: PutOperation, key: Staged, stored: StoredKeys, settings: KeyValueSettings): NewValue | Failure {
  const { value, contentType, mergePolicy, precondition, name } = operation;
  switch (mergePolicy) {
    case 'reject':
    case 'lastWriterWins':
      return { value, contentType };
    case 'jsonMergePatch': {
      const patch = parse(value, settings);
      const target = key.exists ? parse(currentValue(name, key, stored), settings) : null;
      if (patch === undefined || target === undefined) {
        return mergeConflict(operation, key, stored, settings, [], patch === undefined ? 'the patch' : 'what is there');
      }
      const type = key.exists ? key.contentType : contentType;
      return document(mergePatch(target, patch), type === 'application/merge-patch+json' ? '' : type, settings);
    }
    case 'jsonThreeWay': {
      const base = typeof precondition === 'number' ? precondition : 0;
      // Base 0: the document was made from nothing, and where nothing is, there is nothing to merge with.
      const unchanged = base === 0 ? !key.exists : committedVersion(name, key, stored) === base;
      if (key.write === 'none' && unchanged) return { value, contentType };
      return mergeThreeWay(operation, base, key, stored, settings);
    }
  }
}

function mergeThreeWay(
  operation: PutOperation,
  baseVersion: number,
  key: Staged,
  stored: StoredKeys,
  settings: KeyValueSettings,
): NewValue | Failure {
  const { name, value, contentType } = operation;
  if (!key.exists) return mergeConflict(operation, key, stored, settings, [''], undefined);
  let base: Json | undefined;
  if (baseVersion !== 0) {
    const entry = stored.entryAt(name, baseVersion);
    if (entry === undefined) {
      return mergeConflict(operation, key, stored, settings, [], `version ${baseVersion}, which is no longer kept,`);
    }
    // A deletion that is kept: both sides began with nothing.
    base = entry.value === undefined ? undefined : parse(entry.value, settings);
    if (base === undefined && entry.value !== undefined) return mergeConflict(operation, key, stored, settings, [], 'the base version');
  }
  const theirs = parse(currentValue(name, key, stored), settings);
  const ours = parse(value, settings);
  if (theirs === undefined || ours === undefined) {
    return mergeConflict(operation, key, stored, settings, [], ours === undefined ? 'the value' : 'what is there');
  }
  const result = threeWayMerge(base, theirs, ours);
  if ('conflicts' in result) return mergeConflict(operation, key, stored, settings, result.conflicts, undefined);
  return document(result.merged, contentType === '' ? key.contentType : contentType, settings);
}

function document(json: Json, contentType: string, settings: KeyValueSettings): NewValue {
  return { value: settings.text.encode(JSON.stringify(json)), contentType: contentType === '' ? 'application/json' : contentType };
}

function parse(bytes: Uint8Array, settings: KeyValueSettings): Json | undefined {
  let text: string;
  try {
    text = settings.text.decode(bytes);
  } catch {
    return undefined;
  }
  return parseJson(text);
}

/** The value of a key that exists. */
function currentValue(name: string, key: Staged, stored: StoredKeys): Uint8Array {
  return key.value ?? stored.entryAt(name, key.record!.version)!.value!;
}

function writeOf(name: string, key: Staged, historyLimit: number): KeyWrite {
  const { record, write: type, value } = key;
  const contentType = type === 'put' ? key.contentType : '';
  if (type === 'none') return { name, type, value: undefined, contentType, apart: false, history: [], drop: undefined };
  const earlier = record === undefined ? [] : record.apart ? [...record.history, record.version] : record.history;
  const history = historyLimit === 0 ? [] : earlier.slice(-historyLimit);
  const dropped = earlier.length - history.length;
  const drop = dropped === 0 ? undefined : ([earlier[0]!, earlier[dropped - 1]!] as const);
  return { name, type, value, contentType, apart: historyLimit > 0, history, drop };
}

function overLimit(effect: KeyValueEffect): Failure | undefined {
  const { commitOperations, commitBytes } = effect;
  if (commitOperations > LIMITS.commitOperations) {
    return limitExceeded("the commit's write", commitOperations, LIMITS.commitOperations, 'store operations');
  }
  if (commitBytes > LIMITS.commitBytes) return limitExceeded("the commit's write", commitBytes, LIMITS.commitBytes, 'bytes');
  return undefined;
}

export function limitExceeded(what: string, size: number, limit: number, unit: string): Failure {
  return {
    reason: 'LIMIT_EXCEEDED',
    message: `${what} takes ${size} ${unit}; at most ${limit} are allowed`,
    metadata: { limit: String(limit), size: String(size), unit },
  };
}

function preconditionFailed(
  operation: KeyValueOperation,
  key: Staged,
  stored: StoredKeys,
  settings: KeyValueSettings,
): Failure {
  const expected = expectation(operation);
  const current = conflictEntry(operation.name, key, stored);
  const absent = current.value === undefined && !key.exists;
  const now = absent ? `it is absent at version ${current.version}` : `it has version ${current.version}`;
  return {
    reason: 'PRECONDITION_FAILED',
    message: `${display(operation.name)} was required to be ${expected}, but ${now}; read it and try again`,
    metadata: metadataOf(operation.name, expected, current),
    detail: settings.describeConflict(conflict(operation, expected, current, key, [], settings)),
  };
}

function mergeConflict(
  operation: PutOperation,
  key: Staged,
  stored: StoredKeys,
  settings: KeyValueSettings,
  fields: readonly string[],
  noJson: string | undefined,
): Failure {
  const expected = expectation(operation);
  const current = conflictEntry(operation.name, key, stored);
  const why =
    noJson !== undefined
      ? `${noJson} is not a JSON document that can be merged`
      : key.exists
        ? `both sides changed ${fields.slice(0, 5).map((field) => JSON.stringify(field)).join(', ')}`
        : 'it was deleted since';
  return {
    reason: 'MERGE_CONFLICT',
    message: `${display(operation.name)} can't be merged: ${why}; read it and decide`,
    metadata: metadataOf(operation.name, expected, current),
    detail: settings.describeConflict(conflict(operation, expected, current, key, fields, settings)),
  };
}

function conflict(
  { name }: KeyValueOperation,
  expected: string,
  current: KeyEntry,
  { record }: Staged,
  conflictingFields: readonly string[],
  { participant }: KeyValueSettings,
): Conflict {
  const exists = record !== undefined && !record.deleted;
  return { participant, name, expected, current, exists, conflictingFields };
}

function conflictEntry(name: string, key: Staged, stored: StoredKeys): KeyEntry {
  const { record } = key;
  if (record === undefined || record.deleted) {
    return { name, value: undefined, contentType: '', version: stored.absentVersion(name), updateMs: record?.updateMs ?? 0 };
  }
  const { version, updateMs } = record;
  const value = stored.entryAt(name, version)?.value;
  const isSmall = value !== undefined && value.length <= CONFLICT_VALUE_BYTES;
  return { name, value: isSmall ? value : undefined, contentType: record.contentType, version, updateMs };
}

function expectation({ precondition }: KeyValueOperation): string {
  if (precondition === 'any') return 'anything';
  return precondition === 'absent' ? 'absent' : `version ${precondition}`;
}

function metadataOf(name: string, expected: string, current: KeyEntry): Record<string, string> {
  const { collection, key } = splitName(name);
  return { collection, key, expected, currentVersion: String(current.version) };
}

function display(name: string): string {
  const { collection, key } = splitName(name);
  return `key "${key}" of collection "${collection}"`;
}
