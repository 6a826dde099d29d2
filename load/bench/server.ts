/**
 * The server under measurement: the same as `txmesh`, with a store that counts its writes. Tells
 * its parent on request how many there were.
 */

import { readFileSync } from 'node:fs';
import { runServer } from '../../services/server.ts';
import type { Store } from '../../services/runtime/store/store.ts';

let writes = 0;
let operations = 0;

/** Counts write batches that were sent, and their operations. */
function counting(store: Store): Store {
  const write = store.write.bind(store);
  store.write = (batch) => {
    writes++;
    operations += (batch.puts?.length ?? 0) + (batch.deletes?.length ?? 0) + (batch.deleteRanges?.length ?? 0);
    return write(batch);
  };
  return store;
}

export interface ServerUsage {
  readonly writes: number;
  readonly operations: number;
  readonly cpuSeconds: number;
  readonly rssMiB: number;
  /** On the heap, and what belongs to objects there. Exact where the garbage is collected on request (--expose-gc). */
  readonly heapMiB: number;
  /** Resident, without the pages of files that are mapped (where the system tells them apart: Linux). */
  readonly anonymousMiB: number;
}

function anonymousBytes(rss: number): number {
  try {
    const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
    return kib === undefined ? rss : Number(kib) * 1024;
  } catch {
    return rss;
  }
}

process.on('message', () => {
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const usage: ServerUsage = {
    writes,
    operations,
    cpuSeconds: (user + system) / 1e6,
    rssMiB: rss / 2 ** 20,
    heapMiB: (heapUsed + external) / 2 ** 20,
    anonymousMiB: anonymousBytes(rss) / 2 ** 20,
  };
  process.send!(usage);
});
process.channel?.unref();

process.exitCode = await runServer(process.argv.slice(2), process.env, { wrapStore: counting });
