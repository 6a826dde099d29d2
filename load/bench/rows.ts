/** What the bench measures, and how it is shown. */

export interface Row {
  readonly workload: string;
  readonly store: string;
  readonly inFlight: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly storeWritesPerTransaction: number;
  readonly cpuMsPerTransaction: number;
  /** Of all server processes together, at the end. */
  readonly rssMiB: number;
}

const COLUMNS: readonly (readonly [string, (row: Row) => string])[] = [
  ['workload', (r) => r.workload],
  ['store', (r) => r.store],
  ['in flight', (r) => String(r.inFlight)],
  ['per second', (r) => Math.round(r.perSecond).toLocaleString('en-US')],
  ['p50 ms', (r) => r.p50Ms.toFixed(2)],
  ['p99 ms', (r) => r.p99Ms.toFixed(2)],
  ['p99.9 ms', (r) => r.p999Ms.toFixed(2)],
  ['writes/tx', (r) => r.storeWritesPerTransaction.toFixed(3)],
  ['CPU ms/tx', (r) => r.cpuMsPerTransaction.toFixed(3)],
  ['RSS MiB', (r) => String(Math.round(r.rssMiB))],
];

const widths = COLUMNS.map(([title], i) => (i === 0 ? 20 : Math.max(10, title.length)));

export function header(): string {
  return COLUMNS.map(([title], i) => (i < 2 ? title.padEnd(widths[i]!) : title.padStart(widths[i]!))).join('  ');
}

export function line(row: Row): string {
  return COLUMNS.map(([, cell], i) => (i < 2 ? cell(row).padEnd(widths[i]!) : cell(row).padStart(widths[i]!))).join('  ');
}

/** The value below which a share of the sorted samples lies. */
export function percentile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
}
