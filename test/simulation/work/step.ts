/** What transactions are made of. */

import type { OpaqueOperation } from '../../../services/kernel/messages.ts';

/** A partition of a participant. */
export interface Target {
  readonly participant: string;
  readonly partition: number;
}

/** One operation of a transaction, as the coordinator carries it. */
export interface Step extends Target {
  readonly readOnly: boolean;
  readonly operation: OpaqueOperation;
}
