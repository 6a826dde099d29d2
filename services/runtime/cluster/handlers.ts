/** ClusterService: the map of the cluster, and registrations of participants outside of the mesh. */

import {
  Service_Kind as Kind,
  type Cluster,
  type ClusterServiceService,
  type RegisterParticipantRequest,
  type RegisterParticipantResponse,
} from '../../gen/txmesh/cluster/v1/cluster.ts';
import type { FieldViolation } from '../../kernel/failure.ts';
import { HASH_NAME } from '../../kernel/hash.ts';
import type { Clock } from '../clock.ts';
import { FailureError } from '../errors/failure-error.ts';
import { AmbiguousWrite, LeaseLost, StoreFull, StoreUnavailable } from '../store/errors.ts';
import { prefixRange, type Lease, type Store, type Watch } from '../store/store.ts';
import type { Handlers } from '../transport/service.ts';
import { durationMs, toDuration } from '../transport/time.ts';
import { externalCodec } from './codec.ts';
import { EXTERNAL_PREFIX, externalKey } from './keys.ts';
import type { ClusterView, External, Service, ServiceKind } from './view.ts';

/** The name of a participant, as in proto/txmesh/cluster/v1. */
const NAME = /^[a-z][a-z0-9-]{0,62}$/;
/** host:port; the host may be an IPv6 address in brackets. */
const ADDRESS = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})$/;
export const MIN_TTL_MS = 1_000;
export const MAX_TTL_MS = 5 * 60_000;
const DEFAULT_TTL_MS = 10_000;
/** Bounds the cluster map and the leases. */
export const MAX_REGISTRATIONS = 1_000;

export interface ClusterHandlersOptions {
  readonly view: ClusterView;
  readonly store: Store;
  readonly clock: Clock;
  /** A new id that nobody can guess. */
  newId(): string;
}

/** A registration that this replica holds the lease of. */
interface Held {
  readonly lease: Lease;
  /** Monotonic; after this the lease has ended without our doing. */
  endMs: number;
}

export class ClusterHandlers implements Handlers<typeof ClusterServiceService> {
  private readonly options: ClusterHandlersOptions;
  private readonly held = new Map<string, Held>();
  /** Registrations with the create revisions of their keys, by name. */
  private readonly registered = new Map<string, External & { readonly createRevision: number }>();
  private readonly watch: Watch;

  constructor(options: ClusterHandlersOptions) {
    this.options = options;
    const take = (key: string, value: Uint8Array, createRevision: number): void => {
      const name = key.slice(EXTERNAL_PREFIX.length);
      this.registered.set(name, { name, ...externalCodec.decode(value), createRevision });
    };
    this.watch = options.store.watch(prefixRange(EXTERNAL_PREFIX), {
      onSnapshot: (entries) => {
        this.registered.clear();
        for (const [key, { value, createRevision }] of entries) take(key, value, createRevision);
      },
      onEvents: (events) => {
        for (const event of events)
          if (event.type === 'put') take(event.key, event.value, event.createRevision);
          else this.registered.delete(event.key.slice(EXTERNAL_PREFIX.length));
      },
    });
  }

  readonly getCluster: Handlers<typeof ClusterServiceService>['getCluster'] = () =>
    Promise.resolve({ cluster: this.cluster() });

  readonly watchCluster: Handlers<typeof ClusterServiceService>['watchCluster'] = (_, { signal }) => {
    const { view } = this.options;
    let changed = true;
    let wake: (() => void) | undefined;
    const notify = (): void => {
      changed = true;
      wake?.();
    };
    const cluster = (): Cluster => this.cluster();
    return (async function* () {
      const unsubscribe = view.onChange(notify);
      signal.addEventListener('abort', notify, { once: true });
      try {
        // Changes that come while one is being sent are sent together.
        while (!signal.aborted) {
          if (!changed) await new Promise<void>((resolve) => (wake = resolve));
          if (signal.aborted) return;
          changed = false;
          yield { cluster: cluster() };
        }
      } finally {
        unsubscribe();
      }
    })();
  };

  readonly registerParticipant: Handlers<typeof ClusterServiceService>['registerParticipant'] = async (request) => {
    const ttlMs = this.validate(request);
    try {
      return request.registrationId === '' ? await this.register(request, ttlMs) : await this.renew(request, ttlMs);
    } catch (error) {
      throw explain(error);
    }
  };

  close(): void {
    this.watch.close();
  }

  private cluster(): Cluster {
    const { view } = this.options;
    const services = new Map<string, Service>(view.services);
    for (const name of view.externals.keys()) services.set(name, { name, kind: 'external', partitions: 1 });
    return {
      clusterId: view.clusterId,
      hash: HASH_NAME,
      services: [...services.values()]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, kind, partitions }) => ({
          name,
          kind: WIRE_KINDS[kind],
          partitions: Array.from({ length: partitions }, (_, number) => {
            const external = view.externals.get(name);
            const leader = view.leader(name, number);
            return { number, address: external?.address ?? leader?.address ?? '', epoch: leader?.epoch ?? 0 };
          }),
        })),
    };
  }

  /** The time to live asked for, milliseconds. */
  private validate(request: RegisterParticipantRequest): number {
    const violations: FieldViolation[] = [];
    const { name, address, timeToLive } = request;
    if (!NAME.test(name))
      violations.push({ field: 'name', description: "1 to 63 characters of a-z, 0-9 and '-', beginning with a letter" });
    const port = Number(ADDRESS.exec(address)?.[2] ?? 0);
    if (port < 1 || port > 65_535) violations.push({ field: 'address', description: 'must be host:port' });
    const ttlMs = timeToLive === undefined ? DEFAULT_TTL_MS : durationMs(timeToLive);
    if (ttlMs < MIN_TTL_MS || ttlMs > MAX_TTL_MS)
      violations.push({ field: 'time_to_live', description: `must be ${MIN_TTL_MS / 1000} s to ${MAX_TTL_MS / 60_000} min` });
    if (this.options.view.services.has(name))
      violations.push({ field: 'name', description: `${name} is the name of a service of the mesh` });
    if (violations.length > 0)
      throw new FailureError({
        reason: 'INVALID_FIELD',
        message: `the registration is not valid: ${violations.map((v) => `${v.field}: ${v.description}`).join('; ')}`,
        violations,
      });
    return ttlMs;
  }

  private async register(request: RegisterParticipantRequest, ttlMs: number): Promise<RegisterParticipantResponse> {
    const { store, newId } = this.options;
    const { name, address } = request;
    const before = this.registered.get(name);
    // The same participant, started again before its registration has lapsed.
    if (before !== undefined && before.address === address) return this.take(before, address, ttlMs);
    if (before !== undefined) throw taken(name);
    if (this.registered.size >= MAX_REGISTRATIONS)
      throw new FailureError({
        reason: 'OVERLOADED',
        message: `${MAX_REGISTRATIONS} participants are registered, the limit; try again when some have lapsed`,
        retryAfterMs: 5_000,
      });
    const registrationId = newId();
    const key = externalKey(name);
    const sentMs = this.options.clock.monotonicMs();
    const lease = await store.grantLease(ttlMs);
    const result = await store.write({
      compares: [{ type: 'absent', key }],
      puts: [{ key, value: externalCodec.encode({ registrationId, address }), lease }],
    });
    if (result.type === 'refused') {
      void lease.revoke().catch(() => undefined);
      throw taken(name);
    }
    // The watch may be behind the renewal.
    this.registered.set(name, { name, registrationId, address, createRevision: result.revision });
    this.hold(registrationId, lease, sentMs);
    return this.answer(registrationId, ttlMs);
  }

  private async renew(request: RegisterParticipantRequest, ttlMs: number): Promise<RegisterParticipantResponse> {
    const { name, address, registrationId } = request;
    const before = this.registered.get(name);
    if (before === undefined || before.registrationId !== registrationId) {
      this.held.delete(registrationId);
      throw new FailureError({
        reason: 'INVALID_FIELD',
        message: `participant ${name} has no registration ${registrationId}, or it has lapsed: register anew, without an id`,
        violations: [{ field: 'registration_id', description: 'must be a registration of this name that has not lapsed' }],
      });
    }
    const held = this.held.get(registrationId);
    if (held !== undefined && held.lease.ttlMs === ttlMs && before.address === address) {
      const sentMs = this.options.clock.monotonicMs();
      await held.lease.renew();
      held.endMs = sentMs + ttlMs;
      return this.answer(registrationId, ttlMs);
    }
    return this.take(before, address, ttlMs);
  }

  /** Puts a registration under a new lease of this replica: it was another's, or something has changed. */
  private async take(
    before: External & { readonly createRevision: number },
    address: string,
    ttlMs: number,
  ): Promise<RegisterParticipantResponse> {
    const { store, clock } = this.options;
    const { name, registrationId, createRevision } = before;
    const key = externalKey(name);
    const sentMs = clock.monotonicMs();
    const lease = await store.grantLease(ttlMs);
    const result = await store.write({
      compares: [{ type: 'created', key, revision: createRevision }],
      puts: [{ key, value: externalCodec.encode({ registrationId, address }), lease }],
    });
    if (result.type === 'refused') {
      void lease.revoke().catch(() => undefined);
      throw taken(name);
    }
    // The lease before holds nothing any more.
    const old = this.held.get(registrationId);
    if (old !== undefined) void old.lease.revoke().catch(() => undefined);
    this.hold(registrationId, lease, sentMs);
    return this.answer(registrationId, ttlMs);
  }

  private hold(registrationId: string, lease: Lease, sentMs: number): void {
    const nowMs = this.options.clock.monotonicMs();
    for (const [id, { endMs }] of this.held) if (endMs < nowMs) this.held.delete(id);
    this.held.set(registrationId, { lease, endMs: sentMs + lease.ttlMs });
  }

  private answer(registrationId: string, ttlMs: number): RegisterParticipantResponse {
    return { registrationId, clusterId: this.options.view.clusterId, timeToLive: toDuration(ttlMs) };
  }
}

const WIRE_KINDS: Record<ServiceKind, Kind> = {
  coordinator: Kind.COORDINATOR,
  'key-value': Kind.KEY_VALUE,
  queue: Kind.QUEUE,
  counter: Kind.COUNTER,
  external: Kind.EXTERNAL,
};

function taken(name: string): FailureError {
  const description = 'is registered under another address; it can be registered anew when that registration has lapsed';
  return new FailureError({
    reason: 'PARTICIPANT_NAME_TAKEN',
    message: `participant ${name} ${description}`,
  });
}

function explain(error: unknown): unknown {
  if (error instanceof StoreUnavailable || error instanceof LeaseLost)
    return new FailureError({ reason: 'NO_LEADER', message: `the store can't be reached: ${error.message}`, retryAfterMs: 500 }, { cause: error });
  if (error instanceof StoreFull)
    return new FailureError({ reason: 'STORE_FULL', message: error.message, retryAfterMs: 5_000 }, { cause: error });
  if (error instanceof AmbiguousWrite)
    return new FailureError({ reason: 'OUTCOME_UNKNOWN', message: `it is not known whether the registration was written: ${error.message}; register again` }, { cause: error });
  return error;
}
