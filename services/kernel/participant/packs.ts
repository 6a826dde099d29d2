/**
 * Packs: the promises of one batch in one record, because a record for each is what a transaction costs
 * most. A pack is never written again. It goes, with its neighbours in one range, when every attempt in
 * it is below what is forgotten of its coordinator partition; a branch that still waits then has got a
 * record of its own before. So what a pack says of a forgotten attempt counts for nothing.
 */

import { compareAttempts, type Attempt } from '../attempt.ts';
import type { Cost } from '../kernel.ts';
import { preparedKey } from './keys.ts';
import type { PartitionState } from './state.ts';
import type { BranchRecord, PreparedRecord, ResourceTypes } from './types.ts';

/** Most ranges of packs that one step removes. */
export const PACK_RANGES_PER_STEP = 8;
/** A branch that writes more than this has a record of its own, which is removed when it ends. */
export const MOST_PACKED_BYTES = 4096;
/** A pack ends when the bounds of its branches add up to this. */
const PACK_BYTES = 256 * 1024;
/** A pack's key and framing. */
const PACK_BASE_BYTES = 160;

/** One stored pack. */
interface Pack {
  readonly sequence: number;
  /** The highest attempt in it, of each coordinator partition. */
  readonly highest: Map<number, Attempt>;
}

export class Packs<T extends ResourceTypes> {
  private readonly state: PartitionState<T>;
  private nextSequence = 1;
  private stored: Pack[] = [];
  /** Of the batch under way; the last one may take more. */
  private batch: BranchRecord<T['effect']>[][] = [];
  private lastBytes = 0;
  private overdue = false;
  /** This term has stored its progress. */
  private announced = false;

  constructor(state: PartitionState<T>) {
    this.state = state;
  }

  recover({ sequence, branches }: PreparedRecord<T['effect']>): void {
    this.remember(sequence, branches);
  }

  /** @param bytes upper bound of the encoded record */
  add(record: BranchRecord<T['effect']>, bytes: number): void {
    let pack = this.batch.at(-1);
    if (pack === undefined || this.lastBytes + bytes > PACK_BYTES) {
      this.batch.push((pack = []));
      this.lastBytes = 0;
    }
    pack.push(record);
    this.lastBytes += bytes;
  }

  /** Ends a batch. */
  seal(): void {
    if (this.batch.length === 0) return;
    // A version that knows no packs must not lead over them: it refuses the format of the progress.
    if (!this.announced) this.announced = this.state.progressChanged = true;
    for (const branches of this.batch) {
      const sequence = this.nextSequence;
      this.state.out.put(preparedKey(sequence), { type: 'prepared', sequence, branches });
      this.remember(sequence, branches);
    }
    this.batch = [];
  }

  /** Upper bound of what {@link seal} writes after one more step, beyond the branches themselves. */
  get sealCost(): Cost {
    const packs = this.batch.length + 1;
    return { operations: packs, bytes: packs * PACK_BASE_BYTES };
  }

  /** Whether {@link forget} has left something to do. */
  get due(): boolean {
    return this.overdue;
  }

  /** Removes packs of which every attempt is forgotten, a bounded part at a time. */
  forget(isForgotten: (coordinatorPartition: number, attempt: Attempt) => boolean): void {
    const kept: Pack[] = [];
    let ranges = 0;
    let first = 0;
    let next = 0;
    this.overdue = false;
    const remove = (): void => {
      if (next > first) this.state.out.removeRange(preparedKey(first), preparedKey(next));
    };
    for (const pack of this.stored) {
      const forgotten = [...pack.highest].every(([partition, attempt]) => isForgotten(partition, attempt));
      if (!forgotten) kept.push(pack);
      else if (pack.sequence === next) next++;
      else if (ranges === PACK_RANGES_PER_STEP) {
        kept.push(pack);
        this.overdue = true;
      } else {
        remove();
        ranges++;
        first = pack.sequence;
        next = first + 1;
      }
    }
    remove();
    this.stored = kept;
  }

  private remember(sequence: number, branches: readonly BranchRecord<T['effect']>[]): void {
    const highest = new Map<number, Attempt>();
    for (const { coordinatorPartition, attempt } of branches) {
      const known = highest.get(coordinatorPartition);
      if (known === undefined || compareAttempts(attempt, known) > 0) highest.set(coordinatorPartition, attempt);
    }
    this.stored.push({ sequence, highest });
    this.nextSequence = sequence + 1;
  }
}
