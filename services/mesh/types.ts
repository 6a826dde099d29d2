/** What a process of a mesh is told, what it needs of the world, and what it is. */

import type * as grpc from '@grpc/grpc-js';
import type { Message as CoordinatorMessage } from '../kernel/coordinator/types.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ClusterView } from '../runtime/cluster/view.ts';
import type { Store } from '../runtime/store/store.ts';
import type { Spans } from '../runtime/telemetry/spans.ts';
import type { ServerSettings } from '../runtime/transport/server.ts';

/** Times in milliseconds. */
export interface NodeSettings {
  /** Where to listen; port 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** Where to tell health in plain text, beside the port. Default: nowhere. */
  readonly healthPort?: number | undefined;
  /** host:port under which others reach this process. Default: where it listens. */
  readonly advertise?: string | undefined;
  /** Whether to host the coordinator. */
  readonly coordinator: boolean;
  /** Names of the key-value participants to host. */
  readonly participants: readonly string[];
  /** Names of the queues to host. Default: none. */
  readonly queues?: readonly string[];
  /** Names of the counter services to host. Default: none. */
  readonly counters?: readonly string[];
  /** host:port of other clusters, to exchange the state of replicated counters with. */
  readonly counterPeers?: readonly string[];
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
  /** Whether FaultService is served, for development. Default false: then there is no trace of it. */
  readonly faultInjection?: boolean;
  readonly server?: Partial<ServerSettings>;
}

/** What can go wrong on purpose, for the tour and for tests. Nothing else sets it. */
export interface Faults {
  /** Whether this message of a coordinator partition, to a participant or to everybody, is lost on its way. */
  loses(message: CoordinatorMessage): boolean;
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
