/**
 * What is acknowledged becomes durable in one record per batch, whatever the number of subscriptions,
 * and is folded into blocks of bits from time to time, a bounded part at a time (invariant Q4).
 */

import type { Cost } from '../kernel.ts';
import type { RecordOutput } from '../participant/resource.ts';
import { AckSet, type PendingAcks } from './ack-set.ts';
import { acksKey, blockKey, cursorKey, parseBlockKey, ACKS_PREFIX, CURSOR_PREFIX } from './keys.ts';
import { blockOf, PositionSet, toRanges } from './positions.ts';
import type { AckGroup, AcksRecord, BlockRecord, CursorRecord, QueueTypes } from './types.ts';

type Out = RecordOutput<QueueTypes>;

/** The log is folded when it has so many records. */
const FOLD_AT = 64;
/** Most blocks and cursors that one step of a fold writes. */
const FOLD_PUTS = 32;
/** A block's record with its key; a cursor's with its delivery counts. */
const BLOCK_BYTES = 1400;
const CURSOR_ATTEMPTS = 10_000;
const CURSOR_BYTES = 400;
/** Of a group without its positions, of each position, and of each delivery count. */
export const GROUP_BYTES = 220;
export const POSITION_BYTES = 9;
export const ATTEMPT_BYTES = 12;

/** One pass over everything that the log has touched. */
interface Fold {
  /** The last record that it covers. */
  readonly through: number;
  readonly sets: { readonly set: AckSet; readonly generation: number; readonly blocks: number[]; longestMs: number }[];
}

export class AckLog {
  private readonly sets = new Map<string, AckSet>();
  private first = 1;
  private next = 1;
  private fold: Fold | undefined;
  private open: { readonly sequence: number; readonly groups: AckGroup[]; readonly touched: Set<AckSet> } | undefined;

  // Recovery

  recoverCursor(key: string, { generation, floor, deliveredThrough, longestDeadlineMs, attempts }: CursorRecord): void {
    const set = new AckSet(key.slice(CURSOR_PREFIX.length), generation, floor, true);
    set.delivered = new PositionSet(deliveredThrough);
    set.longestDeadlineMs = set.longestSinceFoldMs = longestDeadlineMs;
    for (let i = 0; i < attempts.length; i += 2) set.attempts.set(attempts[i]!, attempts[i + 1]!);
    this.sets.set(set.owner, set);
  }

  recoverBlock(key: string, { acknowledged, delivered }: BlockRecord): void {
    const { owner, generation, block } = parseBlockKey(key);
    const set = this.sets.get(owner);
    if (set === undefined || set.generation !== generation) return;
    set.stored.add(block);
    set.acknowledged.addBits(block, acknowledged);
    if (delivered !== undefined) set.delivered?.addBits(block, delivered);
  }

  recoverAcks(key: string, { groups }: AcksRecord): void {
    const sequence = parseInt(key.slice(ACKS_PREFIX.length), 16);
    if (this.next === 1) this.first = sequence;
    this.next = sequence + 1;
    for (const { owner, generation, acknowledged, delivered, attempts, longestDeadlineMs } of groups) {
      const set = this.sets.get(owner);
      if (set === undefined || set.generation !== generation) continue;
      for (let i = 0; i < acknowledged.length; i += 2) {
        set.acknowledged.addRange(acknowledged[i]!, acknowledged[i + 1]!);
        markDirty(set, acknowledged[i]!, acknowledged[i + 1]!);
      }
      for (let i = 0; i < delivered.length; i += 2) {
        set.delivered?.addRange(delivered[i]!, delivered[i + 1]!);
        markDirty(set, delivered[i]!, delivered[i + 1]!);
      }
      for (let i = 0; i < attempts.length; i += 2) {
        set.attempts.set(attempts[i]!, attempts[i + 1]!);
        set.dirty.add(blockOf(attempts[i]!));
      }
      set.longestDeadlineMs = set.longestSinceFoldMs = Math.max(set.longestDeadlineMs, longestDeadlineMs);
    }
  }

  /** The set as it was recovered; undefined: there was none. */
  recovered(owner: string): AckSet | undefined {
    const set = this.sets.get(owner);
    for (const position of set?.attempts.keys() ?? []) if (set!.has(position)) set!.attempts.delete(position);
    return set;
  }

  // Sets

  /** A new set. @param out undefined: nothing of it is recorded */
  create(owner: string, generation: number, floor: number, out: Out | undefined): AckSet {
    const set = new AckSet(owner, generation, floor, out !== undefined);
    this.sets.set(owner, set);
    out?.put(cursorKey(owner), cursorOf(set, 0));
    return set;
  }

  /** The set begins anew: everything up to the floor, and the ranges above it. */
  reset(set: AckSet, generation: number, floor: number, ranges: readonly number[], out: Out): void {
    this.forgetPending(set);
    if (set.durable) this.removeBlocks(set, Infinity, out);
    set.generation = generation;
    set.acknowledged = new PositionSet(floor);
    if (set.delivered !== undefined) set.delivered = new PositionSet(floor);
    set.attempts = new Map();
    set.dirty = new Set();
    set.longestDeadlineMs = set.longestSinceFoldMs = 0;
    if (set.durable) out.put(cursorKey(set.owner), cursorOf(set, 0));
    if (ranges.length > 0) this.addRanges(set, ranges, out);
  }

  /** The set ends with its owner. */
  drop(set: AckSet, out: Out): void {
    this.forgetPending(set);
    set.gone = true;
    this.sets.delete(set.owner);
    if (!set.durable) return;
    this.removeBlocks(set, Infinity, out);
    out.remove(cursorKey(set.owner));
  }

  // Positions

  /** False: it was in the set before. */
  add(set: AckSet, position: number, out: Out): boolean {
    if (!set.acknowledged.add(position)) return false;
    if (set.attempts.size > 0) set.attempts.delete(position);
    if (set.durable) {
      this.touch(set, out).acknowledged.push(position);
      set.dirty.add(blockOf(position));
    }
    return true;
  }

  addRanges(set: AckSet, ranges: readonly number[], out: Out): void {
    for (let i = 0; i < ranges.length; i += 2) {
      set.acknowledged.addRange(ranges[i]!, ranges[i + 1]!);
      if (set.durable) markDirty(set, ranges[i]!, ranges[i + 1]!);
    }
    for (const position of set.attempts.keys()) if (set.has(position)) set.attempts.delete(position);
    if (!set.durable) return;
    this.touch(set, out);
    const group = { delivered: [], attempts: [], longestDeadlineMs: 0, acknowledged: [...ranges] };
    this.open!.groups.push({ owner: set.owner, generation: set.generation, ...group });
  }

  /** An exactly-once delivery, durable before it leaves. */
  deliver(set: AckSet, position: number, deadlineMs: number, out: Out): void {
    set.delivered?.add(position);
    set.longestDeadlineMs = Math.max(set.longestDeadlineMs, deadlineMs);
    set.longestSinceFoldMs = Math.max(set.longestSinceFoldMs, deadlineMs);
    if (!set.durable) return;
    const pending = this.touch(set, out);
    pending.delivered.push(position);
    pending.longestDeadlineMs = Math.max(pending.longestDeadlineMs, deadlineMs);
    set.dirty.add(blockOf(position));
  }

  /** A delivery that was not the first one. Beyond a bound, counts are not recorded. */
  countAttempt(set: AckSet, position: number, attempt: number, out: Out): void {
    if (set.attempts.size >= CURSOR_ATTEMPTS && !set.attempts.has(position)) return;
    set.attempts.set(position, attempt);
    if (!set.durable) return;
    this.touch(set, out).attempts.push(position, attempt);
    set.dirty.add(blockOf(position));
  }

  // Ending a batch

  /** Whether a record of this batch is there already. */
  get isOpen(): boolean {
    return this.open !== undefined;
  }

  seal(): void {
    if (this.open === undefined) return;
    const { groups, touched } = this.open;
    for (const set of touched) {
      const { acknowledged, delivered, attempts, longestDeadlineMs } = set.pending!;
      set.pending = undefined;
      if (acknowledged.length === 0 && delivered.length === 0 && attempts.length === 0 && longestDeadlineMs === 0) continue;
      groups.push({
        owner: set.owner,
        generation: set.generation,
        acknowledged: toRanges(acknowledged),
        delivered: toRanges(delivered),
        attempts,
        longestDeadlineMs,
      });
    }
    this.open = undefined;
  }

  // Folding

  get foldDue(): boolean {
    return this.fold !== undefined || this.next - this.first >= FOLD_AT;
  }

  readonly foldCost: Cost = {
    operations: 2 * FOLD_PUTS + 1,
    bytes: FOLD_PUTS * (BLOCK_BYTES + CURSOR_BYTES) + 2 * CURSOR_ATTEMPTS * ATTEMPT_BYTES,
  };

  /** One step. The record of the batch under way is not covered, because it may still grow. */
  foldStep(out: Out): void {
    if (!this.foldDue) return;
    const fold = (this.fold ??= this.begin());
    for (let puts = 0; fold.sets.length > 0 && puts < FOLD_PUTS; puts++) {
      const { set, generation, blocks, longestMs } = fold.sets.at(-1)!;
      if (set.gone || set.generation !== generation) {
        fold.sets.pop();
        continue;
      }
      const block = blocks.pop();
      if (block !== undefined) {
        this.putBlock(set, block, out);
        continue;
      }
      if (set.delivered !== undefined) set.delivered.raise(set.acknowledged.floor);
      out.put(cursorKey(set.owner), cursorOf(set, longestMs));
      this.removeBlocks(set, blockOf(set.acknowledged.floor + 1), out);
      set.longestDeadlineMs = Math.max(longestMs, set.longestSinceFoldMs);
      fold.sets.pop();
      // Its delivery counts may fill the step.
      if (set.attempts.size > CURSOR_ATTEMPTS / FOLD_PUTS) return;
    }
    if (fold.sets.length > 0) return;
    this.fold = undefined;
    out.removeRange(acksKey(this.first), acksKey(fold.through + 1));
    this.first = fold.through + 1;
  }

  durableState(): unknown {
    return [...this.sets.values()]
      .filter(({ durable }) => durable)
      .map((set) => set.durableState())
      .sort((a, b) => ((a as { owner: string }).owner < (b as { owner: string }).owner ? -1 : 1));
  }

  private begin(): Fold {
    const sets: Fold['sets'] = [];
    for (const set of this.sets.values()) {
      if (set.dirty.size === 0) continue;
      const longestMs = set.longestOutstandingMs?.() ?? 0;
      sets.push({ set, generation: set.generation, blocks: [...set.dirty], longestMs });
      set.dirty = new Set();
      set.longestSinceFoldMs = set.pending?.longestDeadlineMs ?? 0;
    }
    return { through: (this.open?.sequence ?? this.next) - 1, sets };
  }

  private putBlock(set: AckSet, block: number, out: Out): void {
    if (block < blockOf(set.acknowledged.floor + 1)) return;
    const acknowledged = set.acknowledged.bitsOf(block);
    const delivered = set.delivered?.bitsOf(block);
    if (acknowledged === undefined && delivered === undefined) return;
    set.stored.add(block);
    const record = { type: 'block', acknowledged: acknowledged ?? new Uint8Array(0), ...(delivered && { delivered }) } as const;
    out.put(blockKey(set.owner, set.generation, block), record);
  }

  /** Removes the records of blocks below one. */
  private removeBlocks(set: AckSet, before: number, out: Out): void {
    let lowest = Infinity;
    for (const block of set.stored) {
      if (block >= before) continue;
      set.stored.delete(block);
      lowest = Math.min(lowest, block);
    }
    if (lowest === Infinity) return;
    const { owner, generation } = set;
    out.removeRange(blockKey(owner, generation, lowest), before === Infinity ? blockKey(owner, generation + 1, 0) : blockKey(owner, generation, before));
  }

  private touch(set: AckSet, out: Out): PendingAcks {
    if (set.pending !== undefined) return set.pending;
    if (this.open === undefined) {
      const groups: AckGroup[] = [];
      this.open = { sequence: this.next, groups, touched: new Set() };
      // It is filled when the batch is sealed.
      out.put(acksKey(this.next++), { type: 'acks', groups });
    }
    this.open.touched.add(set);
    return (set.pending = { acknowledged: [], delivered: [], attempts: [], longestDeadlineMs: 0 });
  }

  private forgetPending(set: AckSet): void {
    set.pending = undefined;
    this.open?.touched.delete(set);
  }
}

function markDirty(set: AckSet, first: number, last: number): void {
  for (let block = blockOf(first); block <= blockOf(last); block++) set.dirty.add(block);
}

function cursorOf(set: AckSet, longestDeadlineMs: number): CursorRecord {
  const attempts: number[] = [];
  for (const [position, attempt] of set.attempts) {
    if (attempts.length >= 2 * CURSOR_ATTEMPTS) break;
    attempts.push(position, attempt);
  }
  const { generation, acknowledged, delivered } = set;
  return {
    type: 'cursor',
    generation,
    floor: acknowledged.floor,
    deliveredThrough: delivered?.floor ?? 0,
    longestDeadlineMs,
    attempts,
  };
}
