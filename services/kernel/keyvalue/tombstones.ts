/**
 * Where versions are kept, a deleted key leaves a record of its deletion and of earlier versions. They
 * are collected, bounded per step, together with the change that tells of the deletion: the log of
 * changes is read again, oldest first, and its part that is through is removed.
 */

import type { Cost } from '../kernel.ts';
import type { RecordOutput } from '../participant/resource.ts';
import type { ChangeLog } from './changes.ts';
import { changeKey, recordKey, versionKey } from './keys.ts';
import { MAX_HISTORY, type ChangeRecord, type KeyRecord, type KeyValueTypes } from './types.ts';

/** Revisions whose change records are read at a time; many have none. */
const REVISIONS = 64;
/** Deletions that one step looks at. */
const DELETIONS = 64;
/** Most operations of a step: one key's record with all of its versions always fits, and one range. */
const OPERATIONS = MAX_HISTORY + 2;
/** Of the longest key with its prefixes. */
const KEY_BYTES = 1200;

/** The key records in memory, kept there by whoever owns them. */
export interface KeyRecords {
  has(name: string): boolean;
  record(name: string): KeyRecord | undefined;
  /** The key is absent from now on, its versions too. */
  forget(name: string, versions: readonly string[]): void;
}

export class Tombstones {
  readonly cost: Cost = { operations: OPERATIONS + 1, bytes: (OPERATIONS + 2) * KEY_BYTES };
  private readonly log: ChangeLog;
  private readonly keys: KeyRecords;
  private readonly loaded = new Map<number, ChangeRecord | undefined>();
  /** How many changes of the oldest record are through. */
  private started = { revision: 0, changes: 0 };

  constructor(log: ChangeLog, keys: KeyRecords) {
    this.log = log;
    this.keys = keys;
  }

  /** Change records first; then the records of the keys that they say were deleted. */
  missing(): readonly string[] {
    const revisions = this.revisions().filter((revision) => !this.loaded.has(revision));
    if (revisions.length > 0) return revisions.map(changeKey);
    const names = new Set<string>();
    let deletions = 0;
    for (const revision of this.revisions()) {
      for (const { name, deleted } of this.changesFrom(revision)) {
        if (!deleted) continue;
        if (!this.keys.has(name)) names.add(name);
        if (++deletions === DELETIONS) return Array.from(names, recordKey);
      }
    }
    return Array.from(names, recordKey);
  }

  admit(key: string, record: ChangeRecord | undefined): void {
    const revision = this.revisions().find((each) => changeKey(each) === key);
    if (revision !== undefined) this.loaded.set(revision, record);
  }

  collect(out: RecordOutput<KeyValueTypes>): void {
    let through = this.log.removedThrough;
    let [deletions, operations] = [0, 0];
    for (const revision of this.revisions()) {
      let changes = this.started.revision === revision ? this.started.changes : 0;
      let full = false;
      for (const change of this.changesFrom(revision)) {
        const tombstone = change.deleted ? this.keys.record(change.name) : undefined;
        if (tombstone?.deleted === true && tombstone.version === change.version) {
          const versions = [...tombstone.history, tombstone.version].map((version) => versionKey(change.name, version));
          full = operations + versions.length + 1 > OPERATIONS;
          if (full) break;
          operations += versions.length + 1;
          out.remove(recordKey(change.name));
          for (const version of versions) out.remove(version);
          this.keys.forget(change.name, versions);
        }
        changes++;
        full = change.deleted && ++deletions === DELETIONS;
        if (full) break;
      }
      if (full) {
        this.started = { revision, changes };
        break;
      }
      this.loaded.delete(revision);
      through = revision;
    }
    this.log.removeThrough(through, out);
  }

  private revisions(): number[] {
    const { removedThrough, dueThrough } = this.log;
    return Array.from({ length: Math.max(0, Math.min(REVISIONS, dueThrough - removedThrough)) }, (_, i) => removedThrough + 1 + i);
  }

  private changesFrom(revision: number): ChangeRecord['changes'] {
    const changes = this.loaded.get(revision)?.changes ?? [];
    return this.started.revision === revision ? changes.slice(this.started.changes) : changes;
  }
}
