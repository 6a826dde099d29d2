/** For tests: a participant kernel over some resource, run as the driver runs it. */

import { compareAttempts } from '../../attempt.ts';
import type { BranchId, ToCoordinator, ToParticipant } from '../../messages.ts';
import { idAt, KernelHarness, type KernelHarnessOptions } from '../../testing/harness.ts';
import type { ParticipantKernel } from '../kernel.ts';
import type { Resource } from '../resource.ts';
import type { ParticipantCommand, ParticipantMessage, ParticipantRecord, ParticipantReply, ProtocolRecord, ResourceTypes } from '../types.ts';

export const START_MS = 1_700_000_000_000;

/** The nth transaction id, of the time at which tests begin. */
export const id = (n: number, atMs = START_MS): string => idAt(atMs, n);

/** Branch of the nth transaction under an attempt of coordinator partition 1, epoch 1. */
export function branchOf(participant: string, partition: number, n: number, counter = n, epoch = 1): BranchId {
  return { transactionId: id(n), attempt: { epoch, counter }, coordinatorPartition: 1, participant, partition };
}

export abstract class PartitionHarness<T extends ResourceTypes, Event, R extends Resource<T>> extends KernelHarness<
  ParticipantCommand<T>,
  ParticipantRecord<T>,
  ParticipantReply<T>,
  ParticipantMessage,
  { readonly kernel: ParticipantKernel<T>; readonly resource: R }
> {
  readonly messages: ToCoordinator[] = [];
  readonly events: Event[] = [];

  constructor(options: KernelHarnessOptions<ParticipantRecord<T>>) {
    super(START_MS, options);
  }

  get resource(): R {
    return this.built.resource;
  }

  protected onMessage({ message }: ParticipantMessage): void {
    this.messages.push(message);
  }

  protected onEvent(event: unknown): void {
    this.events.push(event as Event);
  }

  /** Messages sent since the last call. */
  sent(): ToCoordinator[] {
    return this.messages.splice(0);
  }

  /** Hands over a message of a coordinator and returns what was sent. */
  hear(message: ToParticipant<T['operation']>): ToCoordinator[] {
    this.sent();
    this.run({ type: 'message', message });
    return this.sent();
  }

  /** Whether what is stored promises to commit the branch. */
  promises({ coordinatorPartition, attempt }: BranchId): boolean {
    for (const record of this.store.values()) {
      const stored = record as ProtocolRecord<T['effect']>;
      const branches = stored.type === 'prepared' ? stored.branches : stored.type === 'branch' ? [stored] : [];
      if (branches.some((other) => other.coordinatorPartition === coordinatorPartition && compareAttempts(other.attempt, attempt) === 0)) return true;
    }
    return false;
  }
}
