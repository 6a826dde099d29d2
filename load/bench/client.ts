/**
 * The load: a process of its own that keeps a number of transactions in flight through the SDK, and
 * reports what it saw. Each slot writes its own keys, so there is no contention.
 *
 * Started by main.ts with one JSON argument; sends one message to its parent.
 */

import { connect, put } from '../../services/client/index.ts';
import { percentile } from './rows.ts';

export interface LoadOptions {
  readonly address: string;
  readonly inFlight: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Stops after this many, if that is sooner. */
  readonly transactions?: number;
}

export interface LoadReport {
  readonly committed: number;
  readonly aborted: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly cpuSeconds: number;
}

/** Keys at each participant, the same for every row; they are shared out among the slots. */
export const KEYS = 10_240;
const VALUE = Buffer.alloc(100, 'v');

export async function runLoad(options: LoadOptions, onWarm: () => void): Promise<LoadReport> {
  const mesh = connect({ addresses: [options.address], maxPending: 100_000 });
  await mesh.ready();
  const latencies = new Float64Array(5_000_000);
  let committed = 0;
  let aborted = 0;
  let measuring = false;
  let stopped = false;
  let stop = (): void => undefined;
  const keysPerSlot = Math.max(1, Math.floor(KEYS / options.inFlight));
  const slot = async (index: number): Promise<void> => {
    for (let n = 0; !stopped; n++) {
      const key = `${index}-${n % keysPerSlot}`;
      const sentMs = performance.now();
      const outcome = await mesh.execute({
        operations: [put('inventory', 'bench', key, VALUE), put('payments', 'bench', key, VALUE)],
      });
      if (!measuring) continue;
      if (outcome.committed) latencies[committed++] = performance.now() - sentMs;
      else aborted++;
      if (committed === (options.transactions ?? latencies.length)) stop();
    }
  };
  const slots = Promise.all(Array.from({ length: options.inFlight }, (_, index) => slot(index)));
  await new Promise((resolve) => setTimeout(resolve, options.warmUpSeconds * 1000));
  onWarm();
  measuring = true;
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  const over = Promise.withResolvers<void>();
  stop = over.resolve;
  const timer = setTimeout(stop, options.seconds * 1000);
  await Promise.race([over.promise, slots]);
  stopped = true;
  measuring = false;
  const seconds = (performance.now() - startMs) / 1000;
  const used = process.cpuUsage(cpu);
  clearTimeout(timer);
  await slots;
  mesh.close();
  const sorted = latencies.subarray(0, committed).sort();
  return {
    committed,
    aborted,
    seconds,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
    cpuSeconds: (used.user + used.system) / 1e6,
  };
}

if (import.meta.main) {
  const report = await runLoad(JSON.parse(process.argv[2]!) as LoadOptions, () => process.send!({ warm: true }));
  process.send!({ report });
  process.disconnect!();
}
