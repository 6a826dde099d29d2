/**
 * The cluster as the servers publish it: who leads which partition. It is only a hint (a server that
 * does not lead forwards), except for the partition counts, which never change (invariant P6).
 */

import { Service_Kind, type Cluster, type Service } from '../gen/txmesh/cluster/v1/cluster.ts';
import { HASH_NAME, partitionOf } from '../kernel/hash.ts';
import type { Clock } from '../runtime/clock.ts';
import { makeError } from './errors.ts';

export const COORDINATOR = 'coordinator';

/** How long an address that could not be reached is passed over, milliseconds. */
const AVOID_MS = 1_000;

export class ClusterMap {
  private readonly seeds: readonly string[];
  private readonly clock: Clock;
  private services = new Map<string, Service>();
  private addresses: readonly string[];
  /** Until when an address is passed over, by the monotonic clock. */
  private readonly avoided = new Map<string, number>();
  private turn = 0;
  clusterId = '';
  private told = false;

  constructor(seeds: readonly string[], clock: Clock) {
    this.seeds = seeds;
    this.addresses = seeds;
    this.clock = clock;
  }

  /** @throws FailedPrecondition if the cluster routes in a way that this SDK does not know. */
  update(cluster: Cluster): void {
    if (cluster.hash !== HASH_NAME) {
      const message = `the cluster routes by ${cluster.hash}, this SDK by ${HASH_NAME}: use a newer SDK`;
      throw makeError({ reason: 'PARTITION_MISMATCH', message });
    }
    this.clusterId = cluster.clusterId;
    this.told = true;
    this.services = new Map(cluster.services.map((service) => [service.name, service]));
    const led = cluster.services
      .filter(({ kind }) => kind !== Service_Kind.EXTERNAL)
      .flatMap(({ partitions }) => partitions.map(({ address }) => address))
      .filter((address) => address !== '');
    this.addresses = [...new Set([...led, ...this.seeds])];
  }

  /** Whether a server has ever told it. */
  get isKnown(): boolean {
    return this.told;
  }

  /** Every address that is worth a connection. */
  get known(): readonly string[] {
    return this.addresses;
  }

  /** Of a service, or undefined if it, or the whole map, is not known. */
  partitionCount(service: string): number | undefined {
    return this.services.get(service)?.partitions.length || undefined;
  }

  isKeyValue(service: string): boolean {
    return this.services.get(service)?.kind === Service_Kind.KEY_VALUE;
  }

  /** The leader of the partition that `routingKey` belongs to, or else some other server. */
  route(service: string, routingKey: string): string {
    const partitions = this.services.get(service)?.partitions;
    if (partitions === undefined || partitions.length === 0) return this.anyAddress();
    return this.usable(partitions[partitionOf(routingKey, partitions.length)]!.address) ?? this.anyAddress();
  }

  /** Some server, in turn, passing over those that could not be reached lately. */
  anyAddress(): string {
    const { addresses } = this;
    for (let tried = 0; tried < addresses.length; tried++) {
      const address = this.usable(addresses[this.turn++ % addresses.length]!);
      if (address !== undefined) return address;
    }
    return addresses[this.turn++ % addresses.length]!;
  }

  /** The address could not be reached: for a while others are tried first. */
  avoid(address: string): void {
    this.avoided.set(address, this.clock.monotonicMs() + AVOID_MS);
  }

  private usable(address: string): string | undefined {
    if (address === '') return undefined;
    if (this.avoided.size === 0) return address;
    const until = this.avoided.get(address);
    if (until === undefined) return address;
    if (this.clock.monotonicMs() < until) return undefined;
    this.avoided.delete(address);
    return address;
  }
}
