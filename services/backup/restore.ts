/**
 * Restores a backup into a store that is empty. The cluster's record comes first, saying that a restore is
 * under way, and last, saying that it is done: nobody serves what is between, and a restore that was cut off
 * is begun anew.
 */

import type { Clock } from '../runtime/clock.ts';
import { clusterCodec } from '../runtime/cluster/codec.ts';
import { CLUSTER_KEY } from '../runtime/cluster/keys.ts';
import { cutAtLiveKeys } from '../runtime/store/keys.ts';
import type { Put, Range, Store } from '../runtime/store/store.ts';
import { Claim } from './claim.ts';
import { BackupError } from './format.ts';
import { numbersAboveAt } from './numbers.ts';
import type { BackupFile, Verified } from './read.ts';

/** Every key, but the leased ones. */
const PERSISTENT: readonly Range[] = cutAtLiveKeys({ from: '\0', to: '\u{10ffff}' }).filter(({ live }) => !live).map(({ range }) => range);
/** Of a put, beside its key and value: more than any engine counts. */
const OVERHEAD_BYTES = 64;

export interface Restored extends Verified {
  /** What the cluster numbers from now on has numbers above it. */
  readonly numbersAbove: number;
}

/**
 * @param verified what {@link BackupFile.verify} has said of the file
 * @throws BackupError where the store is not empty, or another restore is under way; what the store throws.
 */
export async function restoreInto(store: Store, backup: BackupFile, verified: Verified, clock: Clock): Promise<Restored> {
  const { cluster, header } = verified;
  const numbersAbove = numbersAboveAt(clock.nowMs(), header);
  const record = (restoring: boolean): Put => ({ key: CLUSTER_KEY, value: clusterCodec.encode({ ...cluster, numbersAbove, restoring }) });
  const claim = await Claim.take(store, clock);
  try {
    await begin(store, claim, record(true));
    for await (const puts of batches(backup, store)) await claim.mustWrite({ puts });
    await claim.mustWrite({ puts: [record(false)] });
  } finally {
    await claim.release();
  }
  return { ...verified, numbersAbove };
}

async function begin(store: Store, claim: Claim, record: Put): Promise<void> {
  const [found] = await store.get([CLUSTER_KEY]);
  if (found !== undefined) {
    const { restoring, clusterId } = clusterCodec.decode(found);
    if (!restoring) throw new BackupError(`${store.description} holds cluster ${clusterId}: restore into an empty store (settings --data-dir, --etcd-prefix)`);
    await claim.mustWrite({ deleteRanges: [...PERSISTENT] });
  }
  for (const range of PERSISTENT) {
    const [first] = (await store.scan(range, { limit: 1, keysOnly: true })).entries;
    if (first !== undefined) throw new BackupError(`${store.description} is not empty, it has the key ${JSON.stringify(first.key)}: restore into an empty store (settings --data-dir, --etcd-prefix)`);
  }
  const begun = await claim.write({ compares: [{ type: 'absent', key: CLUSTER_KEY }], puts: [record] });
  if (!begun) throw new BackupError(`a server has created a cluster in ${store.description} meanwhile: stop it, and restore into an empty store`);
}

/** All records but the cluster's, in writes that the store takes. */
async function* batches(backup: BackupFile, { limits }: Store): AsyncGenerator<readonly Put[]> {
  let puts: Put[] = [];
  let bytes = OVERHEAD_BYTES;
  for await (const entries of backup.entries()) {
    for (const { key, value } of entries) {
      if (key === CLUSTER_KEY) continue;
      const size = Buffer.byteLength(key) + value.length + OVERHEAD_BYTES;
      if (puts.length === limits.operations || bytes + size > limits.bytes) {
        yield puts;
        puts = [];
        bytes = OVERHEAD_BYTES;
      }
      puts.push({ key, value });
      bytes += size;
    }
  }
  if (puts.length > 0) yield puts;
}
