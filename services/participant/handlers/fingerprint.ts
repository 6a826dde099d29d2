/** The content of a local transaction: its operations in their order. */

import type { KeyValueOperation } from '../../kernel/keyvalue/types.ts';
import { fingerprint } from '../../runtime/router/fingerprint.ts';

export function fingerprintOf(operations: readonly KeyValueOperation[]): string {
  const parts: (string | Uint8Array)[] = [];
  for (const operation of operations) {
    parts.push(operation.type, operation.name, String(operation.precondition));
    if (operation.type === 'put') parts.push(operation.mergePolicy, operation.contentType, operation.value);
  }
  return fingerprint(parts);
}
