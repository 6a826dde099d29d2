/** What a replica leads, what nobody leads as far as it knows, and how full its store is. */

import type { Service } from '../../cluster/service.ts';
import type { Metrics } from './metrics.ts';

export interface ClusterSight {
  /** Every service that is known. */
  services(): Iterable<Service>;
  isLedHere(service: string, partition: number): boolean;
  /** host:port of the leader, as far as this replica heard last; undefined: there is none. */
  leaderOf(service: string, partition: number): string | undefined;
  /** host:port of this replica. */
  readonly address: string;
  /** It hears nothing of leaders any more. */
  readonly cutOff: boolean;
  /** Undefined: not known yet. */
  usage(): { readonly usedBytes: number; readonly limitBytes?: number } | undefined;
}

/**
 * @param hosted names of the services that this replica runs
 * @returns what ends it
 */
export function watchCluster(metrics: Metrics, hosted: readonly string[], sight: ClusterSight): () => void {
  return metrics.watch(['txmesh.partition.led', 'txmesh.partition.leaderless', 'txmesh.store.size', 'txmesh.store.limit'], (observe) => {
    const { address, cutOff } = sight;
    for (const { name, partitions } of sight.services()) {
      let led = 0;
      let leaderless = 0;
      for (let partition = 0; partition < partitions; partition++) {
        if (sight.isLedHere(name, partition)) led++;
        else {
          // A key of this replica without a term is nobody's, however long it takes to remove it.
          const leader = cutOff ? undefined : sight.leaderOf(name, partition);
          if (leader === undefined || leader === address) leaderless++;
        }
      }
      const attributes = { 'txmesh.service': name };
      if (hosted.includes(name)) observe('txmesh.partition.led', led, attributes);
      observe('txmesh.partition.leaderless', leaderless, attributes);
    }
    const usage = sight.usage();
    if (usage === undefined) return;
    observe('txmesh.store.size', usage.usedBytes);
    if (usage.limitBytes !== undefined) observe('txmesh.store.limit', usage.limitBytes);
  });
}

/** Counts the partitions that a replica begins and ceases to lead. */
export function leadershipCounter(metrics: Metrics, hosted: readonly string[]): (service: string, change: 'gained' | 'lost') => void {
  const counter = metrics.counter('txmesh.partition.leadership.changes');
  const attributesOf = (service: string, change: string) => ({ 'txmesh.service': service, 'txmesh.change': change });
  for (const service of hosted) for (const change of ['gained', 'lost']) counter.add(0, attributesOf(service, change));
  return (service, change) => counter.add(1, attributesOf(service, change));
}
