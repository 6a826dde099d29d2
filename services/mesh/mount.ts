/** The services of one process: those that it hosts, and the APIs that it serves. */

import { randomUUID, randomUUIDv7 } from 'node:crypto';
import { coordinatorCodec } from '../coordinator/codec.ts';
import { coordinatorApi, CoordinatorServiceService } from '../coordinator/handlers/handlers.ts';
import { hostCoordinator } from '../coordinator/handlers/host.ts';
import { transactionsOf } from '../coordinator/handlers/run.ts';
import type { CoordinatorTerm } from '../coordinator/handlers/service.ts';
import type { Failure } from '../kernel/failure.ts';
import type { Message as CoordinatorMessage } from '../kernel/coordinator/types.ts';
import type { OpaqueOperation } from '../kernel/messages.ts';
import type { Clock } from '../runtime/clock.ts';
import { ClusterHandlers } from '../runtime/cluster/handlers.ts';
import type { ClusterIdentity } from '../runtime/cluster/identity.ts';
import type { Hosted } from '../runtime/cluster/replica.ts';
import { COORDINATOR, type ClusterView, type Service, type ServiceKind } from '../runtime/cluster/view.ts';
import { FAULT_API, type FaultInjection } from '../runtime/faults/injection.ts';
import { branchHandlers } from '../runtime/participant/handlers/branches.ts';
import { describeCommand } from '../runtime/participant/host.ts';
import { Kinds } from '../runtime/participant/operations.ts';
import { unknownParticipant, type ParticipantTerm } from '../runtime/participant/service.ts';
import { ClusterServiceService } from '../runtime/router/cluster-handlers.ts';
import type { LocalTerm } from '../runtime/router/place.ts';
import type { Readiness } from '../runtime/router/readiness.ts';
import type { Router } from '../runtime/router/router.ts';
import { traced } from '../runtime/router/traced.ts';
import type { Store } from '../runtime/store/store.ts';
import { spanObserver } from '../runtime/telemetry/observer.ts';
import type { Metrics } from '../runtime/telemetry/metrics/metrics.ts';
import type { Spans } from '../runtime/telemetry/spans.ts';
import { participantService, type Links } from '../runtime/transport/links/index.ts';
import type { MeshServer } from '../runtime/transport/server.ts';
import { kindsOf, type MountedKind } from './kinds.ts';
import type { Faults, NodeSettings } from './types.ts';

export interface MountPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly spans: Spans;
  readonly metrics: Metrics | undefined;
  readonly server: MeshServer;
  log(message: string, fields: Record<string, unknown>): void;
  readonly faults?: Faults | undefined;
  /** Only of servers that inject faults. */
  readonly injection?: FaultInjection | undefined;
}

/** What there is once the cluster is joined. */
export interface Joined {
  readonly view: ClusterView;
  readonly links: Links;
  /** For requests to one kind of partitions. */
  router<Term extends LocalTerm<never>>(): Router<Term>;
}

const DEFAULT_RETENTION_MS = 15 * 60_000;
const COORDINATOR_API = 'txmesh.coordinator.v1.CoordinatorService';
const PARTICIPANT_API = 'txmesh.participant.v1.ParticipantService';
const CLUSTER_API = 'txmesh.cluster.v1.ClusterService';

export class Mount {
  private readonly settings: NodeSettings;
  private readonly ports: MountPorts;
  private readonly mounted: readonly MountedKind[];
  private readonly kinds: Kinds;
  /** Names of the kinds' APIs, and the kind that each is about. */
  private readonly apis: { readonly serviceName: string; readonly kind: ServiceKind }[] = [];

  constructor(settings: NodeSettings, ports: MountPorts) {
    this.settings = settings;
    this.ports = ports;
    this.mounted = kindsOf(settings);
    this.kinds = new Kinds(this.mounted.map(({ kind }) => kind));
  }

  /** The services to host here. */
  get wanted(): readonly Pick<Service, 'name' | 'kind'>[] {
    return [
      ...(this.settings.coordinator ? [{ name: COORDINATOR, kind: 'coordinator' as const }] : []),
      ...this.mounted.flatMap(({ kind, names }) => names.map((name) => ({ name, kind: kind.name }))),
    ];
  }

  /** As the kind of a participant that is hosted here reads them. */
  decodeOperations(view: ClusterView, participant: string, operations: readonly OpaqueOperation[]): readonly unknown[] | Failure {
    const service = view.services.get(participant);
    const kind = this.kinds.of(service);
    return kind === undefined ? unknownParticipant(service, participant, 'participant') : kind.decodeOperations(operations);
  }

  host(service: Service, links: Links, cluster: ClusterIdentity): Hosted {
    const { store, clock, spans, metrics } = this.ports;
    const { queueLimit, retentionMs = DEFAULT_RETENTION_MS } = this.settings;
    const { numbersAbove } = cluster;
    const common = { service, store, clock, entropy: Math.random, retentionMs, numbersAbove, metrics, ...(queueLimit !== undefined && { queueLimit }) };
    const [engine = ''] = store.description.split(' ');
    if (service.name === COORDINATOR)
      return hostCoordinator({
        ...common,
        send: (message) => this.sendFromCoordinator(message, links),
        observer: (partition, describe) => spanObserver(spans, engine, COORDINATOR, partition, describe),
      });
    const { kind } = this.mounted.find((each) => each.kind.name === service.kind)!;
    return kind.host({
      ...common,
      clusterId: cluster.clusterId,
      send: ({ message }) => links.toCoordinator(message),
      observer: (partition) => spanObserver(spans, engine, service.name, partition, describeCommand),
    });
  }

  private sendFromCoordinator(message: CoordinatorMessage, links: Links): void {
    if (this.ports.faults?.loses(message) === true) return;
    if (message.to === 'everybody') links.mark(message.mark);
    else links.toParticipant(message.message);
  }

  /**
   * Every API is served by every process: what is led elsewhere is forwarded.
   * @returns what ends the calls that the handlers keep open.
   */
  serve({ view, links, router }: Joined): () => void {
    const { clock, store, server, spans, metrics, log, injection } = this.ports;
    const struck = <Served extends object>(definition: object, handlers: Served): Served => injection?.handlers(definition, handlers) ?? handlers;
    const add = (definition: object, handlers: object): void => server.add(definition, traced(definition, struck(definition, handlers), spans));
    const common = { view, clock, store, newId: (): string => randomUUIDv7() };
    const coordinator = coordinatorApi({
      ...common,
      router: router<CoordinatorTerm>(),
      codec: coordinatorCodec,
      readOnlyTypes: this.kinds.readOnlyTypes,
      spans,
      metrics,
    });
    add(CoordinatorServiceService, coordinator.handlers);
    const closers = [() => coordinator.close()];
    const participant = { ...common, router: router<ParticipantTerm>(), transactions: transactionsOf(coordinator.handlers), spans, metrics, log };
    for (const { kind } of this.mounted) {
      const api = kind.api({ ...participant, kind, codec: kind.codec });
      for (const { definition, handlers, serviceName } of [api, ...(api.internal ?? [])]) {
        add(definition, handlers);
        this.apis.push({ serviceName, kind: kind.name });
      }
      closers.push(() => api.close?.());
    }
    const branches = branchHandlers({ ...participant, kinds: this.kinds, hear: links.hear.bind(links) });
    add(participantService(clock), { ...branches, exchange: links.exchange });
    const cluster = new ClusterHandlers({ view, store, clock, newId: randomUUID });
    closers.push(() => cluster.close());
    server.add(ClusterServiceService, struck(ClusterServiceService, cluster));
    if (injection !== undefined) server.add(injection.service.definition, injection.service.handlers);
    return () => closers.forEach((close) => close());
  }

  /** What needs no leader. */
  reportJoined(): void {
    this.ports.server.setServing(CLUSTER_API, true);
    if (this.ports.injection !== undefined) this.ports.server.setServing(FAULT_API, true);
  }

  reportHealth(readiness: Readiness): void {
    const { server } = this.ports;
    server.setServing(COORDINATOR_API, readiness.isLed(COORDINATOR));
    for (const { serviceName, kind } of this.apis) server.setServing(serviceName, readiness.areLed((each) => each === kind));
    server.setServing(PARTICIPANT_API, readiness.areLed((kind) => kind !== 'coordinator'));
  }
}
