/** Vocabulary of the key-value resource. */

import type { Failure } from '../failure.ts';

/**
 * What must hold of a key. 'absent': it does not exist now, whatever was meanwhile. A number: it has
 * this version; an absent key has one too, and the same one twice means that it was never there between.
 */
export type Precondition = 'any' | 'absent' | number;

export type MergePolicy = 'reject' | 'lastWriterWins' | 'jsonMergePatch' | 'jsonThreeWay';

interface KeyOperation {
  /** `<collection>/<key>`: unambiguous, because a collection has no '/'. Names the lock and the record. */
  readonly name: string;
  readonly precondition: Precondition;
}

export interface PutOperation extends KeyOperation {
  readonly type: 'put';
  /** The value, or the patch. */
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly mergePolicy: MergePolicy;
}

export interface DeleteOperation extends KeyOperation {
  readonly type: 'delete';
}

/** Requires something without changing it. */
export interface CheckOperation extends KeyOperation {
  readonly type: 'check';
}

export type KeyValueOperation = PutOperation | DeleteOperation | CheckOperation;

/** What the commit of a branch does to one key: exactly, so that it needs no look at the key (K7). */
export interface KeyWrite {
  readonly name: string;
  /** 'none': the key is deleted already; it is only locked. */
  readonly type: 'put' | 'delete' | 'none';
  readonly value: Uint8Array | undefined;
  readonly contentType: string;
  /** The value goes into a version record, because versions are kept. */
  readonly apart: boolean;
  /** Earlier versions that are kept from then on, oldest first. */
  readonly history: readonly number[];
  /** Version records from the first to the second are removed. */
  readonly drop: readonly [first: number, last: number] | undefined;
}

/** What a prepared branch will do when it commits. */
export interface KeyValueEffect {
  readonly writes: readonly KeyWrite[];
  /** Names that are locked, shared, because the branch rests on what they hold. */
  readonly reads: readonly string[];
  /** Upper bound of the commit's write, and of the encoded effect; not stored, see effectOf. */
  readonly commitOperations: number;
  readonly commitBytes: number;
}

export type KeyValueQuery =
  | { readonly type: 'keys'; readonly names: readonly string[] }
  /** Answers once nobody that held a key of the range holds it any more: then the store can be scanned. */
  | { readonly type: 'prefix'; readonly prefix: string }
  /** A key and its kept earlier versions, newest first. */
  | { readonly type: 'versions'; readonly name: string };

/** A key as it is, or as it was at a version. */
export interface KeyEntry {
  readonly name: string;
  /** Absent: the key does not exist. */
  readonly value?: Uint8Array;
  readonly contentType: string;
  /** Of the last change; of an absent key: at or after its last deletion, see deletions.ts. */
  readonly version: number;
  /** By the participant's clock; 0: unknown. */
  readonly updateMs: number;
}

export interface KeyValueAnswer {
  readonly entries: readonly KeyEntry[];
}

/** Under `key/<name>`. */
export interface KeyRecord {
  readonly type: 'key';
  readonly version: number;
  readonly updateMs: number;
  readonly contentType: string;
  readonly deleted: boolean;
  /** Absent: deleted, or `apart`. */
  readonly value?: Uint8Array;
  /** The value is in the version record of this version. */
  readonly apart: boolean;
  /** Earlier versions that are kept, oldest first. */
  readonly history: readonly number[];
}

/** Under `version/<name>\0<version>`: a value that outlives being replaced. */
export interface VersionRecord {
  readonly type: 'version';
  readonly version: number;
  readonly updateMs: number;
  readonly contentType: string;
  /** Absent: this version is a deletion. */
  readonly value?: Uint8Array;
}

export interface KeyChange {
  readonly name: string;
  readonly version: number;
  readonly deleted: boolean;
}

/** Under `change/<highest version>`: what one batch changed, in order, for watchers that come later. */
export interface ChangeRecord {
  readonly type: 'change';
  readonly changes: readonly KeyChange[];
}

/** Under `kept`: from where on changes can be replayed. */
export interface KeptRecord {
  readonly type: 'kept';
  /** The highest revision whose changes are removed. */
  readonly changesThrough: number;
  /** Versions are or were kept here: a write must look for those of its key. */
  readonly versioned: boolean;
}

export type KeyValueRecord = KeyRecord | VersionRecord | ChangeRecord | KeptRecord;

/** Emitted once per batch that changes keys, if somebody watches. */
export interface KeyValueEvent {
  readonly type: 'changes';
  readonly revision: number;
  readonly entries: readonly KeyEntry[];
}

export interface KeyValueTypes {
  readonly operation: KeyValueOperation;
  readonly effect: KeyValueEffect;
  readonly query: KeyValueQuery;
  readonly answer: KeyValueAnswer;
  readonly request: never;
  readonly response: never;
  readonly record: KeyValueRecord;
}

/** Why a precondition or a merge failed: becomes txmesh.keyvalue.v1.ConflictDetail. */
export interface Conflict {
  readonly participant: string;
  readonly name: string;
  /** In words: "absent", "version 17". */
  readonly expected: string;
  /** The value is left out if it is large. */
  readonly current: KeyEntry;
  readonly exists: boolean;
  /** JSON pointers (RFC 6901). */
  readonly conflictingFields: readonly string[];
}

/** UTF-8. A port, because the language itself has none. */
export interface TextCodec {
  encode(text: string): Uint8Array;
  /** Throws if the bytes are not UTF-8. */
  decode(bytes: Uint8Array): string;
}

export interface KeyValueSettings {
  readonly participant: string;
  /** Earlier versions to keep of every key, 0 to {@link MAX_HISTORY}. */
  readonly historyLimit: number;
  /** Bound of the cache of key records, bytes. */
  readonly cacheBytes: number;
  /** How long changes can be replayed, milliseconds, and how many revisions at most. */
  readonly changeRetentionMs: number;
  readonly changeRetentionCount: number;
  /** Revisions are above it, and changes below it can't be replayed (invariant P10). */
  readonly numbersAbove: number;
  readonly text: TextCodec;
  /** Encodes a conflict for a failure's detail. */
  describeConflict(conflict: Conflict): Failure['detail'];
}

export const DEFAULT_KEY_VALUE_SETTINGS = {
  historyLimit: 0,
  cacheBytes: 64 * 1024 * 1024,
  changeRetentionMs: 15 * 60_000,
  changeRetentionCount: 1_000_000,
  numbersAbove: 0,
} as const;

export const MAX_HISTORY = 100;

/** Limits, the same on every store; a failure names the one that is passed. */
export const LIMITS = {
  /** Of a value, or of a document that a merge results in. */
  valueBytes: 1_048_576,
  /** Of a key, in UTF-8. */
  keyBytes: 1024,
  contentTypeBytes: 255,
  /** Of all values, keys and content types of a branch. */
  branchBytes: 1_048_576 + 8192,
  /** Operations of a branch. */
  branchOperations: 120,
  /** Store operations and bytes of one commit (invariant K7), with room for what the kernel adds. */
  commitOperations: 120,
  commitBytes: 1_330_000,
} as const;
