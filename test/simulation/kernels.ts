/** The kernels with their codecs as the services build them, with settings that suit a small world. */

import { CheckOperation, PutOperation, type Precondition } from '../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import { coordinatorCodec } from '../../services/coordinator/codec.ts';
import type { CoordinatorBug } from '../../services/kernel/coordinator/bugs.ts';
import { CoordinatorKernel } from '../../services/kernel/coordinator/kernel.ts';
import { KeyValueResource } from '../../services/kernel/keyvalue/resource.ts';
import {
  DEFAULT_KEY_VALUE_SETTINGS,
  type ChangeRecord,
  type KeyRecord,
  type KeyValueOperation,
  type KeyValueTypes,
  type VersionRecord,
} from '../../services/kernel/keyvalue/types.ts';
import type { BranchId, OpaqueOperation, ToParticipant } from '../../services/kernel/messages.ts';
import type { ParticipantBug } from '../../services/kernel/participant/bugs.ts';
import { ParticipantKernel } from '../../services/kernel/participant/kernel.ts';
import { DEFAULT_SETTINGS, type ParticipantCommand } from '../../services/kernel/participant/types.ts';
import { COORDINATOR } from '../../services/runtime/cluster/view.ts';
import type { RecordCodec } from '../../services/runtime/partition/term.ts';
import { describeConflict, textCodec } from '../../services/participant/codec-keyvalue.ts';
import { decodeOperations } from '../../services/participant/codec-operations.ts';
import { participantCodec } from '../../services/participant/codec.ts';
import type { Place } from './cluster.ts';
import type { Answer, Build, KeyValueKernel } from './commands.ts';

const COLLECTION = 'c';
const PACKAGE = 'type.googleapis.com/txmesh.keyvalue.v1.';

export function createCoordinator(partition: number, retentionMs: number, cacheBytes: number, bug: CoordinatorBug | undefined): CoordinatorKernel {
  return new CoordinatorKernel({ partition, retentionMs, cacheBytes }, new Set(bug === undefined ? [] : [bug]));
}

export function createParticipant(
  participant: string,
  partition: number,
  retentionMs: number,
  cacheBytes: number,
  historyLimit: number,
  bug: ParticipantBug | undefined,
): KeyValueKernel {
  const resource = new KeyValueResource({
    ...DEFAULT_KEY_VALUE_SETTINGS,
    participant,
    historyLimit,
    cacheBytes,
    changeRetentionMs: retentionMs,
    text: textCodec,
    describeConflict,
  });
  return new ParticipantKernel<KeyValueTypes>({
    settings: {
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
    },
    resource,
    ...(bug === undefined ? {} : { bugs: new Set([bug]) }),
  });
}

// oxlint-disable-next-line typescript/no-explicit-any -- one driver, two kinds of records
export function codecOf(service: string): RecordCodec<any> {
  return service === COORDINATOR ? coordinatorCodec : participantCodec;
}

/** The versions that a record of a participant tells of, by key; without a value where only another record has it. */
export function* versionsIn(key: string, decode: () => unknown): Generator<{ name: string; version: number; value?: string }> {
  if (key.startsWith('change/')) {
    for (const { name, version } of (decode() as ChangeRecord).changes) yield { name: keyIn(name), version };
  } else if (key.startsWith('key/')) {
    const record = decode() as KeyRecord;
    if (record.value !== undefined) yield { name: keyIn(key.slice('key/'.length)), version: record.version, value: text(record.value) };
  } else if (key.startsWith('version/')) {
    const record = decode() as VersionRecord;
    const name = key.slice('version/'.length, key.indexOf('\0'));
    if (record.value !== undefined) yield { name: keyIn(name), version: record.version, value: text(record.value) };
  }
}

const text = textCodec.decode;
const keyIn = (name: string): string => name.slice(COLLECTION.length + 1);

/** One operation of the workload. */
export interface Operation {
  readonly type: 'put' | 'check';
  readonly place: Place;
  /** What must hold; undefined: anything. */
  readonly version: number | undefined;
  readonly value: Uint8Array | undefined;
}

export function operationOf({ type, place, version, value }: Operation): KeyValueOperation {
  const name = `${COLLECTION}/${place.key}`;
  const precondition = version ?? 'any';
  if (type === 'check') return { type, name, precondition };
  return { type, name, precondition, value: value!, contentType: '', mergePolicy: 'reject' };
}

/** As the coordinator carries it. */
export function opaqueOf(operation: Operation): OpaqueOperation {
  const { place, version, value } = operation;
  const precondition: Precondition = {
    condition: version === undefined ? { $case: 'any', value: true } : { $case: 'version', value: BigInt(version) },
  };
  const common = { collection: COLLECTION, key: place.key, precondition };
  const bytes =
    operation.type === 'check'
      ? CheckOperation.encode(common).finish()
      : PutOperation.encode({ ...common, value: value!, contentType: '', mergePolicy: 0 }).finish();
  return { typeUrl: `${PACKAGE}${operation.type === 'check' ? 'CheckOperation' : 'PutOperation'}`, value: bytes };
}

/** As the participant's transport does before the kernel sees it. */
export function decodeMessage(message: ToParticipant): ToParticipant<KeyValueOperation> {
  if (message.type !== 'prepare') return message;
  const decoded = decodeOperations(message.operations);
  if ('failure' in decoded) throw new Error(`the workload made an operation that is refused: ${decoded.failure.message}`);
  return { ...message, operations: decoded.operations };
}

export function localOf(
  transactionId: string,
  origin: object,
  operations: readonly Operation[],
  firstTryMs: number,
  deadlineMs: number,
): ParticipantCommand<KeyValueTypes> {
  return { type: 'local', origin, transactionId, fingerprint: 'content 0', operations: operations.map(operationOf), firstTryMs, deadlineMs };
}

/** A key as a read showed it. */
export interface Seen {
  /** What a precondition names; an absent key has one too. */
  readonly version: number;
  /** The version that was written, 0 where none is: the workload never deletes. */
  readonly written: number;
  readonly value: string | undefined;
}

/** Reads of one key. */
export const readAnswer = {
  ask(place: Place, consistency: 'linearizable' | 'eventual', timeoutMs: number, workspace?: BranchId): Build {
    return (nowMs, origin) => ({
      type: 'read',
      origin,
      query: { type: 'keys', names: [`${COLLECTION}/${place.key}`] },
      consistency,
      deadlineMs: nowMs + timeoutMs,
      ...(workspace === undefined ? {} : { workspace }),
    });
  },

  take(answer: Answer): Seen | undefined {
    if (answer.type !== 'read') return undefined;
    const [entry] = answer.answer.entries;
    const { version, value } = entry!;
    return value === undefined ? { version, written: 0, value } : { version, written: version, value: text(value) };
  },
};
