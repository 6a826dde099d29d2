/** Which messages of a topic somebody is done with: a subscription, a snapshot, or the topic itself. */

import { PositionSet } from './positions.ts';

/** What the batch under way has added. */
export interface PendingAcks {
  readonly acknowledged: number[];
  readonly delivered: number[];
  readonly attempts: number[];
  longestDeadlineMs: number;
}

export class AckSet {
  /** `s/<subscription>`, `n/<snapshot>` or `t/<topic>`. */
  readonly owner: string;
  /** Of a memory topic nothing is recorded. */
  readonly durable: boolean;
  generation: number;
  acknowledged: PositionSet;
  /** Of exactly-once deliveries: what was delivered, in this term or before. */
  delivered: PositionSet | undefined;
  /** Delivery counts above 1 that are recorded. */
  attempts = new Map<number, number>();
  /** The longest deadline of a recorded delivery, milliseconds. */
  longestDeadlineMs = 0;
  /** The same, of those that the next fold does not cover. */
  longestSinceFoldMs = 0;
  /** The longest deadline of what is out now; of exactly-once deliveries. */
  longestOutstandingMs: (() => number) | undefined;
  /** Blocks that changed since they were folded. */
  dirty = new Set<number>();
  /** Blocks that have a record. */
  stored = new Set<number>();
  pending: PendingAcks | undefined;
  gone = false;

  constructor(owner: string, generation: number, floor: number, durable: boolean) {
    this.owner = owner;
    this.generation = generation;
    this.acknowledged = new PositionSet(floor);
    this.durable = durable;
  }

  has(position: number): boolean {
    return this.acknowledged.has(position);
  }

  /** How many up to `last` are not in the set. */
  missingThrough(last: number): number {
    return Math.max(0, last - this.acknowledged.floor) - this.acknowledged.above;
  }

  durableState(): unknown {
    const { owner, generation, acknowledged, delivered, attempts, longestDeadlineMs } = this;
    const open: number[] = [];
    if (delivered !== undefined) {
      const ranges = delivered.ranges();
      if (delivered.floor > acknowledged.floor) ranges.unshift(acknowledged.floor + 1, delivered.floor);
      for (let i = 0; i < ranges.length; i += 2) {
        for (let position = ranges[i]!; position <= ranges[i + 1]!; position++) if (!this.has(position)) open.push(position);
      }
    }
    return {
      owner,
      generation,
      floor: acknowledged.floor,
      ranges: acknowledged.ranges(),
      delivered: open,
      attempts: [...attempts].sort(([a], [b]) => a - b),
      longestDeadlineMs: delivered === undefined ? 0 : longestDeadlineMs,
    };
  }
}
