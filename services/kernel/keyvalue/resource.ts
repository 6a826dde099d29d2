/**
 * Versioned keys as a {@link Resource}: what the branch protocol locks, evaluates and writes. Records
 * are loaded on demand and cached; a version is the partition's revision (invariant K1).
 */

import { Cache } from '../cache.ts';
import type { Failure } from '../failure.ts';
import type { Cost } from '../kernel.ts';
import type { LockWish } from '../participant/locks.ts';
import type { Evaluation, RecordOutput, Resource } from '../participant/resource.ts';
import { ChangeLog } from './changes.ts';
import { Deletions } from './deletions.ts';
import { PLAIN_NAMES, utf8Length, VERSIONED_NAMES, writeBytes } from './effect.ts';
import { Tombstones } from './tombstones.ts';
import { evaluateOperations, limitExceeded, stageOperations, type StoredKeys } from './evaluate.ts';
import { CHANGE_PREFIX, KEPT_KEY, KEY_PREFIX, recordKey, versionKey } from './keys.ts';
import {
  type ChangeRecord,
  LIMITS,
  type KeptRecord,
  type KeyEntry,
  type KeyRecord,
  type KeyValueAnswer,
  type KeyValueEffect,
  type KeyValueOperation,
  type KeyValueQuery,
  type KeyValueRecord,
  type KeyValueSettings,
  type KeyValueTypes,
  type KeyWrite,
  type VersionRecord,
} from './types.ts';

const NOTHING: readonly string[] = [];
const NO_HISTORY: readonly number[] = [];
/** A merged document may be written with longer numbers and escapes than its sources. */
const MERGE_GROWTH = 6;
/** Of a cached record without its value: maps, objects. */
const CACHED_BYTES = 200;

export class KeyValueResource implements Resource<KeyValueTypes>, StoredKeys {
  /** Everything is a read or a transaction. */
  readonly requests = undefined;
  /** Those who share a lock only read. */
  readonly awaitsShared = false;
  readonly activeRanges = [{ from: KEPT_KEY, to: `${KEPT_KEY}\0` }];
  private readonly settings: KeyValueSettings;
  /** Key records by name, version records by store key: a name has no zero byte, so they don't mix. */
  private readonly cache: Cache<KeyRecord | VersionRecord>;
  private readonly changeLog: ChangeLog;
  private readonly deletions = new Deletions();
  private readonly tombstones: Tombstones;

  constructor(settings: KeyValueSettings) {
    this.settings = settings;
    this.cache = new Cache(settings.cacheBytes, cachedBytes);
    this.changeLog = new ChangeLog(settings);
    this.tombstones = new Tombstones(this.changeLog, {
      has: (name) => this.cache.has(name),
      record: (name) => this.record(name),
      forget: (name, versions) => {
        this.cache.set(name, undefined);
        for (const version of versions) this.cache.delete(version);
      },
    });
  }

  /** Whether {@link KeyValueEvent}s are emitted; set by whoever has watchers. */
  get watched(): boolean {
    return this.changeLog.watched;
  }

  set watched(watched: boolean) {
    this.changeLog.watched = watched;
  }

  recover(_key: string, record: KeyValueRecord): void {
    this.changeLog.recover(record as KeptRecord);
  }

  lead(revision: number): void {
    this.deletions.lead(revision);
  }

  // Records on demand

  missing(operations: readonly KeyValueOperation[]): readonly string[] {
    let missing: string[] | undefined;
    for (const operation of operations) {
      if (!this.needsRecord(operation)) continue;
      const key = this.missingFor(operation.name, operation.precondition);
      if (key !== undefined) (missing ??= []).push(key);
    }
    return missing ?? NOTHING;
  }

  missingForEffect(): readonly string[] {
    return NOTHING;
  }

  missingForQuery(query: KeyValueQuery): readonly string[] {
    let missing: string[] | undefined;
    switch (query.type) {
      case 'prefix':
        return NOTHING;
      case 'keys':
        for (const name of query.names) {
          const key = this.missingFor(name, 'any');
          if (key !== undefined) (missing ??= []).push(key);
        }
        return missing ?? NOTHING;
      case 'versions': {
        const key = this.missingFor(query.name, 'any');
        if (key !== undefined) return [key];
        for (const version of this.record(query.name)?.history ?? NO_HISTORY) {
          const earlier = versionKey(query.name, version);
          if (!this.cache.has(earlier)) (missing ??= []).push(earlier);
        }
        return missing ?? NOTHING;
      }
    }
  }

  admit(key: string, record: KeyValueRecord | undefined): void {
    if (key.startsWith(CHANGE_PREFIX)) return this.tombstones.admit(key, record as ChangeRecord | undefined);
    const cached = key.startsWith(KEY_PREFIX) ? key.slice(KEY_PREFIX.length) : key;
    if (!this.cache.has(cached)) this.cache.set(cached, record as KeyRecord | VersionRecord | undefined);
  }

  record(name: string): KeyRecord | undefined {
    return this.cache.get(name) as KeyRecord | undefined;
  }

  absentVersion(name: string): number {
    return this.record(name)?.version ?? this.deletions.version(name);
  }

  entryAt(name: string, version: number): KeyEntry | undefined {
    const record = this.record(name);
    if (record === undefined || version === 0) return undefined;
    if (record.version === version && !record.apart) return entry(name, record);
    // What is cached may have been removed since.
    if (record.version !== version && !record.history.includes(version)) return undefined;
    const earlier = this.cache.get(versionKey(name, version)) as VersionRecord | undefined;
    return earlier && entry(name, earlier);
  }

  // The branch protocol

  locks(operations: readonly KeyValueOperation[]): readonly LockWish[] {
    if (operations.length === 1) return [{ name: operations[0]!.name, exclusive: operations[0]!.type !== 'check' }];
    const wishes = new Map<string, boolean>();
    for (const { name, type } of operations) wishes.set(name, type !== 'check' || wishes.get(name) === true);
    return Array.from(wishes, ([name, exclusive]) => ({ name, exclusive }));
  }

  locksOf(effect: KeyValueEffect): readonly LockWish[] {
    return [
      ...effect.writes.map(({ name }) => ({ name, exclusive: true })),
      ...effect.reads.map((name) => ({ name, exclusive: false })),
    ];
  }

  awaited(query: KeyValueQuery): readonly string[] | string {
    switch (query.type) {
      case 'keys':
        return query.names;
      case 'prefix':
        return query.prefix;
      case 'versions':
        return [query.name];
    }
  }

  check(operations: readonly KeyValueOperation[]): Failure | undefined {
    if (operations.length > LIMITS.branchOperations) {
      return limitExceeded('a branch', operations.length, LIMITS.branchOperations, 'operations');
    }
    let bytes = 0;
    for (const operation of operations) {
      bytes += utf8Length(operation.name);
      if (operation.type !== 'put') continue;
      if (operation.value.length > LIMITS.valueBytes) {
        return limitExceeded('a value', operation.value.length, LIMITS.valueBytes, 'bytes');
      }
      bytes += operation.value.length + operation.contentType.length;
    }
    return bytes > LIMITS.branchBytes ? limitExceeded('a branch', bytes, LIMITS.branchBytes, 'bytes') : undefined;
  }

  evaluate(operations: readonly KeyValueOperation[]): Evaluation<KeyValueEffect> {
    const failure = this.check(operations);
    if (failure !== undefined) return { type: 'refusal', failure };
    return evaluateOperations(operations, this, this.settings);
  }

  changes(effect: KeyValueEffect): boolean {
    return effect.commitOperations > 0;
  }

  /** The locks are all that is held. */
  hold(): void {}

  drop(): void {}

  apply(effect: KeyValueEffect, revision: number, nowMs: number, _held: boolean, out: RecordOutput<KeyValueTypes>): void {
    for (const write of effect.writes) if (write.type !== 'none') this.write(write, revision, nowMs, out);
  }

  answer(query: KeyValueQuery): KeyValueAnswer {
    switch (query.type) {
      case 'prefix':
        return { entries: [] };
      case 'keys':
        return { entries: query.names.map((name) => this.current(name)) };
      case 'versions': {
        const entries = [this.current(query.name)];
        for (const version of this.record(query.name)?.history.toReversed() ?? NO_HISTORY) {
          const earlier = this.entryAt(query.name, version);
          if (earlier !== undefined) entries.push(earlier);
        }
        return { entries };
      }
    }
  }

  answerStaged(
    query: KeyValueQuery,
    staged: readonly KeyValueOperation[],
  ): { readonly answer: KeyValueAnswer; readonly checks: readonly KeyValueOperation[] } | { readonly failure: Failure } {
    if (query.type !== 'keys') return { answer: this.answer(query), checks: [] };
    const names = new Set(query.names);
    const keys = stageOperations(staged.filter(({ name }) => names.has(name)), this, this.settings);
    if (!(keys instanceof Map)) return { failure: keys };
    const entries: KeyEntry[] = [];
    const checks: KeyValueOperation[] = [];
    for (const name of query.names) {
      const committed = this.current(name);
      const key = keys.get(name);
      const written = key !== undefined && key.write !== 'none';
      entries.push(
        written ? { name, value: key.value, contentType: key.contentType, version: committed.version, updateMs: 0 } : committed,
      );
      checks.push({ type: 'check', name, precondition: committed.version });
    }
    return { answer: { entries }, checks };
  }

  // Sizes

  effectBytes(operations: readonly KeyValueOperation[]): number {
    const { historyLimit } = this.settings;
    const names = this.keepsVersions ? VERSIONED_NAMES : PLAIN_NAMES;
    let bytes = 0;
    for (const operation of operations) {
      const nameBytes = utf8Length(operation.name);
      if (operation.type !== 'put') bytes += writeBytes(nameBytes, names, 0, 0, historyLimit);
      else bytes += writeBytes(nameBytes, names, this.valueBound(operation), 255, historyLimit);
    }
    // What is larger is refused.
    return Math.min(bytes, LIMITS.commitBytes);
  }

  sizeOf(operations: readonly KeyValueOperation[]): number {
    let bytes = 0;
    for (const operation of operations) {
      bytes += 200 + 2 * operation.name.length + (operation.type === 'put' ? operation.value.length : 0);
    }
    return bytes;
  }

  applyCost(effect: KeyValueEffect): Cost {
    return { operations: effect.commitOperations, bytes: effect.commitBytes };
  }

  localCost(operations: readonly KeyValueOperation[]): Cost {
    const each = this.keepsVersions ? 3 : 1;
    return {
      operations: Math.min(each * operations.length, LIMITS.commitOperations),
      bytes: this.effectBytes(operations),
    };
  }

  // Upkeep

  get upkeepDue(): boolean {
    return this.changeLog.versioned && this.changeLog.dueThrough > this.changeLog.removedThrough;
  }

  missingForUpkeep(): readonly string[] {
    return this.tombstones.missing();
  }

  get upkeepCost(): Cost {
    return this.tombstones.cost;
  }

  upkeep(out: RecordOutput<KeyValueTypes>): void {
    this.tombstones.collect(out);
  }

  // Ending a batch

  seal(revision: number, nowMs: number, out: RecordOutput<KeyValueTypes>): void {
    this.changeLog.seal(revision, nowMs, (name) => this.current(name), out);
    this.cache.evict();
  }

  get sealCost(): Cost {
    return this.changeLog.sealCost;
  }

  durableState(): unknown {
    return this.changeLog.durableState();
  }

  private current(name: string): KeyEntry {
    const record = this.record(name);
    if (record === undefined || record.deleted) {
      return { name, value: undefined, contentType: '', version: this.absentVersion(name), updateMs: record?.updateMs ?? 0 };
    }
    return record.apart ? this.entryAt(name, record.version)! : entry(name, record);
  }

  /** A blind write need not know what is there, unless there may be versions to remove. */
  private needsRecord(operation: KeyValueOperation): boolean {
    if (operation.type !== 'put' || operation.precondition !== 'any') return true;
    if (operation.mergePolicy === 'jsonMergePatch' || operation.mergePolicy === 'jsonThreeWay') return true;
    return this.keepsVersions;
  }

  /** Whether a key may have versions that are kept. */
  private get keepsVersions(): boolean {
    return this.settings.historyLimit > 0 || this.changeLog.versioned;
  }

  private missingFor(name: string, precondition: KeyValueOperation['precondition']): string | undefined {
    if (!this.cache.has(name)) return recordKey(name);
    const record = this.record(name);
    if (record === undefined) return undefined;
    if (record.apart && !record.deleted) {
      const current = versionKey(name, record.version);
      if (!this.cache.has(current)) return current;
    }
    if (typeof precondition === 'number' && record.history.includes(precondition)) {
      const base = versionKey(name, precondition);
      if (!this.cache.has(base)) return base;
    }
    return undefined;
  }

  private valueBound(operation: KeyValueOperation & { readonly type: 'put' }): number {
    const { value, mergePolicy, name } = operation;
    if (mergePolicy === 'reject' || mergePolicy === 'lastWriterWins') return value.length;
    return MERGE_GROWTH * (value.length + (this.current(name).value?.length ?? 0));
  }

  private write(write: KeyWrite, revision: number, nowMs: number, out: RecordOutput<KeyValueTypes>): void {
    const { name, value, contentType, apart, history, drop } = write;
    const deleted = write.type === 'delete';
    this.changeLog.add({ name, version: revision, deleted });
    if (deleted) this.deletions.add(name, revision);
    if (drop !== undefined) {
      const [first, last] = drop;
      out.removeRange(versionKey(name, first), versionKey(name, last + 1));
    }
    if (apart) {
      this.changeLog.versioned = true;
      const version: VersionRecord = { type: 'version', version: revision, updateMs: nowMs, contentType, value };
      const key = versionKey(name, revision);
      this.cache.set(key, version);
      out.put(key, version);
    } else if (deleted) {
      this.cache.set(name, undefined);
      return out.remove(recordKey(name));
    }
    const inline = apart ? undefined : value;
    const record: KeyRecord = { type: 'key', version: revision, updateMs: nowMs, contentType, deleted, value: inline, apart, history };
    this.cache.set(name, record);
    out.put(recordKey(name), record);
  }
}

function entry(name: string, { value, contentType, version, updateMs }: KeyRecord | VersionRecord): KeyEntry {
  return { name, value, contentType, version, updateMs };
}

/** The key takes twice as many bytes as characters. */
function cachedBytes(key: string, record: KeyRecord | VersionRecord | undefined): number {
  return CACHED_BYTES + 2 * key.length + (record?.value?.length ?? 0);
}
