/** Between what the coordinator's kernel says and the messages of coordinator.proto. */

import {
  type Branch,
  BranchState,
  Heuristic,
  InquireResponse_Outcome,
  Mode,
  State,
  type Transaction,
  type TransactionEvent,
  TransactionEvent_Type,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type * as kernel from '../../kernel/coordinator/types.ts';
import type * as messages from '../../kernel/messages.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import { toTimestamp } from '../../runtime/transport/time.ts';

const NO_BRANCHES: Branch[] = [];

export function toTransaction(view: kernel.TransactionView): Transaction {
  return {
    transactionId: view.transactionId,
    state: State[view.state],
    mode: Mode.TWO_PHASE_COMMIT,
    attempt: view.attempt,
    branches: view.branches.length === 0 ? NO_BRANCHES : view.branches.map((branch) => toBranch(branch, view)),
    cause: view.cause === undefined ? undefined : failureToStatus(view.cause),
    decideTime: view.decideMs === undefined ? undefined : toTimestamp(view.decideMs),
    mixed: view.mixed,
  };
}

/**
 * For who sees everybody's transactions: why one was aborted, without the participant's detail, which may
 * hold what is stored under a key.
 */
export function toListed(view: kernel.TransactionView): Transaction {
  if (view.cause?.detail === undefined) return toTransaction(view);
  const { detail: _, ...cause } = view.cause;
  return toTransaction({ ...view, cause });
}

/** An abort is not acknowledged (invariant T2), so nothing is under way after it. */
function stateOf(branch: kernel.BranchView, { state }: kernel.TransactionView): BranchState {
  return state === 'ABORTED' && branch.state === 'COMPLETING' ? BranchState.TOLD : BranchState[branch.state];
}

function toBranch(view: kernel.BranchView, transaction: kernel.TransactionView): Branch {
  return {
    participant: view.participant,
    partition: view.partition,
    state: stateOf(view, transaction),
    readOnly: view.readOnly,
    tries: view.tries,
    lastError: view.lastError === undefined ? undefined : failureToStatus(view.lastError),
    nextTryTime: view.nextTryMs === undefined ? undefined : toTimestamp(view.nextTryMs),
    heuristic: toHeuristic(view.heuristic),
  };
}

export function toHeuristic(heuristic: messages.Heuristic | undefined): Heuristic {
  if (heuristic === undefined) return Heuristic.UNSPECIFIED;
  return heuristic === 'commit' ? Heuristic.COMMIT : Heuristic.ABORT;
}

export const STATES: ReadonlyMap<State, kernel.TransactionState> = new Map(
  (['ACTIVE', 'PREPARING', 'COMMITTING', 'COMMITTED', 'ABORTED'] as const).map((name) => [State[name], name]),
);

const EVENT_TYPES = {
  request: TransactionEvent_Type.REQUEST,
  acknowledge: TransactionEvent_Type.ACKNOWLEDGE,
  commit: TransactionEvent_Type.COMMIT,
  fail: TransactionEvent_Type.FAIL,
} as const;

export function toEvent(event: kernel.TransactionEvent): TransactionEvent {
  return {
    type: EVENT_TYPES[event.type],
    transaction: toListed(event.transaction),
    branch: event.branch === undefined ? undefined : toBranch(event.branch, event.transaction),
    time: toTimestamp(event.timeMs),
  };
}

export const INQUIRY_OUTCOMES = {
  pending: InquireResponse_Outcome.PENDING,
  committed: InquireResponse_Outcome.COMMITTED,
  aborted: InquireResponse_Outcome.ABORTED,
} as const satisfies Record<kernel.InquiryOutcome, InquireResponse_Outcome>;
