/**
 * How fast a counter changes: sums by second, minute and hour, as many as the windows need. What is
 * set back and added again may sum up beyond 64 bits, and is then told as their end.
 */

import { clamped } from './int64.ts';
import type { RateBucket, RatesRecord, RateWindow } from './types.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Number and length of the buckets of each window. */
const WINDOWS = [
  { unitMs: SECOND_MS, count: 60 },
  { unitMs: MINUTE_MS, count: 60 },
  { unitMs: HOUR_MS, count: 24 },
] as const;

interface Bucket extends RateBucket {
  added: bigint;
  adds: number;
}

/** Sparse: only buckets in which something was added. */
export class Rates {
  private readonly windows: [Bucket[], Bucket[], Bucket[]];

  constructor(record?: RatesRecord) {
    const copy = (buckets: readonly RateBucket[] = []): Bucket[] => buckets.map((bucket) => ({ ...bucket }));
    this.windows = [copy(record?.seconds), copy(record?.minutes), copy(record?.hours)];
  }

  get bucketCount(): number {
    const [seconds, minutes, hours] = this.windows;
    return seconds.length + minutes.length + hours.length;
  }

  /** A clock that was set back adds to the newest bucket. */
  add(amount: bigint, adds: number, nowMs: number): void {
    for (let i = 0; i < WINDOWS.length; i++) {
      const { unitMs, count } = WINDOWS[i]!;
      const buckets = this.windows[i]!;
      const start = Math.floor(nowMs / unitMs);
      const last = buckets.at(-1);
      if (last !== undefined && last.start >= start) {
        last.added = clamped(last.added + amount);
        last.adds += adds;
        continue;
      }
      let old = 0;
      while (old < buckets.length && buckets[old]!.start <= start - count) old++;
      if (old > 0) buckets.splice(0, old);
      buckets.push({ start, added: clamped(amount), adds });
    }
  }

  /** Of the last minute, hour and day. */
  read(nowMs: number): RateWindow[] {
    return WINDOWS.map(({ unitMs, count }, i) => {
      const after = Math.floor(nowMs / unitMs) - count;
      let added = 0n;
      let adds = 0;
      for (const bucket of this.windows[i]!) {
        if (bucket.start <= after) continue;
        added += bucket.added;
        adds += bucket.adds;
      }
      return { windowMs: unitMs * count, added: clamped(added), adds };
    });
  }

  /** A copy; what does not change any more is shared. */
  toRecord(): RatesRecord {
    const [seconds, minutes, hours] = this.windows;
    return { seconds: copyOf(seconds), minutes: copyOf(minutes), hours: copyOf(hours) };
  }
}

function copyOf(buckets: readonly RateBucket[]): RateBucket[] {
  const copy = buckets.slice();
  const last = copy.pop();
  if (last !== undefined) copy.push({ ...last });
  return copy;
}
