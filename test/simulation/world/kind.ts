/** What the simulated mesh has to know of a kind of participant: all kinds are run, followed and checked alike. */

import type { Failure } from '../../../services/kernel/failure.ts';
import type { OpaqueOperation } from '../../../services/kernel/messages.ts';
import { DEFAULT_SETTINGS, type ParticipantSettings } from '../../../services/kernel/participant/types.ts';
import type { RecordCodec } from '../../../services/runtime/partition/term.ts';
import type { Switches } from '../bugs.ts';
import type { AnyKernel, AnyRecord, AnyTypes } from './commands.ts';

/** Of one partition's kernel. */
export interface KernelSettings {
  readonly participant: string;
  readonly partition: number;
  readonly retentionMs: number;
  /** Of each of its caches. */
  readonly cacheBytes: number;
  /** Earlier versions to keep, where there are versions. */
  readonly historyLimit: number;
  readonly switches: Switches;
}

export interface SimulatedKind {
  createKernel(settings: KernelSettings): AnyKernel;
  readonly codec: RecordCodec<AnyRecord>;
  /** As the participant's transport does before the kernel sees them. */
  decodeOperations(operations: readonly OpaqueOperation[]): readonly AnyTypes['operation'][] | Failure;
}

/** Of the branch protocol: the same for every kind. */
export function participantSettings({ participant, partition, retentionMs }: KernelSettings): ParticipantSettings {
  return {
    ...DEFAULT_SETTINGS,
    participant,
    partition,
    retentionMs,
    lockWaitMs: 600,
    workspaceLifetimeMs: 5_000,
    inquiryDelayMs: 200,
    inquiryCapMs: 2_000,
    urgentInquiryMs: 50,
    forgetIntervalMs: 300,
  };
}
