/**
 * The server under measurement: the same as `npx txmesh`, with a store that counts its writes. Tells
 * its parent on request how many there were.
 */

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
}

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const usage: ServerUsage = {
    writes,
    operations,
    cpuSeconds: (user + system) / 1e6,
    rssMiB: process.memoryUsage.rss() / 2 ** 20,
  };
  process.send!(usage);
});
process.channel?.unref();

process.exitCode = await runServer(process.argv.slice(2), process.env, { wrapStore: counting });
