/**
 * Raises what a cluster numbers, where its store was put back by other means than a restore of ours: a snapshot
 * of etcd, a copy of a data folder or of its volume (invariant P10).
 */

import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../runtime/clock.ts';
import { clusterCodec } from '../runtime/cluster/codec.ts';
import { CLUSTER_KEY, MEMBER_PREFIX } from '../runtime/cluster/keys.ts';
import { liveRange } from '../runtime/store/keys.ts';
import type { Store } from '../runtime/store/store.ts';
import { Claim } from './claim.ts';
import { BackupError } from './format.ts';
import { numbersAboveAt } from './numbers.ts';

/** Longer than the longest lease (setting --lease), which begins anew in an etcd that was put back. */
const LEASES_END_WITHIN_MS = 75_000;
const POLL_MS = 250;
const SHOWN = 3;

export interface Raised {
  readonly clusterId: string;
  readonly numbersAbove: number;
}

/**
 * Waits until the leases end that were put back with the store.
 * @throws BackupError where servers run, or there is no cluster; what the store throws.
 */
export async function raiseNumbers(store: Store, clock: Clock, note: (message: string) => void): Promise<Raised> {
  const claim = await Claim.take(store, clock);
  try {
    await awaitNobody(store, clock, note);
    const [found] = await store.get([CLUSTER_KEY]);
    if (found === undefined) throw new BackupError(`${store.description} holds no cluster (settings --data-dir, --etcd-prefix)`);
    const cluster = clusterCodec.decode(found);
    if (cluster.restoring) throw new BackupError(`${store.description} holds a restore that was cut off: run txmesh restore again`);
    const numbersAbove = numbersAboveAt(clock.nowMs(), { createMs: cluster.createMs, highestEpoch: cluster.numbersAbove + claim.revision });
    await claim.mustWrite({ puts: [{ key: CLUSTER_KEY, value: clusterCodec.encode({ ...cluster, numbersAbove }) }] });
    return { clusterId: cluster.clusterId, numbersAbove };
  } finally {
    await claim.release();
  }
}

async function awaitNobody(store: Store, clock: Clock, note: (message: string) => void): Promise<void> {
  const endMs = clock.monotonicMs() + LEASES_END_WITHIN_MS;
  for (let noted = false; ; ) {
    const { entries } = await store.scan(liveRange, { limit: 1000, keysOnly: true });
    const members = entries.filter(({ key }) => key.startsWith(MEMBER_PREFIX)).map(({ key }) => key.slice(MEMBER_PREFIX.length));
    // The claim itself is the one that stays.
    if (entries.length <= 1) return;
    if (clock.monotonicMs() > endMs)
      throw new BackupError(`servers run on ${store.description} (${members.slice(0, SHOWN).join(', ')}): stop them all first`);
    if (!noted) note(`waiting until ${entries.length - 1} leased keys in ${store.description} end, at most ${LEASES_END_WITHIN_MS / 1000} s`);
    noted = true;
    // The clock's timers would let the process end.
    await pause(POLL_MS);
  }
}
