/** Shorter ones are no gaps in service. */
const GAP_MS = 500;

/** How one kind of work goes on, looked at now and then. */
export class Progress {
  readonly name: string;
  /** How much is done. */
  readonly count: () => number;
  private lastCount: number;
  private lastMs = performance.now();
  private longestMs = 0;

  constructor(name: string, count: () => number) {
    this.name = name;
    this.count = count;
    this.lastCount = count();
  }

  /** The length of a gap in service that has just ended, in milliseconds. */
  look(nowMs: number): number | undefined {
    const count = this.count();
    if (count === this.lastCount) return undefined;
    const lengthMs = Math.round(nowMs - this.lastMs);
    this.longestMs = Math.max(this.longestMs, lengthMs);
    this.lastCount = count;
    this.lastMs = nowMs;
    return lengthMs > GAP_MS ? lengthMs : undefined;
  }

  /** So far, with the one that lasts. */
  longestGapMs(nowMs: number): number {
    return Math.max(this.longestMs, Math.round(nowMs - this.lastMs));
  }
}
