/**
 * Whose word counts at the coordinators' end of links. Replicas of the mesh are believed. Of a participant
 * outside of it no more is known than the address that was registered, so whoever answers there is heard
 * for the participants that are registered there, and for nothing else: it can't vote or acknowledge for
 * others, and deposes no leader.
 */

import type { BranchId } from '../../../kernel/messages.ts';
import { partitionOf } from '../../../kernel/hash.ts';
import type { Clock } from '../../clock.ts';
import { COORDINATOR } from '../../cluster/view.ts';
import type { LinkView } from './types.ts';

/** Of one address, what is not heard is told of this often, milliseconds. */
const TELL_EVERY_MS = 10_000;

export interface SpeakersOptions {
  readonly view: Pick<LinkView, 'leader' | 'service' | 'members' | 'externals'>;
  readonly clock: Clock;
  /** Of the coordinator partition's leader in this process; undefined: there is none. */
  epoch(coordinatorPartition: number): number | undefined;
  log(message: string, fields: Record<string, unknown>): void;
}

export class Speakers {
  private readonly options: SpeakersOptions;
  private replicas: ReadonlySet<string> = new Set();
  /** By address: how much was not heard since the log told of it, and when (monotonic) it may again. */
  private readonly unheard = new Map<string, { count: number; untilMs: number }>();

  constructor(options: SpeakersOptions) {
    this.options = options;
    this.reconsider();
  }

  /** The view has changed. */
  reconsider(): void {
    const { members, externals } = this.options.view;
    this.replicas = new Set([...members.values()].map(({ address }) => address));
    const registered = new Set([...externals.values()].map(({ address }) => address));
    for (const address of this.unheard.keys()) if (!registered.has(address)) this.unheard.delete(address);
  }

  /** Whether the address is a replica's, which needs not be looked at message by message. */
  isReplica(address: string): boolean {
    return this.replicas.has(address);
  }

  /** Whether the branch is one of a participant that is at this address now. */
  serves(address: string, { participant, partition }: BranchId): boolean {
    const { view } = this.options;
    const external = view.externals.get(participant);
    // Leadership may be seen before the membership.
    if (external === undefined) return view.leader(participant, partition)?.address === address || this.replicas.has(address);
    return external.address === address && partition === 0;
  }

  /** Whether a message about the branch, which came from an address that is no replica's, is heard. */
  hears(address: string, branch: BranchId): boolean {
    const reason = this.fault(address, branch);
    if (reason !== undefined) this.tell(address, branch, reason);
    return reason === undefined;
  }

  private fault(address: string, branch: BranchId): string | undefined {
    const { participant, partition, transactionId, attempt, coordinatorPartition } = branch;
    const { view, epoch } = this.options;
    if (!this.serves(address, branch)) return `partition ${partition} of ${participant} is not at this address`;
    if (!view.externals.has(participant)) return undefined;
    const partitions = view.service(COORDINATOR)?.partitions ?? 0;
    if (partitions === 0 || partitionOf(transactionId, partitions) !== coordinatorPartition)
      return `transaction ${transactionId} does not belong to coordinator partition ${coordinatorPartition}`;
    const ours = epoch(coordinatorPartition);
    // A replica with a later epoch would depose the leader (P5). Not heard, it asks again (T4).
    if (ours !== undefined && attempt.epoch > ours) return `it was sent no attempt of epoch ${attempt.epoch}, which is above ${ours}`;
    return undefined;
  }

  private tell(address: string, { participant }: BranchId, reason: string): void {
    const nowMs = this.options.clock.monotonicMs();
    let unheard = this.unheard.get(address);
    if (unheard === undefined) this.unheard.set(address, (unheard = { count: 0, untilMs: nowMs }));
    unheard.count++;
    if (nowMs < unheard.untilMs) return;
    this.options.log('what a participant may not say is not heard', { address, participant, reason, messages: unheard.count });
    unheard.count = 0;
    unheard.untilMs = nowMs + TELL_EVERY_MS;
  }
}
