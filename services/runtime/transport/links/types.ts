/** What links need of their surroundings. */

import type { Failure } from '../../../kernel/failure.ts';
import type { Mark, OpaqueOperation, ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import type { Clock } from '../../clock.ts';
import type { ClusterView } from '../../cluster/view.ts';
import type { Priority } from '../../partition/term.ts';
import type { Requests } from '../../telemetry/metrics/requests.ts';
import type { Channels } from '../channels.ts';

/** What a partition's term takes from links; a part of the kernels' commands. */
export type LinkCommand =
  | { readonly type: 'message'; readonly message: ToParticipant<unknown> | ToCoordinator }
  | ({ readonly type: 'mark' } & Mark);

/** The part of a partition's term that links see; see services/runtime/partition/term.ts. */
export interface LinkTerm {
  readonly epoch: number;
  /** Says why where it does not take the command, which is surely not executed then. */
  submit(command: LinkCommand, priority: Priority): Failure | undefined;
}

/** The part of {@link ClusterView} that links see. */
export type LinkView = Pick<ClusterView, 'leader' | 'service' | 'services' | 'members' | 'externals' | 'onChange'>;

/** Times in milliseconds, sizes in bytes. */
export interface LinkSettings {
  /** An idle link says that it is there, and its marks, this often. */
  readonly heartbeatMs: number;
  /** Marks that change all the time are sent this often. */
  readonly markMs: number;
  /** How long a link may take to come up. */
  readonly connectMs: number;
  /** Delay before a link that was lost is tried again: the first, and the cap. Full jitter. */
  readonly reconnectMs: number;
  readonly reconnectCapMs: number;
  /** What may wait at one link, of prepares and of everything else each. */
  readonly bufferMessages: number;
  readonly bufferBytes: number;
  /** The most that is put into one frame, so that it stays below the receiver's limit. */
  readonly frameBytes: number;
  /** Deadline of a plain call to an external participant, and how many prepares, and others, may be under way at each. */
  readonly callMs: number;
  readonly callsInFlight: number;
  /** How long an external participant that does not serve Exchange is not asked for it again. */
  readonly exchangeRetryMs: number;
}

export const DEFAULT_LINK_SETTINGS: LinkSettings = {
  heartbeatMs: 1_000,
  markMs: 100,
  connectMs: 3_000,
  reconnectMs: 50,
  reconnectCapMs: 1_000,
  bufferMessages: 20_000,
  bufferBytes: 64 * 1024 * 1024,
  frameBytes: 1024 * 1024,
  callMs: 10_000,
  callsInFlight: 1_024,
  exchangeRetryMs: 60_000,
};

export interface LinksOptions {
  readonly clusterId: string;
  /** Address at which this replica serves: no link is opened to it. */
  readonly address: string;
  readonly view: LinkView;
  /** The term of a partition that is led in this process. */
  term(service: string, partition: number): LinkTerm | undefined;
  /**
   * Turns what a participant was asked to do into its own terms. Bytes may be kept: they are nobody
   * else's. A failure makes the branch vote no with it.
   */
  decodeOperations(participant: string, operations: readonly OpaqueOperation[]): readonly unknown[] | Failure;
  readonly channels: Channels;
  readonly clock: Clock;
  /** A number in [0, 1) for jitter. */
  entropy(): number;
  log(message: string, fields: Record<string, unknown>): void;
  /** Absent: nobody counts. */
  readonly requests?: Requests | undefined;
  readonly settings?: Partial<LinkSettings>;
}
