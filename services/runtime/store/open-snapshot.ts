/** Opens a snapshot of the store that the settings name. */
import { StoreUnusable } from './errors.ts';
import { openLmdbSnapshot } from './lmdb-snapshot.ts';
import { openEtcdStore, type StoreSettings } from './open.ts';
import type { Snapshot } from './snapshot.ts';

/** @throws StoreUnusable in one line that names the setting to change. */
export async function openSnapshot(settings: StoreSettings): Promise<Snapshot> {
  switch (settings.store) {
    case 'memory':
      throw new StoreUnusable('a store in memory has nothing to back up (setting --store)');
    case 'embedded':
      if (settings.dataDir === undefined) throw new StoreUnusable('the embedded store needs a data folder (setting --data-dir)');
      return openLmdbSnapshot(settings.dataDir);
    case 'etcd': {
      const store = await openEtcdStore(settings);
      return store.snapshot();
    }
  }
}
