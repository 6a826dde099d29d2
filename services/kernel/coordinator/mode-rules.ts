import type { Failure } from '../failure.ts';
import type { StepInput } from '../kernel.ts';
import type { Vote } from '../messages.ts';
import type { CoordinatorState, Out } from './state.ts';
import type { Branch, Transaction } from './transaction.ts';

/** How transactions of one mode are carried out. */
export interface ModeRules {
  /** The transaction has its branches and an attempt: begin to carry it out. */
  start(state: CoordinatorState, transaction: Transaction, input: StepInput, out: Out): void;
  /** An outstanding branch of the current attempt has voted. */
  vote(
    state: CoordinatorState,
    transaction: Transaction,
    branch: Branch,
    vote: Vote,
    cause: Failure | undefined,
    input: StepInput,
    out: Out,
  ): void;
  /** An outstanding branch has carried out the decision. */
  acknowledge(state: CoordinatorState, transaction: Transaction, branch: Branch, input: StepInput, out: Out): void;
  /** The last message to an outstanding branch surely did not arrive. */
  undelivered(state: CoordinatorState, transaction: Transaction, branch: Branch, failure: Failure, input: StepInput): void;
  /** The transaction's timer is due: writes nothing. `now`: retry all outstanding branches. */
  retry(state: CoordinatorState, transaction: Transaction, now: boolean, input: StepInput, out: Out): void;
}
