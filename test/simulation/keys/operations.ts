/** What clients ask of keys, and what they see of them. */

import { CheckOperation, PutOperation, type Precondition } from '../../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { BranchId } from '../../../services/kernel/messages.ts';
import { textCodec } from '../../../services/participant/codec-keyvalue.ts';
import type { Step } from '../work/step.ts';
import type { Answer, Build } from '../world/commands.ts';
import type { Place } from './places.ts';

export const COLLECTION = 'c';
const PACKAGE = 'type.googleapis.com/txmesh.keyvalue.v1.';

/** @param version what it must be; undefined: anything */
export function put(place: Place, value: Uint8Array, version?: number): Step {
  const operation = PutOperation.encode({ ...target(place, version), value, contentType: '', mergePolicy: 0 }).finish();
  return { ...place, readOnly: false, operation: { typeUrl: `${PACKAGE}PutOperation`, value: operation } };
}

export function check(place: Place, version: number): Step {
  const operation = CheckOperation.encode(target(place, version)).finish();
  return { ...place, readOnly: true, operation: { typeUrl: `${PACKAGE}CheckOperation`, value: operation } };
}

function target({ key }: Place, version: number | undefined): { collection: string; key: string; precondition: Precondition } {
  const condition = version === undefined ? ({ $case: 'any', value: true } as const) : ({ $case: 'version', value: BigInt(version) } as const);
  return { collection: COLLECTION, key, precondition: { condition } };
}

/** A key as a read showed it. */
export interface Seen {
  /** What a precondition names; an absent key has one too. */
  readonly version: number;
  /** The version that was written, 0 where none is: the workload never deletes. */
  readonly written: number;
  readonly value: string | undefined;
}

export function readOf(place: Place, consistency: 'linearizable' | 'eventual', timeoutMs: number, workspace?: BranchId): Build {
  return (nowMs, origin) => ({
    type: 'read',
    origin,
    query: { type: 'keys', names: [`${COLLECTION}/${place.key}`] },
    consistency,
    deadlineMs: nowMs + timeoutMs,
    ...(workspace === undefined ? {} : { workspace }),
  });
}

export function seenIn(answer: Answer): Seen | undefined {
  if (answer.type !== 'read' || !('entries' in answer.answer)) return undefined;
  const [entry] = answer.answer.entries;
  const { version, value } = entry!;
  return value === undefined ? { version, written: 0, value } : { version, written: version, value: textCodec.decode(value) };
}
