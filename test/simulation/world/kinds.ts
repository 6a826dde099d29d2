/** The kernels and codecs of every service, by its kind. */

import { coordinatorCodec } from '../../../services/coordinator/codec.ts';
import { CoordinatorKernel } from '../../../services/kernel/coordinator/kernel.ts';
import type { OpaqueOperation } from '../../../services/kernel/messages.ts';
import type { ParticipantKindName, Service } from '../../../services/runtime/cluster/service.ts';
import type { RecordCodec } from '../../../services/runtime/partition/term.ts';
import { only } from '../bugs.ts';
import { COUNTER_KIND } from '../counter/kind.ts';
import { KEY_VALUE } from '../keys/kind.ts';
import { QUEUE_KIND } from '../queue/kind.ts';
import type { AnyKernel, AnyRecord, AnyTypes } from './commands.ts';
import type { KernelSettings, SimulatedKind } from './kind.ts';

const KINDS: Readonly<Record<ParticipantKindName, SimulatedKind>> = {
  'key-value': KEY_VALUE,
  counter: COUNTER_KIND,
  queue: QUEUE_KIND,
};

export function createKernel({ kind }: Service, settings: KernelSettings): AnyKernel {
  const { partition, retentionMs, cacheBytes, switches } = settings;
  if (kind === 'coordinator') return new CoordinatorKernel({ partition, retentionMs, cacheBytes }, only(switches.coordinator));
  return kindOf(kind).createKernel(settings);
}

export function codecOf({ kind }: Service): RecordCodec<AnyRecord> {
  return kind === 'coordinator' ? coordinatorCodec : kindOf(kind).codec;
}

export function decodeOperations({ kind }: Service, opaque: readonly OpaqueOperation[]): readonly AnyTypes['operation'][] {
  const operations = kindOf(kind).decodeOperations(opaque);
  if ('reason' in operations) throw new Error(`the workload made an operation that is refused: ${operations.message}`);
  return operations;
}

function kindOf(kind: Service['kind']): SimulatedKind {
  if (kind === 'coordinator' || kind === 'external') throw new Error(`${kind} is no kind of participant that is simulated`);
  return KINDS[kind];
}
