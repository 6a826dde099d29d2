/** How long things took, and the figures that rows show of it. */

/** The value below which a share of the sorted samples lies. */
export function percentile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
}

export interface Quantiles {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

/** Samples in milliseconds; those beyond the bound are counted, not kept. */
export class Latencies {
  count = 0;
  private readonly samples: Float64Array;

  constructor(bound = 5_000_000) {
    this.samples = new Float64Array(bound);
  }

  add(latencyMs: number): void {
    if (this.count < this.samples.length) this.samples[this.count] = latencyMs;
    this.count++;
  }

  quantiles(): Quantiles {
    const sorted = this.samples.subarray(0, this.count).slice().sort();
    return { p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99), p999Ms: percentile(sorted, 0.999) };
  }
}
