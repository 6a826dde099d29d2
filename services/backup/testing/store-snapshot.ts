/** A snapshot of any store, for tests: nobody may write meanwhile. */

import { cutAtLiveKeys } from '../../runtime/store/keys.ts';
import type { Snapshot } from '../../runtime/store/snapshot.ts';
import type { Entry, Store } from '../../runtime/store/store.ts';

/** Every record but the leased ones. */
export async function recordsOf(store: Store): Promise<readonly Entry[]> {
  const parts = cutAtLiveKeys({ from: '\0', to: '\u{10ffff}' }).filter(({ live }) => !live);
  const found = await Promise.all(parts.map(({ range }) => store.scan(range, { limit: 1_000_000 })));
  return found.flatMap(({ entries }) => entries);
}

export function snapshotOf(store: Store, revision = 0): Snapshot {
  return {
    engine: 'lmdb',
    description: store.description,
    revision,
    get: async (key) => (await store.get([key]))[0],
    async *pages() {
      const records = await recordsOf(store);
      // Pages of all sizes.
      for (let from = 0, size = 1; from < records.length; from += size, size *= 2) yield records.slice(from, from + size);
    },
    close: async () => {},
  };
}
