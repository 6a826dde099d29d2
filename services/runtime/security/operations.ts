/** What the operations of a transaction need: each the right that the same change by a call of its own needs. */

import { StrictReader } from '../transport/decode.ts';
import type { CarriedOperation, Judge, NamedKind, OperationAccess, OperationTable } from './access.ts';

const GROUP_END = 4;

/** One that has the name of its resource in field 1, as text. @param method "KeyValueService/Put" */
export function carried(method: string, kind: NamedKind): OperationAccess {
  return (participant, value, judge) => judge.needsFor(method, kind, participant, textOfFieldOne(value));
}

/** Judges the operations in their order, up to the first that is not allowed. */
export function judgeOperations(table: OperationTable, operations: readonly CarriedOperation[], judge: Judge): void {
  for (const { participant, operation } of operations) {
    if (!judge.allows) return;
    // The handler refuses it.
    if (operation === undefined) continue;
    const type = operation.typeUrl.slice(operation.typeUrl.lastIndexOf('/') + 1);
    const access = Object.hasOwn(table, type) ? table[type] : undefined;
    if (access === undefined) {
      judge.needsOperation(type, participant);
      continue;
    }
    try {
      access(participant, operation.value, judge);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      judge.refuse({ reason: 'MALFORMED_MESSAGE', message: `an operation can't be decoded as ${type}: ${why}` });
    }
  }
}

/** As generated code reads it: of a field that comes twice, the last one. @throws Error */
function textOfFieldOne(bytes: Uint8Array): string {
  const reader = new StrictReader(bytes);
  let text = '';
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 10) text = reader.string();
    else if (tag === 0 || (tag & 7) === GROUP_END) throw new Error(`the message ends after ${reader.pos} of ${reader.len} bytes`);
    else reader.skip(tag & 7, tag >>> 3);
  }
  return text;
}
