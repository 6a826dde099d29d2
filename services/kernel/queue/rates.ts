/** How often something happens: counted in buckets of some seconds, averaged over the last minute. */

const BUCKET_MS = 5_000;
const BUCKETS = 12;

export class Rate {
  private readonly counts = Array.from({ length: BUCKETS }, () => 0);
  /** Number of the newest bucket since 1970. */
  private newest = 0;
  private startMs = 0;

  add(count: number, nowMs: number): void {
    if (this.startMs === 0) this.startMs = nowMs;
    this.turn(nowMs);
    this.counts[this.newest % BUCKETS]! += count;
  }

  /** Each second, over the last minute or since the first. */
  perSecond(nowMs: number): number {
    if (this.startMs === 0) return 0;
    this.turn(nowMs);
    let sum = 0;
    for (const count of this.counts) sum += count;
    const overMs = Math.max(BUCKET_MS, Math.min(BUCKETS * BUCKET_MS, nowMs - this.startMs));
    return (sum * 1000) / overMs;
  }

  private turn(nowMs: number): void {
    const bucket = Math.max(this.newest, Math.floor(nowMs / BUCKET_MS));
    const steps = Math.min(BUCKETS, bucket - this.newest);
    for (let i = 1; i <= steps; i++) this.counts[(this.newest + i) % BUCKETS] = 0;
    if (steps === BUCKETS) this.counts.fill(0);
    this.newest = bucket;
  }
}
