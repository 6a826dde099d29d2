/**
 * One process of a mesh, put together: it joins the cluster, campaigns for its share of the partitions
 * of the services that it hosts, and serves every API on one port. What it needs of the world (a
 * store, a clock, a log) is handed in.
 */

import { randomUUID, randomUUIDv7 } from 'node:crypto';
import { hostname } from 'node:os';
import type * as grpc from '@grpc/grpc-js';
import type { Message as CoordinatorMessage } from './kernel/coordinator/types.ts';
import type { ToParticipant } from './kernel/messages.ts';
import { hostCoordinator } from './coordinator/handlers/host.ts';
import { coordinatorApi, CoordinatorServiceService } from './coordinator/handlers/handlers.ts';
import type { CoordinatorTerm } from './coordinator/handlers/service.ts';
import { coordinatorCodec } from './coordinator/codec.ts';
import { decodeOperations, READ_ONLY_TYPES } from './participant/handlers/operations.ts';
import { branchHandlers, keyValueHandlers, KeyValueServiceService } from './participant/handlers/handlers.ts';
import { describeCommand as describeKeyValueCommand, hostKeyValue } from './participant/handlers/host.ts';
import type { KeyValueTerm } from './participant/handlers/service.ts';
import { participantCodec } from './participant/codec.ts';
import { systemClock, type Clock, type Timer } from './runtime/clock.ts';
import { ClusterHandlers } from './runtime/cluster/handlers.ts';
import { joinCluster, joinService } from './runtime/cluster/identity.ts';
import { Replica, type Hosted } from './runtime/cluster/replica.ts';
import { ClusterView, COORDINATOR } from './runtime/cluster/view.ts';
import { Capacity } from './runtime/router/capacity.ts';
import { ClusterServiceService } from './runtime/router/cluster-handlers.ts';
import { Places } from './runtime/router/place.ts';
import { Readiness } from './runtime/router/readiness.ts';
import { Router } from './runtime/router/router.ts';
import { traced } from './runtime/router/traced.ts';
import type { Store } from './runtime/store/store.ts';
import { spanObserver } from './runtime/telemetry/observer.ts';
import { Spans } from './runtime/telemetry/spans.ts';
import { Channels } from './runtime/transport/channels.ts';
import { Links, participantService, type LinkTerm } from './runtime/transport/links/index.ts';
import { MeshServer, type ServerSettings } from './runtime/transport/server.ts';

/** Times in milliseconds. */
export interface NodeSettings {
  /** Where to listen; port 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** host:port under which others reach this process. Default: where it listens. */
  readonly advertise?: string | undefined;
  /** Whether to host the coordinator. */
  readonly coordinator: boolean;
  /** Names of the key-value participants to host. */
  readonly participants: readonly string[];
  /** Partitions of each hosted service. Undefined: as recorded, or {@link defaultPartitions}. */
  readonly partitions?: number | undefined;
  /** Of services that are created now. Default 4. */
  readonly defaultPartitions?: number;
  /** Time to live of the lease under which partitions are led. Default 5 s. */
  readonly leaseTtlMs?: number;
  /** How long outcomes and changes are kept after they are final. Default 15 min. */
  readonly retentionMs?: number;
  /** Earlier versions that are kept of each key. Default 0. */
  readonly historyLimit?: number;
  /** Most commands that may wait at a partition. */
  readonly queueLimit?: number;
  readonly server?: Partial<ServerSettings>;
}

/** What can go wrong on purpose, for the tour and for tests. Nothing else sets it. */
export interface Faults {
  /** Whether this message of a coordinator partition is lost on its way, as the network may lose it. */
  loses(message: ToParticipant): boolean;
}

export interface NodePorts {
  readonly store: Store;
  readonly clock?: Clock;
  log(message: string, fields: Record<string, unknown>): void;
  /** Default: nothing is traced. */
  readonly spans?: Spans;
  /** Default: without TLS. */
  readonly credentials?: { readonly server: grpc.ServerCredentials; readonly channels: grpc.ChannelCredentials };
  readonly faults?: Faults;
  /** Whether the store is this process's own, closed when it stops. Default true. */
  readonly closesStore?: boolean;
}

export interface Node {
  /** host:port under which others reach it. */
  readonly address: string;
  /** The port that it listens on. */
  readonly port: number;
  readonly store: Store;
  readonly view: ClusterView;
  /** Resolves when every partition of every hosted service has a leader, here or elsewhere. */
  ready(): Promise<void>;
  /**
   * Takes no new call, hands its partitions over, finishes what it took, leaves the cluster and closes
   * the store. Whatever is not done within the bound, in milliseconds, is cut off.
   */
  drain(boundMs?: number): Promise<void>;
}

const DEFAULTS = { partitions: 4, leaseTtlMs: 5_000, retentionMs: 15 * 60_000, historyLimit: 0, drainMs: 10_000 };
const COMPACT_EVERY_MS = 60_000;

/** @throws StoreUnusable, ListenError, and what the store throws; then nothing is left running. */
export async function startNode(settings: NodeSettings, ports: NodePorts): Promise<Node> {
  const node = new MeshNode(settings, ports);
  try {
    await node.start();
    return node;
  } catch (error) {
    await node.drain(0);
    throw error;
  }
}

class MeshNode implements Node {
  readonly store: Store;
  port = 0;
  /** Known once the port is. */
  private readonly here = { address: '' };
  private readonly settings: NodeSettings;
  private readonly ports: NodePorts;
  private readonly clock: Clock;
  private readonly spans: Spans;
  private readonly channels: Channels;
  private readonly server: MeshServer;
  private readonly capacity: Capacity;
  private joined: ClusterView | undefined;
  private readiness: Readiness | undefined;
  private replica: Replica | undefined;
  private hosted: Hosted[] = [];
  private compaction: Timer | undefined;
  /** To be undone when the node stops, the last first. */
  private readonly undo: (() => void)[] = [];
  private stopped: Promise<void> | undefined;

  constructor(settings: NodeSettings, ports: NodePorts) {
    this.settings = settings;
    this.ports = ports;
    this.store = ports.store;
    this.clock = ports.clock ?? systemClock;
    this.spans = ports.spans ?? new Spans(false, '');
    const { clock } = this;
    const { log, credentials } = ports;
    this.channels = new Channels({ clock, ...(credentials && { credentials: credentials.channels }) });
    this.capacity = new Capacity(this.store, clock);
    this.server = new MeshServer({
      clock,
      entropy: Math.random,
      log,
      ...(credentials && { credentials: credentials.server }),
      ...(settings.server && { settings: settings.server }),
    });
  }

  get address(): string {
    return this.here.address;
  }

  get view(): ClusterView {
    return this.joined!;
  }

  async start(): Promise<void> {
    const { settings, store, clock } = this;
    const clusterId = await joinCluster(store, randomUUID(), clock.nowMs());
    const wanted = [
      ...(settings.coordinator ? [{ name: COORDINATOR, kind: 'coordinator' as const }] : []),
      ...settings.participants.map((name) => ({ name, kind: 'key-value' as const })),
    ];
    const fallback = settings.defaultPartitions ?? DEFAULTS.partitions;
    const services = [];
    for (const { name, kind } of wanted) services.push(await joinService(store, name, kind, settings.partitions, fallback));
    const view = (this.joined = new ClusterView(clusterId, store, clock));
    this.undo.push(() => view.close());
    await view.refreshServices();
    const links = this.createLinks(view);
    this.hosted = services.map((service) => this.host(service, links));
    this.addServices(view, links);
    await this.listen();
    await view.ready;
    this.replica = new Replica({
      name: `${hostname()}-${randomUUID().slice(0, 8)}`,
      address: this.address,
      store,
      clock,
      view,
      hosted: this.hosted,
      leaseTtlMs: settings.leaseTtlMs ?? DEFAULTS.leaseTtlMs,
      log: this.ports.log,
    });
    const readiness = (this.readiness = new Readiness(view));
    this.undo.push(view.onChange(() => this.reportHealth(readiness)));
    await this.replica.start();
    this.server.setServing('txmesh.cluster.v1.ClusterService', true);
    this.capacity.start();
    this.scheduleCompaction();
  }

  ready(): Promise<void> {
    return this.readiness!.whenLed(this.hosted.map(({ service }) => service.name));
  }

  drain(boundMs: number = DEFAULTS.drainMs): Promise<void> {
    return (this.stopped ??= this.stop(boundMs));
  }

  private async stop(boundMs: number): Promise<void> {
    const { clock, server } = this;
    const endMs = clock.monotonicMs() + boundMs;
    server.stopTaking();
    this.compaction?.cancel();
    this.capacity.stop();
    let expire = (): void => {};
    const expired = new Promise<void>((resolve) => (expire = resolve));
    const timer = clock.setTimer(boundMs, () => expire());
    await Promise.race([this.replica?.drain(), expired]);
    timer.cancel();
    // Answers of streams leave at the end of their turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    await server.close(Math.max(0, endMs - clock.monotonicMs()));
    for (const call of this.undo.toReversed()) call();
    this.channels.close();
    if (this.ports.closesStore ?? true) await this.store.close();
  }

  private createLinks(view: ClusterView): Links {
    const { here } = this;
    const links = new Links({
      clusterId: view.clusterId,
      get address() {
        return here.address;
      },
      view,
      term: (service, partition) => this.replica?.term(service, partition) as LinkTerm | undefined,
      decodeOperations: (_, operations) => decodeOperations(operations),
      channels: this.channels,
      clock: this.clock,
      entropy: Math.random,
      log: this.ports.log,
    });
    this.undo.push(() => links.close());
    return links;
  }

  private host(service: Hosted['service'], links: Links): Hosted {
    const { store, clock, spans, settings } = this;
    const { queueLimit, retentionMs = DEFAULTS.retentionMs, historyLimit = DEFAULTS.historyLimit } = settings;
    const common = { service, store, clock, entropy: Math.random, retentionMs, ...(queueLimit !== undefined && { queueLimit }) };
    const [engine = ''] = store.description.split(' ');
    if (service.name === COORDINATOR)
      return hostCoordinator({
        ...common,
        send: (message) => this.sendFromCoordinator(message, links),
        observer: (partition, describe) => spanObserver(spans, engine, COORDINATOR, partition, describe),
      });
    return hostKeyValue({
      ...common,
      historyLimit,
      send: ({ message }) => links.toCoordinator(message),
      observer: (partition) => spanObserver(spans, engine, service.name, partition, describeKeyValueCommand),
    });
  }

  private sendFromCoordinator(message: CoordinatorMessage, links: Links): void {
    if (message.to === 'everybody') links.mark(message.mark);
    else if (this.ports.faults?.loses(message.message) !== true) links.toParticipant(message.message);
  }

  /** Every API is served by every process: what is led elsewhere is forwarded. */
  private addServices(view: ClusterView, links: Links): void {
    const { clock, store, server, spans } = this;
    const newId = (): string => randomUUIDv7();
    const common = { view, clock, store, newId };
    const coordinator = coordinatorApi({
      ...common,
      router: this.router<CoordinatorTerm>(view),
      codec: coordinatorCodec,
      readOnlyTypes: READ_ONLY_TYPES,
      spans,
    });
    const participant = {
      ...common,
      router: this.router<KeyValueTerm>(view),
      codec: participantCodec,
      decodeOperations: (_: string, operations: Parameters<typeof decodeOperations>[0]) => decodeOperations(operations),
      hear: links.hear.bind(links),
    };
    const cluster = new ClusterHandlers({ view, store, clock, newId: randomUUID });
    this.undo.push(() => coordinator.close(), () => cluster.close());
    const participantDefinition = participantService(clock);
    const branches = { ...branchHandlers(participant), exchange: links.exchange };
    server.add(CoordinatorServiceService, traced(CoordinatorServiceService, coordinator.handlers, spans));
    server.add(KeyValueServiceService, traced(KeyValueServiceService, keyValueHandlers(participant), spans));
    server.add(participantDefinition, traced(participantDefinition, branches, spans));
    server.add(ClusterServiceService, cluster);
  }

  private router<Term extends CoordinatorTerm | KeyValueTerm>(view: ClusterView): Router<Term> {
    const { here } = this;
    const places = new Places<Term>({
      view,
      clock: this.clock,
      get address() {
        return here.address;
      },
      term: (service, partition) => this.replica?.term(service, partition) as Term | undefined,
    });
    return new Router<Term>({ places, channels: this.channels, clock: this.clock, refuseWork: () => this.capacity.refusal });
  }

  private async listen(): Promise<void> {
    const { host, port, advertise } = this.settings;
    this.port = await this.server.listen(host, port);
    const anywhere = host === '0.0.0.0' || host === '::';
    const name = anywhere ? hostname() : host;
    this.here.address = advertise ?? (name.includes(':') ? `[${name}]:${this.port}` : `${name}:${this.port}`);
  }

  private reportHealth(readiness: Readiness): void {
    this.server.setServing('txmesh.coordinator.v1.CoordinatorService', readiness.isLed(COORDINATOR));
    const led = readiness.participantsLed;
    this.server.setServing('txmesh.keyvalue.v1.KeyValueService', led);
    this.server.setServing('txmesh.participant.v1.ParticipantService', led);
  }

  private scheduleCompaction(): void {
    this.compaction = this.clock.setTimer(COMPACT_EVERY_MS, () => {
      this.store.compact().catch((error: unknown) => this.ports.log('compaction failed', { error: String(error) }));
      this.scheduleCompaction();
    });
  }
}
