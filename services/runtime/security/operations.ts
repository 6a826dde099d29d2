/** What the operations of a transaction need: each the right that the same change by a call of its own needs. */

import { StrictReader } from '../transport/decode.ts';
import type { CarriedOperation, Judge, NamedKind, OperationAccess, OperationTable } from './access.ts';

const GROUP_END = 4;

/** What an operation that has certain fields needs beside its own right: its refusal tells what is there. */
export interface Telling {
  readonly fields: readonly number[];
  readonly method: string;
}

/** One that has the name of its resource in field 1, as text. @param method "KeyValueService/Put" */
export function carried(method: string, kind: NamedKind, telling?: Telling): OperationAccess {
  return (participant, value, judge) => {
    const { name, tells } = read(value, telling?.fields);
    judge.needsFor(method, kind, participant, name);
    if (tells) judge.needsFor(telling!.method, kind, participant, name);
  };
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
function read(bytes: Uint8Array, fields?: readonly number[]): { readonly name: string; readonly tells: boolean } {
  const reader = new StrictReader(bytes);
  let name = '';
  let tells = false;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (fields?.includes(tag >>> 3)) tells = true;
    if (tag === 10) name = reader.string();
    else if (tag === 0 || (tag & 7) === GROUP_END) throw new Error(`the message ends after ${reader.pos} of ${reader.len} bytes`);
    else reader.skip(tag & 7, tag >>> 3);
  }
  return { name, tells };
}
