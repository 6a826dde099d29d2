/** Operations of branches, as links and handlers take them. */

import type { Failure } from '../../kernel/failure.ts';
import type { KeyValueOperation } from '../../kernel/keyvalue/types.ts';
import type { OpaqueOperation } from '../../kernel/messages.ts';
import { decodeOperations as decode } from '../codec-operations.ts';

/** Operations that only read: a branch of nothing else needs no outcome. */
export const READ_ONLY_TYPES: ReadonlySet<string> = new Set(['type.googleapis.com/txmesh.keyvalue.v1.CheckOperation']);

export function decodeOperations(operations: readonly OpaqueOperation[]): readonly KeyValueOperation[] | Failure {
  const decoded = decode(operations);
  return 'failure' in decoded ? decoded.failure : decoded.operations;
}
