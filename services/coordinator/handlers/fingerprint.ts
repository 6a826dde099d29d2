/** The content of a transaction: its mode and its operations in their order. Timeouts and ages may differ between tries. */

import type { Operation } from '../../gen/txmesh/common/v1/common.ts';
import { fingerprint } from '../../runtime/router/fingerprint.ts';

export function fingerprintOf(mode: string, operations: readonly Operation[]): string {
  const parts: (string | Uint8Array)[] = [mode];
  for (const { participant, routingKey, operation } of operations)
    parts.push(participant, routingKey, operation!.typeUrl, operation!.value);
  return fingerprint(parts);
}
