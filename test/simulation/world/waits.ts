/** The one look inside a kernel: who waits for whom in a participant's lock table (K3), and how many reads wait. */

import type { LockRequest } from '../../../services/kernel/participant/locks.ts';
import type { AnyKernel } from './commands.ts';

export interface Waits {
  readonly edges: [LockRequest, LockRequest][];
  readonly waitingReads: number;
}

export function waitsIn(kernel: AnyKernel): Waits {
  const { state, reads } = kernel as unknown as {
    readonly state: { readonly locks: { edges(): [LockRequest, LockRequest][] } };
    readonly reads: { readonly waiting: ReadonlyMap<number, unknown> };
  };
  return { edges: state.locks.edges(), waitingReads: reads.waiting.size };
}
