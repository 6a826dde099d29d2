/** A cluster's fixed facts, written once and checked by everybody who starts (invariant P6). */

import { HASH_NAME } from '../../kernel/hash.ts';
import { StoreUnusable } from '../store/errors.ts';
import type { Store } from '../store/store.ts';
import { clusterCodec, serviceCodec } from './codec.ts';
import { CLUSTER_KEY, serviceKey } from './keys.ts';
import type { Service, ServiceKind } from './service.ts';

/** Who a cluster is. */
export interface ClusterIdentity {
  readonly clusterId: string;
  /** What it numbers has numbers above it (invariant P10). */
  readonly numbersAbove: number;
}

/** Reads who the cluster is, or creates it under the given new id. */
export async function joinCluster(store: Store, newClusterId: string, nowMs: number): Promise<ClusterIdentity> {
  for (;;) {
    const [bytes] = await store.get([CLUSTER_KEY]);
    if (bytes !== undefined) {
      const cluster = clusterCodec.decode(bytes);
      if (cluster.restoring)
        throw new StoreUnusable(
          `a restore into ${store.description} is under way or was cut off: wait for it, or run txmesh restore again, which begins anew`,
        );
      if (cluster.hash !== HASH_NAME)
        throw new StoreUnusable(
          `the cluster in ${store.description} routes by ${cluster.hash}, this version by ${HASH_NAME}: ` +
            'run the version that created it, or choose another store (--data-dir, --etcd-prefix)',
        );
      return cluster;
    }
    await store.write({
      compares: [{ type: 'absent', key: CLUSTER_KEY }],
      puts: [
        {
          key: CLUSTER_KEY,
          value: clusterCodec.encode({ clusterId: newClusterId, hash: HASH_NAME, createMs: nowMs, numbersAbove: 0, restoring: false }),
        },
      ],
    });
  }
}

/**
 * Reads a service's record, or creates it.
 * @param partitions as the settings ask for; undefined takes what is recorded, or `fallback`.
 */
export async function joinService(
  store: Store,
  name: string,
  kind: ServiceKind,
  partitions: number | undefined,
  fallback: number,
): Promise<Service> {
  const key = serviceKey(name);
  for (;;) {
    const [bytes] = await store.get([key]);
    if (bytes !== undefined) {
      const recorded = serviceCodec.decode(bytes);
      if (recorded.kind !== kind)
        throw new StoreUnusable(`service ${name} exists in ${store.description} as ${recorded.kind}, not as ${kind}`);
      if (partitions !== undefined && partitions !== recorded.partitions)
        throw new StoreUnusable(
          `service ${name} was created with ${recorded.partitions} partitions in ${store.description}, ` +
            `--partitions asks for ${partitions}: partition counts are fixed when a service is created`,
        );
      return { name, kind, partitions: recorded.partitions };
    }
    await store.write({
      compares: [{ type: 'absent', key }],
      puts: [{ key, value: serviceCodec.encode({ kind, partitions: partitions ?? fallback }) }],
    });
  }
}
