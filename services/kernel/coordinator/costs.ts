/** Upper bounds of what a command may write now (invariant P9). Bytes include room for the driver's key prefix. */

import type { Cost } from '../kernel.ts';
import type { ToCoordinator } from '../messages.ts';
import { COLLECT_OPERATIONS, FINISH_OPERATIONS, RECORD_OPERATIONS } from '../outcomes/outcomes.ts';
import { COMPACT_OPERATIONS, OPEN_OPERATIONS } from './journal.ts';
import { CAUSE_BYTES } from './records.ts';
import type { CoordinatorState } from './state.ts';
import { sameAttempt } from './transaction.ts';
import { type Command, MAX_BRANCHES } from './types.ts';

const KEY_BYTES = 160;
const LOG_ENTRY_BYTES = 100;
/** Longest participant name in bytes, with what else a branch's record takes. */
const BRANCH_BYTES = 100;

const NONE: Cost = { operations: 0, bytes: 0 };
/** An outcome, its late record, and the open record that goes. */
const DECISION_OPERATIONS = RECORD_OPERATIONS + FINISH_OPERATIONS + 1;
const DECISION_BYTES = 3 * KEY_BYTES + LOG_ENTRY_BYTES;
const FINISH: Cost = { operations: FINISH_OPERATIONS + 1, bytes: 2 * KEY_BYTES };
const UNKNOWN_ABORT: Cost = { operations: DECISION_OPERATIONS, bytes: DECISION_BYTES + 2048 };
const HEURISTIC: Cost = {
  operations: DECISION_OPERATIONS,
  bytes: DECISION_BYTES + CAUSE_BYTES + 512 + MAX_BRANCHES * BRANCH_BYTES,
};
const TICK_OPERATIONS = COLLECT_OPERATIONS + COMPACT_OPERATIONS + OPEN_OPERATIONS;
const TICK: Cost = { operations: TICK_OPERATIONS, bytes: TICK_OPERATIONS * 2 * KEY_BYTES };

/** One log record and the progress; decisions count their own entries of the log. */
export const SEAL_COST: Cost = { operations: 2, bytes: 1024 };

export function costOf(state: CoordinatorState, command: Command): Cost {
  switch (command.type) {
    case 'message':
      return costOfMessage(state, command.message);
    case 'execute':
      return command.branches.length === 0 ? UNKNOWN_ABORT : NONE;
    case 'commit': {
      const transaction = state.underway.get(command.transactionId);
      return transaction === undefined || transaction.branches.length === 0 ? UNKNOWN_ABORT : NONE;
    }
    case 'abort':
    case 'expire': {
      const transaction = state.underway.get(command.transactionId);
      return transaction === undefined ? UNKNOWN_ABORT : decision(transaction.recordBytes + CAUSE_BYTES);
    }
    case 'tick':
      return TICK;
    case 'begin':
    case 'get':
    case 'list-active':
    case 'retry':
    case 'inquire':
    case 'enlist':
      return NONE;
  }
}

function costOfMessage(state: CoordinatorState, message: ToCoordinator): Cost {
  if (message.type !== 'vote' && message.type !== 'acknowledge') return NONE;
  if (message.type === 'acknowledge' && message.heuristic !== undefined) return HEURISTIC;
  const transaction = state.underway.get(message.branch.transactionId);
  if (transaction === undefined || !sameAttempt(transaction.attempt, message.branch.attempt)) return NONE;
  if (message.type === 'acknowledge') return transaction.outstanding === 1 ? FINISH : NONE;
  if (message.vote === 'no') return decision(transaction.recordBytes + CAUSE_BYTES);
  return transaction.outstanding === 1 ? decision(transaction.recordBytes) : NONE;
}

function decision(recordBytes: number): Cost {
  return { operations: DECISION_OPERATIONS, bytes: DECISION_BYTES + recordBytes };
}
