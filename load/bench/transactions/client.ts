/**
 * The load of transactions: a process of its own that keeps a number of them in flight through the SDK,
 * and reports what it saw. Each slot writes its own keys, so there is no contention.
 */

import { connect, put } from '../../../services/client/index.ts';
import { Latencies } from '../latencies.ts';
import { measured, runAsProcess, type LoadReport, type Phases } from '../measured.ts';

export interface TransactionLoad extends Phases {
  readonly address: string;
  readonly inFlight: number;
  /** Stops after this many, if that is sooner. */
  readonly transactions?: number;
}

/** Keys at each participant, the same for every row; they are shared out among the slots. */
export const KEYS = 10_240;
const VALUE = Buffer.alloc(100, 'v');

async function runLoad(options: TransactionLoad, onWarm: () => void): Promise<LoadReport> {
  const mesh = connect({ addresses: [options.address], maxPending: 100_000 });
  await mesh.ready();
  const latencies = new Latencies();
  let aborted = 0;
  let measuring = false;
  let stopped = false;
  const over = Promise.withResolvers<void>();
  const keysPerSlot = Math.max(1, Math.floor(KEYS / options.inFlight));
  const slot = async (index: number): Promise<void> => {
    for (let n = 0; !stopped; n++) {
      const key = `${index}-${n % keysPerSlot}`;
      const sentMs = performance.now();
      const outcome = await mesh.execute({
        operations: [put('inventory', 'bench', key, VALUE), put('payments', 'bench', key, VALUE)],
      });
      if (!measuring) continue;
      if (outcome.committed) latencies.add(performance.now() - sentMs);
      else aborted++;
      if (latencies.count === options.transactions) over.resolve();
    }
  };
  const slots = Promise.all(Array.from({ length: options.inFlight }, (_, index) => slot(index)));
  slots.catch(over.reject);
  const begin = (): void => {
    onWarm();
    measuring = true;
  };
  const used = await measured(options, begin, over.promise);
  stopped = true;
  measuring = false;
  await slots;
  mesh.close();
  if (aborted > 0) throw new Error(`${aborted} transactions were aborted`);
  return { completed: latencies.count, ...used, ...latencies.quantiles() };
}

await runAsProcess(runLoad);
