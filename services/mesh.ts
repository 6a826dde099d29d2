/**
 * One process of a mesh, put together: it joins the cluster, campaigns for its share of the partitions
 * of the services that it hosts, and serves every API on one port. What it needs of the world (a
 * store, a clock, a log) is handed in.
 */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Failure } from './kernel/failure.ts';
import { Mount } from './mesh/mount.ts';
import type { Node, NodePorts, NodeSettings } from './mesh/types.ts';
import { systemClock, type Clock, type Timer } from './runtime/clock.ts';
import { joinCluster, joinService } from './runtime/cluster/identity.ts';
import { Replica, type Hosted } from './runtime/cluster/replica.ts';
import { ClusterView } from './runtime/cluster/view.ts';
import { FAULT_PROTO, FaultInjection } from './runtime/faults/injection.ts';
import { Capacity } from './runtime/router/capacity.ts';
import { Places, type LocalTerm } from './runtime/router/place.ts';
import { Readiness } from './runtime/router/readiness.ts';
import { Router } from './runtime/router/router.ts';
import { MeteredStore } from './runtime/store/metered.ts';
import type { Store } from './runtime/store/store.ts';
import { leadershipCounter, watchCluster } from './runtime/telemetry/metrics/cluster.ts';
import type { Metrics } from './runtime/telemetry/metrics/metrics.ts';
import { Spans } from './runtime/telemetry/spans.ts';
import { Channels } from './runtime/transport/channels.ts';
import { Links, type LinkTerm } from './runtime/transport/links/index.ts';
import { MeshServer } from './runtime/transport/server.ts';

export type { Faults, Node, NodePorts, NodeSettings } from './mesh/types.ts';

const DEFAULTS = { partitions: 4, leaseTtlMs: 5_000, drainMs: 10_000 };
const COMPACT_EVERY_MS = 60_000;
const STORE_FULL = { 'txmesh.reason': 'store_full' };

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
  private readonly mount: Mount;
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
    this.clock = ports.clock ?? systemClock;
    const { clock } = this;
    const { log, credentials, guard, metrics, spans = new Spans(false, '') } = ports;
    const injection = settings.faultInjection ? new FaultInjection({ clock, spans, log, entropy: Math.random }) : undefined;
    if (injection !== undefined) this.undo.push(() => injection.close());
    const inner = injection?.store(ports.store) ?? ports.store;
    this.store = metrics === undefined ? inner : new MeteredStore(inner, metrics);
    this.channels = new Channels({ clock, metrics, ...(credentials && { credentials: credentials.channels }) });
    this.capacity = new Capacity(this.store, clock);
    this.server = new MeshServer({
      clock,
      entropy: Math.random,
      log,
      metrics,
      guard,
      ...(credentials && { credentials: credentials.server }),
      ...(settings.server && { settings: settings.server }),
      ...(injection === undefined && { hiddenFiles: [FAULT_PROTO] }),
    });
    const { store, server } = this;
    this.mount = new Mount(settings, { store, clock, server, log, spans, metrics, faults: ports.faults, injection });
  }

  get address(): string {
    return this.here.address;
  }

  get view(): ClusterView {
    return this.joined!;
  }

  async start(): Promise<void> {
    const { settings, store, clock, mount } = this;
    const { metrics } = this.ports;
    const cluster = await joinCluster(store, randomUUID(), clock.nowMs());
    const fallback = settings.defaultPartitions ?? DEFAULTS.partitions;
    const services = [];
    for (const { name, kind } of mount.wanted) services.push(await joinService(store, name, kind, settings.partitions, fallback));
    const view = (this.joined = new ClusterView(cluster, store, clock));
    this.undo.push(() => view.close());
    await view.refreshServices();
    const links = this.createLinks(view);
    this.hosted = services.map((service) => mount.host(service, links, cluster));
    this.undo.push(mount.serve({ view, links, router: <Term extends LocalTerm<never>>() => this.router<Term>(view) }));
    const names = services.map(({ name }) => name);
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
      ...(metrics && { onLeadership: leadershipCounter(metrics, names) }),
    });
    if (metrics !== undefined) this.undo.push(this.watchCluster(metrics, view, names));
    const readiness = (this.readiness = new Readiness(view));
    this.undo.push(view.onChange(() => mount.reportHealth(readiness)));
    await this.replica.start();
    mount.reportJoined();
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
      decodeOperations: (participant, operations) => this.mount.decodeOperations(view, participant, operations),
      channels: this.channels,
      clock: this.clock,
      entropy: Math.random,
      requests: this.ports.metrics?.requests,
      log: this.ports.log,
    });
    this.undo.push(() => links.close());
    return links;
  }

  private router<Term extends LocalTerm<never>>(view: ClusterView): Router<Term> {
    const { here } = this;
    const places = new Places<Term>({
      view,
      clock: this.clock,
      get address() {
        return here.address;
      },
      term: (service, partition) => this.replica?.term(service, partition) as Term | undefined,
    });
    const refused = this.ports.metrics?.counter('txmesh.admission.refused');
    refused?.add(0, STORE_FULL);
    const refuseWork = (): Failure | undefined => {
      const { refusal } = this.capacity;
      if (refusal !== undefined) refused?.add(1, STORE_FULL);
      return refusal;
    };
    return new Router<Term>({ places, channels: this.channels, clock: this.clock, refuseWork });
  }

  private watchCluster(metrics: Metrics, view: ClusterView, hosted: readonly string[]): () => void {
    const { here, replica } = this;
    return watchCluster(metrics, hosted, {
      services: () => view.services.values(),
      isLedHere: (service, partition) => replica?.term(service, partition) !== undefined,
      leaderOf: (service, partition) => view.leader(service, partition)?.address,
      address: here.address,
      get cutOff() {
        return replica?.cutOff === true;
      },
      usage: () => this.capacity.usage,
    });
  }

  private async listen(): Promise<void> {
    const { host, port, healthPort, advertise } = this.settings;
    this.port = await this.server.listen(host, port);
    if (healthPort !== undefined) await this.server.listenForProbes(host, healthPort);
    const anywhere = host === '0.0.0.0' || host === '::';
    const name = anywhere ? hostname() : host;
    this.here.address = advertise ?? (name.includes(':') ? `[${name}]:${this.port}` : `${name}:${this.port}`);
  }

  private scheduleCompaction(): void {
    this.compaction = this.clock.setTimer(COMPACT_EVERY_MS, () => {
      this.store.compact().catch((error: unknown) => this.ports.log('compaction failed', { error: String(error) }));
      this.scheduleCompaction();
    });
  }
}
