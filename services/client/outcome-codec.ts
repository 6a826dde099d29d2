/** What became of a transaction: from the coordinator's messages to the SDK's types. */

import {
  BranchState as WireBranchState,
  Heuristic as WireHeuristic,
  State as WireState,
  type Branch as WireBranch,
  type Transaction as WireTransaction,
} from '../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Attempt } from '../kernel/attempt.ts';
import { timestampMs } from '../runtime/transport/time.ts';
import type { TransactionAborted, TxmeshError } from './errors.ts';
import { abortedBecause, errorFromStatus } from './status-codec.ts';

/** A durable outcome. */
export type Outcome = Committed | Aborted;

export interface Committed {
  readonly committed: true;
  readonly transactionId: string;
  /** COMMITTING: decided and durable; not every participant has acknowledged yet. */
  readonly state: 'COMMITTING' | 'COMMITTED';
  /** When it was decided, by the coordinator's clock, milliseconds since 1970. */
  readonly decideTimeMs: number | undefined;
}

export interface Aborted {
  readonly committed: false;
  readonly transactionId: string;
  readonly state: 'ABORTED';
  readonly decideTimeMs: number | undefined;
  /** Why. */
  readonly cause: TransactionAborted;
}

export type State = Exclude<keyof typeof WireState, 'UNSPECIFIED' | 'UNRECOGNIZED'>;
export type BranchState = Exclude<keyof typeof WireBranchState, 'UNSPECIFIED' | 'UNRECOGNIZED'>;
export type Heuristic = 'COMMIT' | 'ABORT';

/** All operations of a transaction at one partition of one participant. */
export interface Branch {
  readonly participant: string;
  readonly partition: number;
  readonly state: BranchState;
  readonly readOnly: boolean;
  /** How often the message that is waited for was sent. */
  readonly tries: number;
  /** Why the last try failed. */
  readonly lastError?: TxmeshError;
  readonly nextTryTime?: Date;
  /** The outcome that an operator forced. */
  readonly heuristic?: Heuristic;
}

/** A transaction as its coordinator knows it. */
export interface TransactionInfo {
  readonly transactionId: string;
  readonly state: State;
  readonly attempt?: Attempt;
  readonly branches: readonly Branch[];
  /** Why it was aborted. */
  readonly cause?: TransactionAborted;
  readonly decideTime?: Date;
  /** Branches ended with different outcomes because an operator forced one. */
  readonly mixed: boolean;
}

/** The outcome, or undefined if the transaction is not decided, which then settles nothing. */
export function outcomeOf(transaction: WireTransaction | undefined): Outcome | undefined {
  if (transaction === undefined) return undefined;
  const { transactionId, decideTime } = transaction;
  const decideTimeMs = decideTime === undefined ? undefined : timestampMs(decideTime);
  const { COMMITTED, COMMITTING, ABORTED } = WireState;
  if (transaction.state === COMMITTED) return { committed: true, transactionId, state: 'COMMITTED', decideTimeMs };
  if (transaction.state === COMMITTING) return { committed: true, transactionId, state: 'COMMITTING', decideTimeMs };
  if (transaction.state !== ABORTED) return undefined;
  const cause = abortedBecause(transaction.cause, transactionId);
  return { committed: false, transactionId, state: 'ABORTED', decideTimeMs, cause };
}

export function transactionInfo(transaction: WireTransaction): TransactionInfo {
  const { transactionId, state, attempt, branches, cause, decideTime, mixed } = transaction;
  return {
    transactionId,
    state: nameOf(WireState, state),
    ...(attempt && { attempt }),
    branches: branches.map(branchInfo),
    ...(cause && { cause: abortedBecause(cause, transactionId) }),
    ...(decideTime && { decideTime: new Date(timestampMs(decideTime)) }),
    mixed,
  };
}

export function branchInfo(branch: WireBranch): Branch {
  const { participant, partition, state, readOnly, tries, lastError, nextTryTime, heuristic } = branch;
  return {
    participant,
    partition,
    state: nameOf(WireBranchState, state),
    readOnly,
    tries,
    ...(lastError && { lastError: errorFromStatus(lastError) }),
    ...(nextTryTime && { nextTryTime: new Date(timestampMs(nextTryTime)) }),
    ...(heuristic !== WireHeuristic.UNSPECIFIED && { heuristic: nameOf(WireHeuristic, heuristic) }),
  };
}

type Named<Enum> = Exclude<keyof Enum, 'UNSPECIFIED' | 'UNRECOGNIZED'>;

/** @throws Error for a number that a newer server has and this SDK does not know. */
export function nameOf<Enum extends Readonly<Record<string, number>>>(values: Enum, value: number): Named<Enum> {
  const found = Object.keys(values).find((name) => values[name] === value);
  if (found === undefined || found === 'UNSPECIFIED') throw new Error(`the server sent the unknown value ${value}; use a newer SDK`);
  return found as Named<Enum>;
}
