/** A fault on purpose, as proto/txmesh/admin/v1/fault.proto has it. Only servers that ask for it inject any. */

import type { Failure } from '../../kernel/failure.ts';

/** Times in milliseconds. */
export interface Fault {
  readonly name: string;
  readonly target: CallTarget | WriteTarget;
  readonly latency: { readonly minimumMs: number; readonly maximumMs: number } | undefined;
  readonly effect: Effect;
  /** Of calls: whether it strikes when the call has been carried out. */
  readonly afterExecution: boolean;
  /** Above 0 and up to 1. */
  readonly probability: number;
  readonly durationMs: number;
}

export interface CallTarget {
  readonly type: 'calls';
  /** "package.Service/Method", "package.Service/*", or empty for all. */
  readonly method: string;
  /** Empty: all. */
  readonly participant: string;
}

export interface WriteTarget {
  readonly type: 'writes';
  /** Empty: all. */
  readonly participant: string;
  /** Undefined: all. */
  readonly partition: number | undefined;
}

export type Effect =
  /** Nothing but the latency. */
  | { readonly type: 'none' }
  | { readonly type: 'error'; readonly failure: Failure }
  | { readonly type: 'drop-connection' }
  | { readonly type: 'unavailable' }
  | { readonly type: 'full' }
  | { readonly type: 'ambiguous'; readonly written: boolean };

/** Name of the attribute, and of the event, of spans that a fault struck. */
export const FAULT_ATTRIBUTE = 'txmesh.fault';
