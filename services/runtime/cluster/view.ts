/** The cluster as one replica sees it: services, members, leaders, external participants. */

import type { Clock } from '../clock.ts';
import { LEASED_PREFIX, prefixRange, type Store, type Watch } from '../store/store.ts';
import { externalCodec, leaderCodec, memberCodec, serviceCodec } from './codec.ts';
import type { ClusterIdentity } from './identity.ts';
import { EXTERNAL_PREFIX, LEADER_PREFIX, MEMBER_PREFIX, SERVICE_PREFIX } from './keys.ts';
import type { Service } from './service.ts';

export { COORDINATOR, type ParticipantKindName, type Service, type ServiceKind } from './service.ts';

const RETRY_MS = 500;

export interface Member {
  readonly replica: string;
  /** host:port */
  readonly address: string;
  readonly services: readonly string[];
}

export interface Leader {
  readonly replica: string;
  /** host:port */
  readonly address: string;
  readonly epoch: number;
}

export interface External {
  readonly name: string;
  readonly registrationId: string;
  /** host:port */
  readonly address: string;
}

export class ClusterView {
  readonly clusterId: string;
  /** What the cluster numbers has numbers above it (invariant P10). */
  readonly numbersAbove: number;
  readonly services = new Map<string, Service>();
  readonly members = new Map<string, Member>();
  /** None has the name of a service of the mesh that is known here. */
  readonly externals = new Map<string, External>();
  private readonly leaders = new Map<string, Leader>();
  private readonly listeners = new Set<() => void>();
  private readonly store: Store;
  private readonly watch: Watch;
  private resolveReady: (() => void) | undefined;
  /** The first snapshot has arrived. */
  readonly ready: Promise<void>;
  private readonly clock: Clock;

  constructor({ clusterId, numbersAbove }: ClusterIdentity, store: Store, clock: Clock) {
    this.clusterId = clusterId;
    this.numbersAbove = numbersAbove;
    this.store = store;
    this.clock = clock;
    this.ready = new Promise((resolve) => (this.resolveReady = resolve));
    this.watch = store.watch(prefixRange(LEASED_PREFIX), {
      onSnapshot: (entries) => {
        this.members.clear();
        this.leaders.clear();
        this.externals.clear();
        for (const [key, { value, createRevision }] of entries) this.take(key, value, createRevision);
        this.changed();
      },
      onEvents: (events) => {
        for (const event of events) {
          if (event.type === 'put') this.take(event.key, event.value, event.createRevision);
          else this.drop(event.key);
        }
        this.changed();
      },
    });
  }

  leader(service: string, partition: number): Leader | undefined {
    return this.leaders.get(leaderName(service, partition));
  }

  /** The service, if it is known; an external one only while it is registered. */
  service(name: string): Service | undefined {
    const external = this.externals.has(name);
    return external ? { name, kind: 'external', partitions: 1 } : this.services.get(name);
  }

  /** Calls after every change until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Reads the service records again; they are few and only ever added. */
  async refreshServices(): Promise<void> {
    const { entries } = await this.store.scan(prefixRange(SERVICE_PREFIX), { limit: 1000 });
    for (const { key, value } of entries) {
      const name = key.slice(SERVICE_PREFIX.length);
      this.services.set(name, { name, ...serviceCodec.decode(value) });
      // The mesh's name now: nobody outside of it is asked or heard under it.
      this.externals.delete(name);
    }
  }

  close(): void {
    this.watch.close();
    this.listeners.clear();
  }

  private take(key: string, value: Uint8Array, createRevision: number): void {
    if (key.startsWith(MEMBER_PREFIX)) {
      const member = memberCodec.decode(value);
      this.members.set(member.replica, member);
    } else if (key.startsWith(LEADER_PREFIX)) {
      const leader = { ...leaderCodec.decode(value), epoch: createRevision + this.numbersAbove };
      this.leaders.set(key.slice(LEADER_PREFIX.length), leader);
    } else if (key.startsWith(EXTERNAL_PREFIX)) {
      const name = key.slice(EXTERNAL_PREFIX.length);
      if (!this.services.has(name)) this.externals.set(name, { name, ...externalCodec.decode(value) });
    }
  }

  private drop(key: string): void {
    if (key.startsWith(MEMBER_PREFIX)) this.members.delete(key.slice(MEMBER_PREFIX.length));
    else if (key.startsWith(LEADER_PREFIX)) this.leaders.delete(key.slice(LEADER_PREFIX.length));
    else if (key.startsWith(EXTERNAL_PREFIX)) this.externals.delete(key.slice(EXTERNAL_PREFIX.length));
  }

  private changed(): void {
    const unknown = [...this.members.values()].some((m) => m.services.some((s) => !this.services.has(s)));
    if (unknown) {
      this.refreshServices().then(
        () => this.notify(),
        // The store is away: the view stays as it was until it can be read.
        () => void this.clock.setTimer(RETRY_MS, () => this.changed()),
      );
    } else this.notify();
  }

  private notify(): void {
    this.resolveReady?.();
    this.resolveReady = undefined;
    for (const listener of [...this.listeners]) listener();
  }
}

function leaderName(service: string, partition: number): string {
  return `${service}/${partition.toString(16).padStart(4, '0')}`;
}
