/** Changes of configuration: idempotent by a request id, so that the SDK can repeat them. */

import { newTransactionId } from './ids.ts';
import type { CallOptions } from './options.ts';
import type { RpcOptions } from './rpc.ts';

export interface ChangeOptions extends CallOptions {
  /** UUIDv7 that makes a repetition of this change by the caller safe. Default: a new one. */
  readonly requestId?: string;
}

export function changeOptions(
  participant: string,
  name: string,
  { requestId = newTransactionId(), signal, timeoutMs }: ChangeOptions,
): { readonly requestId: string; readonly call: RpcOptions } {
  return { requestId, call: { signal, timeoutMs, transactionId: requestId, route: { service: participant, routingKey: name } } };
}
