/**
 * What changed, for watchers: events as batches become durable, and a log in the store from which a
 * watcher that was away is served. The log is bounded by age and count.
 */

import type { Cost } from '../kernel.ts';
import type { RecordOutput } from '../participant/resource.ts';
import { changeKey, KEPT_KEY } from './keys.ts';
import type { KeptRecord, KeyChange, KeyEntry, KeyValueSettings, KeyValueTypes } from './types.ts';

/** How often the oldest part of the log is removed at most, milliseconds. */
const TRIM_EVERY_MS = 1000;

export class ChangeLog {
  watched = false;
  private readonly settings: KeyValueSettings;
  private batch: KeyChange[] = [];
  private changesThrough: number;
  /** As far as the log is removed from the store; a cluster that was restored keeps a rest below its numbers. */
  private emptyThrough = 0;
  private due = 0;
  private hadVersions = false;
  private changed = false;
  /** Where the revision stood at times, oldest first: what to keep by age. Begins anew with every term. */
  private milestones: { readonly atMs: number; readonly revision: number }[] = [];

  constructor(settings: KeyValueSettings) {
    this.settings = settings;
    this.changesThrough = settings.numbersAbove;
  }

  recover(record: KeptRecord): void {
    this.emptyThrough = record.changesThrough;
    this.changesThrough = Math.max(record.changesThrough, this.settings.numbersAbove);
    this.hadVersions = record.versioned;
  }

  /** Versions are or were kept at this partition. */
  get versioned(): boolean {
    return this.hadVersions;
  }

  set versioned(versioned: boolean) {
    if (versioned && !this.hadVersions) this.hadVersions = this.changed = true;
  }

  /** The highest revision whose changes are removed. */
  get removedThrough(): number {
    return this.changesThrough;
  }

  /** The highest one whose changes need not be kept; where versions are kept, tombstones.ts removes them. */
  get dueThrough(): number {
    return this.due;
  }

  add(change: KeyChange): void {
    this.batch.push(change);
  }

  seal(revision: number, nowMs: number, current: (name: string) => KeyEntry, out: RecordOutput<KeyValueTypes>): void {
    if (this.batch.length > 0) {
      out.put(changeKey(revision), { type: 'change', changes: this.batch });
      if (this.watched) {
        // Of a key that changed twice in a batch, only the last value was ever visible.
        const names = new Set(this.batch.map(({ name }) => name));
        const entries = Array.from(names, (name) => ({ ...current(name), version: this.lastVersion(name) }));
        out.emit({ type: 'changes', revision, entries });
      }
      this.batch = [];
      this.trim(revision, nowMs, out);
    }
    if (this.changed) {
      this.changed = false;
      out.put(KEPT_KEY, { type: 'kept', changesThrough: this.changesThrough, versioned: this.hadVersions });
    }
  }

  /** The change record, the record of what is kept, and one range. */
  readonly sealCost: Cost = { operations: 3, bytes: 512 };

  durableState(): unknown {
    return { changesThrough: this.changesThrough, versioned: this.hadVersions };
  }

  private lastVersion(name: string): number {
    return this.batch.findLast((change) => change.name === name)!.version;
  }

  private trim(revision: number, nowMs: number, out: RecordOutput<KeyValueTypes>): void {
    const { changeRetentionMs, changeRetentionCount } = this.settings;
    const last = this.milestones.at(-1);
    if (last !== undefined && nowMs >= last.atMs && nowMs < last.atMs + TRIM_EVERY_MS) return;
    this.milestones.push({ atMs: nowMs, revision: revision - 1 });
    let through = Math.max(this.changesThrough, revision - changeRetentionCount);
    let old = 0;
    while (old < this.milestones.length && this.milestones[old]!.atMs < nowMs - changeRetentionMs) {
      through = Math.max(through, this.milestones[old++]!.revision);
    }
    if (old > 0) this.milestones.splice(0, old);
    // Not what was changed in this batch: its record has just been put.
    through = Math.min(through, revision - 1);
    this.due = Math.max(this.due, through);
    if (!this.hadVersions) this.removeThrough(through, out);
  }

  removeThrough(through: number, out: RecordOutput<KeyValueTypes>): void {
    if (through <= this.changesThrough) return;
    out.removeRange(changeKey(this.emptyThrough + 1), changeKey(through + 1));
    this.changesThrough = this.emptyThrough = through;
    this.changed = true;
  }
}
