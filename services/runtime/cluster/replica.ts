/**
 * One process's part in the cluster: its lease, its membership, and a seat at every partition of the
 * services it runs.
 */

import { delay, type Clock } from '../clock.ts';
import type { Tenure } from '../partition/term.ts';
import type { Lease, Store } from '../store/store.ts';
import { assignPartitions } from './assignment.ts';
import { memberCodec } from './codec.ts';
import { memberKey } from './keys.ts';
import { LeaseHolder } from './lease-holder.ts';
import { Seat, type LeadershipChange, type SeatBug, type SeatTerm } from './seat.ts';
import type { ClusterView, Service } from './view.ts';

/** A service that this replica runs. */
export interface Hosted<T extends SeatTerm = SeatTerm> {
  readonly service: Service;
  createTerm(partition: number, tenure: Tenure, onEnd: (reason: string) => void): T;
}

export interface ReplicaOptions {
  /** Unique for each start. */
  readonly name: string;
  /** host:port where others reach this replica. */
  readonly address: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly view: ClusterView;
  readonly hosted: readonly Hosted[];
  /** Time to live of the lease, milliseconds. */
  readonly leaseTtlMs: number;
  onLeadership?(service: string, change: LeadershipChange): void;
  log(message: string, fields: Record<string, unknown>): void;
  readonly bugs?: ReadonlySet<SeatBug>;
}

const RETRY_MS = 200;

export class Replica {
  private readonly options: ReplicaOptions;
  private readonly seats = new Map<string, Seat<SeatTerm>[]>();
  private readonly holder: LeaseHolder;
  private unsubscribe: (() => void) | undefined;
  private evaluating = false;
  private draining = false;
  /** The lease under which the member key stands. */
  private announced: Lease | undefined;

  constructor(options: ReplicaOptions) {
    this.options = options;
    const { store, clock, leaseTtlMs, log } = options;
    for (const hosted of options.hosted) {
      const seats = Array.from({ length: hosted.service.partitions }, (_, partition) => this.seat(hosted, partition));
      this.seats.set(hosted.service.name, seats);
    }
    this.holder = new LeaseHolder({
      store,
      clock,
      ttlMs: leaseTtlMs,
      onGranted: (lease) => void this.announce(lease),
      onLost: (reason) => {
        log('lease lost', { reason });
        for (const seats of this.seats.values()) for (const seat of seats) seat.loseLease(reason);
      },
      onRenewed: () => this.evaluateSoon(),
    });
  }

  /** Joins the cluster and begins to campaign. Throws what the store throws. */
  async start(): Promise<void> {
    this.unsubscribe = this.options.view.onChange(() => this.evaluateSoon());
    await this.holder.start();
  }

  /** The term of a partition that is led here. */
  term(service: string, partition: number): SeatTerm | undefined {
    return this.seats.get(service)?.[partition]?.term;
  }

  /** Whether the lease surely holds. */
  get connected(): boolean {
    return this.holder.isValid();
  }

  /** It was part of the cluster, and its lease is over against its will: what it knows of leaders may be long past. */
  get cutOff(): boolean {
    return this.announced !== undefined && !this.draining && !this.connected;
  }

  /** Hands every partition over and leaves. Resolves when this replica leads nothing any more. */
  async drain(): Promise<void> {
    this.draining = true;
    const { store, name } = this.options;
    // Without the member key the others take their new shares as ours become free. The lease would
    // remove it anyway, so an error only costs time.
    await store.write({ deletes: [memberKey(name)] }).catch(() => undefined);
    await Promise.all([...this.seats.values()].flat().map((seat) => seat.resign()));
    this.unsubscribe?.();
    await this.holder.stop();
  }

  private seat(hosted: Hosted, partition: number): Seat<SeatTerm> {
    const { name, address, store, clock, view, log, onLeadership, bugs } = this.options;
    return new Seat({
      service: hosted.service.name,
      partition,
      replica: name,
      address,
      numbersAbove: view.numbersAbove,
      store,
      clock,
      log,
      createTerm: (tenure, onEnd) => hosted.createTerm(partition, tenure, onEnd),
      onChange: () => this.evaluateSoon(),
      ...(onLeadership && { onLeadership: (change) => onLeadership(hosted.service.name, change) }),
      ...(bugs === undefined ? {} : { bugs }),
    });
  }

  private async announce(lease: Lease): Promise<void> {
    const { store, clock, name, address, hosted, log } = this.options;
    const value = memberCodec.encode({ replica: name, address, services: hosted.map((h) => h.service.name) });
    while (this.holder.current === lease && !this.draining) {
      try {
        await store.write({ puts: [{ key: memberKey(name), value, lease }] });
        this.announced = lease;
        this.evaluateSoon();
        return;
      } catch (error) {
        log('joining failed', { error: String(error) });
        await delay(clock, RETRY_MS);
      }
    }
  }

  /** Once for any number of changes in one turn. */
  private evaluateSoon(): void {
    if (this.evaluating) return;
    this.evaluating = true;
    queueMicrotask(() => {
      this.evaluating = false;
      this.evaluate();
    });
  }

  private evaluate(): void {
    const { view, hosted, name } = this.options;
    const lease = this.announced === this.holder.current ? this.holder.current : undefined;
    for (const { service } of hosted) {
      const replicas = [...view.members.values()]
        .filter((member) => member.services.includes(service.name))
        .map((member) => member.replica)
        .sort();
      const owners = assignPartitions(service.name, service.partitions, replicas);
      this.seats.get(service.name)!.forEach((seat, partition) => {
        seat.evaluate({
          // A view that doesn't show ourselves yet says nothing about our share.
          wanted: !this.draining && (owners[partition] === name || (!replicas.includes(name) && seat.term !== undefined)),
          leader: view.leader(service.name, partition),
          lease,
          leaseIsValid: (l) => this.holder.current === l,
        });
      });
    }
  }
}
