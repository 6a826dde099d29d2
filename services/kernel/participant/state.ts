/** What the parts of a participant kernel share: one partition's settings, locks, epoch and revision. */

import type { Output } from '../kernel.ts';
import type { ToCoordinator } from '../messages.ts';
import type { ParticipantBug } from './bugs.ts';
import { Timers, type Timed } from '../timers.ts';
import { LockTable } from './locks.ts';
import type { Resource } from './resource.ts';
import { CONFLICTS, type ParticipantTally } from './tally.ts';
import type { Failure } from '../failure.ts';
import type {
  ParticipantCommand,
  ParticipantMessage,
  ParticipantRecord,
  ParticipantReply,
  ParticipantSettings,
  ResourceTypes,
} from './types.ts';

export type ParticipantOutput<T extends ResourceTypes> = Output<
  ParticipantCommand<T>,
  ParticipantRecord<T>,
  ParticipantReply<T>,
  ParticipantMessage
>;

/** Something that waits for its time. */
export interface Alarm extends Timed {
  ring(): void;
}

export class PartitionState<T extends ResourceTypes> {
  readonly settings: ParticipantSettings;
  readonly resource: Resource<T>;
  readonly bugs: ReadonlySet<ParticipantBug>;
  readonly locks: LockTable;
  readonly tally: ParticipantTally | undefined;
  readonly alarms = new Timers<Alarm>();
  epoch = 0;
  /** The highest version given out (invariant K1). */
  revision: number;
  /** `progress` differs from what is stored. */
  progressChanged = false;

  // Of the step under way.
  nowMs = 0;
  entropy = 0;
  out!: ParticipantOutput<T>;

  constructor(settings: ParticipantSettings, resource: Resource<T>, bugs: ReadonlySet<ParticipantBug>, tally?: ParticipantTally) {
    this.settings = settings;
    this.revision = settings.numbersAbove;
    this.resource = resource;
    this.bugs = bugs;
    this.tally = tally;
    this.locks = new LockTable(bugs.has('waiters-out-of-order'));
  }

  /** Commits an effect under a revision of its own. Returns the partition's revision. */
  apply(effect: T['effect'], held: boolean): number {
    if (this.resource.changes(effect)) this.takeRevision();
    this.resource.apply(effect, this.revision, this.nowMs, held, this.out);
    return this.revision;
  }

  countRefusal({ reason }: Failure): void {
    if (this.tally !== undefined && CONFLICTS.has(reason)) this.tally.conflicted(reason);
  }

  takeRevision(): number {
    this.progressChanged = true;
    return ++this.revision;
  }

  send(message: ToCoordinator): void {
    this.out.send({ to: 'coordinator', message });
  }
}
