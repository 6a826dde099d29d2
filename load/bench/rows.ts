/** What the bench measures, and how it is shown. */

export interface Row {
  readonly workload: string;
  readonly store: string;
  /** Of queue rows: producers, and as many consumers. Of a backlog: messages. */
  readonly inFlight: number;
  readonly perSecond: number;
  /** Of queue rows: from publishing a message until it is delivered. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** A message or an add counts as a transaction here. */
  readonly storeWritesPerTransaction: number;
  readonly cpuMsPerTransaction: number;
  /** Of all server processes together, at the end. */
  readonly rssMiB: number;
  /** Of queue rows: from publishing a message until that is answered, the median. */
  readonly publishP50Ms?: number;
  /** Of a backlog: growth of the server's memory for each message, all of it, in bytes. */
  readonly bytesPerMessage?: number;
  /** Of a backlog: the part of it that is on the heap or belongs to something there. */
  readonly heapBytesPerMessage?: number;
  /** Of a backlog: from starting the process again after kill -9 until the first message is delivered. */
  readonly restartSeconds?: number;
  /** Of a backlog: messages a second, taken and acknowledged after that. */
  readonly drainedPerSecond?: number;
}

const fixed = (value: number | undefined, digits: number): string => (value === undefined || Number.isNaN(value) ? '' : value.toFixed(digits));

const COLUMNS: readonly (readonly [string, (row: Row) => string])[] = [
  ['workload', (r) => r.workload],
  ['store', (r) => r.store],
  ['in flight', (r) => String(r.inFlight)],
  ['per second', (r) => Math.round(r.perSecond).toLocaleString('en-US')],
  ['p50 ms', (r) => fixed(r.p50Ms, 2)],
  ['p99 ms', (r) => fixed(r.p99Ms, 2)],
  ['p99.9 ms', (r) => fixed(r.p999Ms, 2)],
  ['publish ms', (r) => fixed(r.publishP50Ms, 2)],
  ['writes/tx', (r) => fixed(r.storeWritesPerTransaction, 3)],
  ['CPU ms/tx', (r) => fixed(r.cpuMsPerTransaction, 3)],
  ['RSS MiB', (r) => fixed(r.rssMiB, 0)],
];

const widths = COLUMNS.map(([title], i) => (i === 0 ? 20 : Math.max(10, title.length)));
const cells = (texts: readonly string[]): string => texts.map((text, i) => (i < 2 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join('  ').trimEnd();

export function header(): string {
  return cells(COLUMNS.map(([title]) => title));
}

export function line(row: Row): string {
  return cells(COLUMNS.map(([, cell]) => cell(row)));
}

/** What a backlog's row says beyond the table. */
export function remarks({ bytesPerMessage, heapBytesPerMessage, restartSeconds, drainedPerSecond }: Row): string[] {
  if (bytesPerMessage === undefined) return [];
  return [
    `  memory for each waiting message ${fixed(bytesPerMessage, 0)} bytes, ${fixed(heapBytesPerMessage, 0)} of them on the heap; ` +
      `first delivery ${fixed(restartSeconds, 1)} s after the process was started again; then taken at ${fixed(drainedPerSecond, 0)}/s`,
  ];
}
