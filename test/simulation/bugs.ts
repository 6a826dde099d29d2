/**
 * The deliberate bugs, each switched on at the spot that upholds an invariant. For each the simulation
 * must find a violation within the stated number of seeds: that proves its checkers see.
 */

import type { CoordinatorBug } from '../../services/kernel/coordinator/bugs.ts';
import type { CounterBug } from '../../services/kernel/counter/types.ts';
import type { ParticipantBug } from '../../services/kernel/participant/bugs.ts';
import type { QueueBug } from '../../services/kernel/queue/bugs.ts';
import type { SeatBug } from '../../services/runtime/cluster/seat.ts';
import type { DriverBug } from '../../services/runtime/partition/term.ts';

/** What is switched on, and where. */
export interface Switches {
  readonly coordinator?: CoordinatorBug;
  /** Of every kind of participant. */
  readonly participant?: ParticipantBug;
  readonly counter?: CounterBug;
  readonly queue?: QueueBug;
  readonly coordinatorDriver?: DriverBug;
  readonly participantDriver?: DriverBug;
  readonly seat?: SeatBug;
  /** Leaves out the comparison of memory and store (P3), so that it is what clients see that gives the bug away. */
  readonly unreplayed?: true;
}

/** The set that a kernel takes. */
export function only<Name>(bug: Name | undefined): ReadonlySet<Name> {
  return new Set(bug === undefined ? [] : [bug]);
}

export interface Bug {
  readonly name: string;
  readonly sentence: string;
  readonly switches: Switches;
  /** The simulation finds it within this many seeds, the lowest from 1 on. */
  readonly seeds: number;
  /** Only seeds with this profile are counted; absent: all. */
  readonly profile?: string;
}

const bug = (name: string, sentence: string, seeds: number, switches: Switches, profile?: string): Bug => ({
  name,
  sentence,
  switches,
  seeds,
  profile,
});
/** A defect of the driver in all its partitions. */
const everywhere = (driver: DriverBug): Switches => ({ coordinatorDriver: driver, participantDriver: driver });

export const BUGS: readonly Bug[] = [
  bug('commit-before-durable', 'a commit is told before it is durable', 100, { coordinatorDriver: 'release-before-durable' }, 'unanswered writes'),
  bug('abort-before-durable', 'an abort is told to a client before it is durable', 30, { coordinator: 'abort-not-durable' }, 'careless clients'),
  bug('inquiry-ignores-attempt', 'the attempt is ignored in an inquiry', 400, { coordinator: 'attempt-ignored-in-inquiry' }, 'careless clients'),
  bug('prepare-ignores-attempt', 'the attempt is ignored in a prepare', 100, { participant: 'attempt-ignored-in-prepare' }, 'unanswered writes'),
  bug('unfenced-write', 'the fence is left out of a write', 80, everywhere('unfenced-write'), 'unanswered writes'),
  bug('deposed-answers-inquiry', 'a deposed leader answers an inquiry', 600, {
    coordinatorDriver: 'serve-without-lease',
    coordinator: 'later-epoch-ignored',
  }, 'deposed leaders'),
  bug('stale-read', 'a stale leader serves reads', 200, { participantDriver: 'serve-without-lease' }, 'pauses'),
  bug('old-election-key', 'a replica leads again under an election key that has an unanswered write', 40, { seat: 'lead-again-under-old-key' }, 'unanswered writes'),
  bug('ambiguous-is-failure', 'an ambiguous write is taken for a failure', 40, everywhere('ambiguous-taken-for-failure'), 'unanswered writes'),
  bug('locks-dropped', 'locks are dropped at a restart', 200, { participant: 'locks-dropped-at-restart', unreplayed: true }, 'mixed'),
  bug('read-only-with-writes', 'read-only branches are validated together with the writes', 100, { coordinator: 'read-only-with-writers' }, 'crowd'),
  bug('validation-ignores-lock', 'validation ignores a prepared lock', 40, { participant: 'validation-ignores-lock' }, 'crowd'),
  bug('read-ignores-lock', 'a read does not wait for a prepared lock', 40, { participant: 'read-ignores-lock' }, 'full queues'),
  bug('read-before-durable', 'a read is answered before the batch it saw is durable', 40, { participantDriver: 'read-before-durable' }, 'unanswered writes'),
  bug('waiters-out-of-order', 'waiters are granted out of age order', 40, { participant: 'waiters-out-of-order' }, 'crowd'),
  bug('local-refusal-forgotten', "a local transaction's refusal is forgotten", 150, { participant: 'local-refusal-forgotten' }, 'late copies'),
  bug('workspace-lost', 'an interactive transaction is prepared without the work lost in a failover', 40, { participant: 'prepare-without-workspace' }, 'interactive'),
  bug('collect-early', 'a committed record is collected before all branches have acknowledged', 200, { coordinator: 'collect-before-acknowledged', unreplayed: true }, 'late copies'),
  bug('forget-early', 'a participant forgets a commit while a late prepare can arrive', 250, { participant: 'forget-below-no-mark' }, 'careless clients'),
  bug('waiting-left-in-pack', 'a promise goes with its pack while its branch waits', 120, { participant: 'waiting-left-in-pack', unreplayed: true }, 'full queues'),
  bug('expired-executed', 'an expired id is executed again after a clock jump', 20, { coordinator: 'expired-id-executed' }, 'late copies'),
  bug('token-forgotten', 'a token is forgotten when shards change', 60, { counter: 'token-forgotten-on-move' }, 'shards'),
  bug('escrow-committed-only', 'escrow counts only committed adds', 20, { counter: 'escrow-counts-committed-only' }, 'escrow'),
  bug('prepared-add-missed', 'a read of a counter misses a prepared add', 60, { counter: 'read-misses-prepared-add' }, 'escrow'),
  bug('staged-touched', 'a deadline, limit or seek touches a staged message', 20, { queue: 'staged-message-touched' }, 'handlers'),
  bug('double-acknowledgement', 'two handlers acknowledge one message in two transactions', 20, { queue: 'double-ack', unreplayed: true }, 'handlers'),
  bug('publish-overtakes', 'a direct publish overtakes a prepared one of the same ordering key', 60, { queue: 'publish-overtakes' }, 'one key'),
  bug('delayed-lost', 'the wake-up of a delayed message is lost at failover', 20, { queue: 'delayed-lost', unreplayed: true }, 'delays'),
];
