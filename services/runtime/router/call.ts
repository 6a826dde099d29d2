/** One command, one reply, as a promise: for unary handlers. Streams use callbacks and no promises. */

import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../clock.ts';
import type { Priority, Requester } from '../partition/term.ts';
import type { LocalTerm } from './place.ts';

export type Settled<Reply> = { readonly reply: Reply } | { readonly failure: Failure };

export interface CallLimits {
  readonly clock: Clock;
  /** The caller's deadline, wall time in milliseconds. Absent: none. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Whether the command may change something, so that the text of a timeout must not promise that it did not. */
  readonly changes: boolean;
  /** For traces. */
  readonly caller?: { readonly traceparent: string | undefined };
}

/**
 * Submits the command that `make` builds for the origin it is given, and resolves with the reply or
 * the failure, whichever is first: the partition's, the deadline, the caller's cancellation.
 * @param cancel builds the command that tells the kernel that nobody waits any more, if it has one.
 */
export function call<Command, Reply>(
  term: LocalTerm<Command, Reply>,
  make: (origin: Requester<Reply>) => Command,
  priority: Priority,
  limits: CallLimits,
  cancel?: (origin: Requester<Reply>) => Command,
): Promise<Settled<Reply>> {
  return new Promise((resolve) => {
    const { clock, deadlineMs, signal, changes, caller } = limits;
    let open = true;
    const settle = (result: Settled<Reply>): void => {
      if (!open) return;
      open = false;
      timer?.cancel();
      signal?.removeEventListener('abort', abandon);
      resolve(result);
    };
    const origin: Requester<Reply> = {
      onReply: (reply) => settle({ reply }),
      onFailure: (failure) => settle({ failure }),
      ...(caller && { caller }),
    };
    const giveUp = (failure: Failure): void => {
      if (!open) return;
      settle({ failure });
      term.forget(origin);
      if (cancel !== undefined) term.submit(cancel(origin), 'control');
    };
    const abandon = (): void => giveUp(cancelled(changes));
    const timer =
      deadlineMs === undefined || deadlineMs === Infinity
        ? undefined
        : clock.setTimer(deadlineMs - clock.nowMs(), () => giveUp(deadlinePassed(changes)));
    signal?.addEventListener('abort', abandon);
    if (signal?.aborted) return giveUp(cancelled(false));
    term.submit(make(origin), priority);
  });
}

const MAYBE = '; it is not known whether the request was carried out: ask with the same id';

export function deadlinePassed(changes: boolean): Failure {
  return { reason: 'DEADLINE_EXCEEDED', message: `the caller's deadline passed before the reply${changes ? MAYBE : ''}` };
}

export function cancelled(changes: boolean): Failure {
  return { reason: 'CANCELLED', message: `the caller cancelled${changes ? MAYBE : ''}` };
}
