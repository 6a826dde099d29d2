/**
 * Who should lead what: partitions are shared out evenly among the replicas that run the service, by
 * rendezvous hashing (Thaler and Ravishankar, 1998) with a cap, so that no two differ by more than one
 * and a replica that joins or leaves moves few partitions. A pure function of the membership: replicas that see the same members agree,
 * and those that don't are kept apart by the election.
 */

import { fnv1a32 } from '../../kernel/hash.ts';

/** The replica that should lead each partition, by number. Empty without replicas. */
export function assignPartitions(service: string, partitions: number, replicas: readonly string[]): string[] {
  if (replicas.length === 0) return [];
  const least = Math.floor(partitions / replicas.length);
  /** How many replicas may have one more than that. */
  let more = partitions % replicas.length;
  const load = new Map<string, number>(replicas.map((replica) => [replica, 0]));
  const owners: string[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    let best: string | undefined;
    let bestWeight = -1;
    for (const replica of replicas) {
      const has = load.get(replica)!;
      if (has > least || (has === least && more === 0)) continue;
      const weight = fnv1a32(`${replica}/${service}/${partition}`);
      if (weight > bestWeight || (weight === bestWeight && replica < best!)) {
        best = replica;
        bestWeight = weight;
      }
    }
    owners.push(best!);
    if (load.get(best!) === least) more--;
    load.set(best!, load.get(best!)! + 1);
  }
  return owners;
}
