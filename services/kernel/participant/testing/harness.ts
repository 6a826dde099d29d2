/** For tests: a participant kernel over keys. */

import type { Origin } from '../../kernel.ts';
import { KeyValueResource } from '../../keyvalue/resource.ts';
import {
  DEFAULT_KEY_VALUE_SETTINGS,
  type KeyEntry,
  type KeyValueEvent,
  type KeyValueOperation,
  type KeyValueSettings,
  type KeyValueTypes,
  type Precondition,
  type PutOperation,
} from '../../keyvalue/types.ts';
import type { BranchId, Prepare, ToCoordinator, ToParticipant } from '../../messages.ts';
import type { KernelHarnessOptions } from '../../testing/harness.ts';
import type { ParticipantBug } from '../bugs.ts';
import { ParticipantKernel } from '../kernel.ts';
import { type CommandOf, DEFAULT_SETTINGS, type ParticipantCommand, type ParticipantRecord, type ParticipantReply, type ParticipantSettings } from '../types.ts';
import { branchOf, id, PartitionHarness } from './partition.ts';

export { id };

type T = KeyValueTypes;
type Reply = ParticipantReply<T>;

export interface HarnessOptions extends KernelHarnessOptions<ParticipantRecord<T>> {
  readonly settings?: Partial<ParticipantSettings>;
  readonly keyValue?: Partial<KeyValueSettings>;
  readonly bugs?: readonly ParticipantBug[];
}

/** Branch of the nth transaction under an attempt of coordinator partition 1, epoch 1. */
export const branch = (n: number, counter?: number, epoch?: number): BranchId => branchOf('stock', 3, n, counter, epoch);

export function put(name: string, value = 'x', more: Partial<PutOperation> = {}): PutOperation {
  return { type: 'put', name, value: bytes(value), contentType: '', precondition: 'any', mergePolicy: 'reject', ...more };
}

export function check(name: string, precondition: Precondition): KeyValueOperation {
  return { type: 'check', name, precondition };
}

export function remove(name: string, precondition: Precondition = 'any'): KeyValueOperation {
  return { type: 'delete', name, precondition };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
export const bytes = (text: string): Uint8Array => encoder.encode(text);
export const text = (value: Uint8Array | undefined): string | undefined => value && decoder.decode(value);

export class Harness extends PartitionHarness<T, KeyValueEvent, KeyValueResource> {
  private readonly options: HarnessOptions;

  constructor(options: HarnessOptions = {}) {
    super(options);
    this.options = options;
    this.restart();
  }

  protected build(): { kernel: ParticipantKernel<T>; resource: KeyValueResource } {
    const { settings, keyValue, bugs } = this.options;
    const resource = new KeyValueResource({
      ...DEFAULT_KEY_VALUE_SETTINGS,
      participant: 'stock',
      text: { encode: bytes, decode: (value) => decoder.decode(value) },
      describeConflict: (conflict) => ({ typeUrl: 'conflict', value: bytes(JSON.stringify(conflict)) }),
      ...keyValue,
    });
    const kernel = new ParticipantKernel<T>({
      settings: { ...DEFAULT_SETTINGS, participant: 'stock', partition: 3, ...settings },
      resource,
      bugs: new Set(bugs),
    });
    return { kernel, resource };
  }

  message(message: ToParticipant<KeyValueOperation>, origin?: Origin): ParticipantCommand<T> {
    return { type: 'message', message, origin };
  }

  /** Prepares a branch and returns what was sent. */
  prepare(branch: BranchId, operations: KeyValueOperation[], more: Partial<Prepare<KeyValueOperation>> = {}): ToCoordinator[] {
    const { nowMs } = this;
    const prepare = { type: 'prepare', branch, operations, firstTryMs: nowMs, deadlineMs: nowMs + 1000, readOnly: false } as const;
    return this.hear({ ...prepare, ...more });
  }

  /** Hands over an outcome or another message about a branch and returns what was sent. */
  tell(type: 'commit' | 'abort' | 'pending' | 'forget', branch: BranchId): ToCoordinator[] {
    return this.hear({ type, branch });
  }

  mark(counter: number, epoch = 1): void {
    this.run({ type: 'mark', coordinatorPartition: 1, lowWaterMark: { epoch, counter } });
  }

  /** Runs a local transaction and returns its reply, if it has one yet. */
  local(n: number, operations: KeyValueOperation[], more: Partial<CommandOf<'local', T>> = {}): Reply | undefined {
    const { nowMs } = this;
    return this.run({
      type: 'local',
      origin: this.origin(),
      transactionId: id(n),
      fingerprint: 'f',
      operations,
      firstTryMs: nowMs,
      deadlineMs: nowMs,
      ...more,
    })[0];
  }

  /** What a key holds now, without waiting. */
  value(name: string): string | undefined {
    return text(this.read([name], 'eventual')![0]!.value);
  }

  /** Entries, or undefined while the read waits. */
  read(names: string[], consistency: 'linearizable' | 'eventual' = 'linearizable', workspace?: BranchId): readonly KeyEntry[] | undefined {
    const reply = this.run({
      type: 'read',
      origin: this.origin(),
      query: { type: 'keys', names },
      consistency,
      deadlineMs: this.nowMs + 1000,
      workspace,
    })[0];
    return reply?.type === 'read' ? reply.answer.entries : undefined;
  }
}
