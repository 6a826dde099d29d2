/**
 * The deliberate bugs, each switched on at the spot that upholds an invariant. For each the simulation
 * must find a violation within the stated number of seeds: that proves its checkers see.
 */

import type { CoordinatorBug } from '../../services/kernel/coordinator/bugs.ts';
import type { ParticipantBug } from '../../services/kernel/participant/bugs.ts';
import type { SeatBug } from '../../services/runtime/cluster/seat.ts';
import type { DriverBug } from '../../services/runtime/partition/term.ts';

/** What is switched on, and where. */
export interface Switches {
  readonly coordinator?: CoordinatorBug;
  readonly participant?: ParticipantBug;
  readonly coordinatorDriver?: DriverBug;
  readonly participantDriver?: DriverBug;
  readonly seat?: SeatBug;
  /** Leaves out the comparison of memory and store (P3), so that it is what clients see that gives the bug away. */
  readonly unreplayed?: true;
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
  bug('commit-before-durable', 'a commit is told before it is durable', 200, { coordinatorDriver: 'release-before-durable' }, 'unanswered writes'),
  bug('abort-before-durable', 'an abort is told to a client before it is durable', 200, { coordinator: 'abort-not-durable' }, 'careless clients'),
  bug('inquiry-ignores-attempt', 'the attempt is ignored in an inquiry', 200, { coordinator: 'attempt-ignored-in-inquiry' }, 'careless clients'),
  bug('prepare-ignores-attempt', 'the attempt is ignored in a prepare', 200, { participant: 'attempt-ignored-in-prepare' }, 'attempts'),
  bug('unfenced-write', 'the fence is left out of a write', 200, everywhere('unfenced-write'), 'unanswered writes'),
  bug('deposed-answers-inquiry', 'a deposed leader answers an inquiry', 200, {
    coordinatorDriver: 'serve-without-lease',
    coordinator: 'later-epoch-ignored',
  }, 'deposed leaders'),
  bug('stale-read', 'a stale leader serves reads', 200, { participantDriver: 'serve-without-lease' }, 'pauses'),
  bug('old-election-key', 'a replica leads again under an election key that has an unanswered write', 200, { seat: 'lead-again-under-old-key' }, 'unanswered writes'),
  bug('ambiguous-is-failure', 'an ambiguous write is taken for a failure', 200, everywhere('ambiguous-taken-for-failure'), 'unanswered writes'),
  bug('locks-dropped', 'locks are dropped at a restart', 200, { participant: 'locks-dropped-at-restart', unreplayed: true }, 'mixed'),
  bug('read-only-with-writes', 'read-only branches are validated together with the writes', 200, { coordinator: 'read-only-with-writers' }, 'crowd'),
  bug('validation-ignores-lock', 'validation ignores a prepared lock', 200, { participant: 'validation-ignores-lock' }, 'crowd'),
  bug('read-ignores-lock', 'a read does not wait for a prepared lock', 200, { participant: 'read-ignores-lock' }, 'full queues'),
  bug('read-before-durable', 'a read is answered before the batch it saw is durable', 200, { participantDriver: 'read-before-durable' }, 'unanswered writes'),
  bug('waiters-out-of-order', 'waiters are granted out of age order', 200, { participant: 'waiters-out-of-order' }, 'crowd'),
  bug('local-refusal-forgotten', "a local transaction's refusal is forgotten", 200, { participant: 'local-refusal-forgotten' }, 'late copies'),
  bug('workspace-lost', 'an interactive transaction is prepared without the work lost in a failover', 200, { participant: 'prepare-without-workspace' }, 'interactive'),
  bug('collect-early', 'a committed record is collected before all branches have acknowledged', 200, { coordinator: 'collect-before-acknowledged', unreplayed: true }, 'late copies'),
  bug('forget-early', 'a participant forgets a commit while a late prepare can arrive', 200, { participant: 'forget-below-no-mark' }, 'late copies'),
  bug('expired-executed', 'an expired id is executed again after a clock jump', 200, { coordinator: 'expired-id-executed' }, 'late copies'),
];
