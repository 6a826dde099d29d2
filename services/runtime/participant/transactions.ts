/** Transactions that a participant's handlers run themselves, by the coordinator. */

import type { Failure } from '../../kernel/failure.ts';
import type { OpaqueOperation } from '../../kernel/messages.ts';
import type { CallContext } from '../transport/service.ts';

/** What Execute takes. */
export interface Transaction {
  /** UUIDv7; the same one again gets the same outcome (invariant T10). */
  readonly transactionId: string;
  readonly operations: readonly RoutedOperation[];
  /** How long it may take to be decided, milliseconds. */
  readonly timeoutMs?: number | undefined;
}

export interface RoutedOperation {
  readonly participant: string;
  readonly routingKey: string;
  readonly operation: OpaqueOperation;
}

export interface Transactions {
  /**
   * Resolves when the transaction is committed, or with why it was aborted.
   * @throws FailureError where there is no outcome: refused, timed out, not known.
   */
  execute(transaction: Transaction, context: CallContext): Promise<Failure | undefined>;
}
