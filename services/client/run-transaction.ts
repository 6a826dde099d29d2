/**
 * Runs a transaction's function until one try commits: each try under a new id, all with the first
 * try's time, which is its age in lock conflicts, so that nobody starves. The function never runs again
 * while the outcome of an earlier try is open.
 */

import { KeyValueServiceService } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { partitionOf } from '../kernel/hash.ts';
import { idTimeMs } from '../kernel/transaction-id.ts';
import { toDuration, toTimestamp } from '../runtime/transport/time.ts';
import { backoffDelayMs, CONFLICT_BACKOFF } from './backoff.ts';
import type { ClusterMap } from './cluster-map.ts';
import { toldRemainingMs, type Deadline } from './deadline.ts';
import { Cancelled, DeadlineExceeded, TransactionAborted } from './errors.ts';
import type { Executor } from './executor.ts';
import { newTransactionId } from './ids.ts';
import type { Operation } from './operations.ts';
import type { CallOptions } from './options.ts';
import type { Outcome } from './outcome-codec.ts';
import type { Rpc } from './rpc.ts';
import { inSpan } from './trace.ts';
import { Transaction } from './transaction.ts';

/** Most operations of a local transaction. */
const LOCAL_OPERATIONS = 120;

export const DEFAULT_ATTEMPTS = 10;

export interface TransactionOptions extends CallOptions {
  /** How often the function may run, at least 1. Default 10. */
  readonly attempts?: number;
}

export async function runTransaction<Result>(
  rpc: Rpc,
  executor: Executor,
  work: (transaction: Transaction) => Promise<Result>,
  options: TransactionOptions,
): Promise<Result> {
  const { attempts = DEFAULT_ATTEMPTS } = options;
  const deadline = rpc.deadline('the transaction', options);
  const { clock, entropy } = rpc.environment;
  return inSpan('txmesh transaction', async (span) => {
    let firstTryMs: number | undefined;
    for (let tries = 1; ; tries++) {
      deadline.check();
      const transaction = new Transaction(rpc, newTransactionId(clock.nowMs()), tries, deadline);
      span.setAttribute('txmesh.transaction_id', transaction.id);
      const result = await work(transaction);
      const operations = transaction.finish();
      if (operations === undefined) return result;
      deadline.check();
      const outcome = await carryOut(rpc, executor, transaction.id, operations, firstTryMs, deadline);
      if (outcome.committed) {
        transaction.committed();
        return result;
      }
      const { cause } = outcome;
      if (tries >= attempts || !mayGoThrough(cause, transaction)) throw cause;
      firstTryMs ??= idTimeMs(transaction.id);
      await pause(deadline, backoffDelayMs(CONFLICT_BACKOFF, tries, entropy(), cause.retryAfterMs), cause);
    }
  });
}

/** Whether running the function again may give another outcome. */
function mayGoThrough(cause: TransactionAborted, transaction: Transaction): boolean {
  const { conflict } = cause;
  // A condition that the function stated by itself, without having read the key, it would state again.
  if (cause.reason === 'PRECONDITION_FAILED' && conflict !== undefined)
    return transaction.hasRead(conflict.participant, conflict.collection, conflict.key);
  return cause.retryable;
}

/** Waits; where no time is left, the reason of the abort says more than that. */
async function pause(deadline: Deadline, delayMs: number, cause: TransactionAborted): Promise<void> {
  try {
    await deadline.wait(delayMs, cause);
  } catch (error) {
    if (error instanceof DeadlineExceeded && !(error instanceof Cancelled)) throw cause;
    throw error;
  }
}

async function carryOut(
  rpc: Rpc,
  executor: Executor,
  transactionId: string,
  operations: readonly Operation[],
  firstTryMs: number | undefined,
  deadline: Deadline,
): Promise<Outcome> {
  if (isLocal(rpc.map, operations)) return executeLocal(rpc, transactionId, operations, firstTryMs, deadline.options);
  const firstTryTime = firstTryMs === undefined ? undefined : new Date(firstTryMs);
  return executor.execute({ transactionId, operations, firstTryTime, ...deadline.options });
}

/** Whether all operations fall into one partition of one key-value participant: then no coordinator is needed. */
export function isLocal(map: ClusterMap, operations: readonly Operation[]): boolean {
  const [first] = operations;
  if (first === undefined || operations.length > LOCAL_OPERATIONS || !map.isKeyValue(first.participant)) return false;
  const partitions = map.partitionCount(first.participant)!;
  const partition = partitionOf(first.routingKey, partitions);
  return operations.every(
    ({ participant, routingKey }) => participant === first.participant && partitionOf(routingKey, partitions) === partition,
  );
}

/** Sends a local transaction to the partition's leader, until its outcome is known. */
export async function executeLocal(
  rpc: Rpc,
  transactionId: string,
  operations: readonly Operation[],
  firstTryMs: number | undefined,
  options: CallOptions,
): Promise<Outcome> {
  const { participant, routingKey } = operations[0]!;
  const request = {
    transactionId,
    operations: operations as Operation[],
    timeout: toDuration(toldRemainingMs(options.timeoutMs ?? rpc.settings.timeoutMs)),
    firstTryTime: firstTryMs === undefined ? undefined : toTimestamp(firstTryMs),
  };
  const route = { service: participant, routingKey };
  try {
    await rpc.call(KeyValueServiceService.executeLocal, request, { ...options, route, transactionId });
    return { committed: true, transactionId, state: 'COMMITTED', decideTimeMs: undefined };
  } catch (error) {
    // The participant remembers its refusal (invariant K6), so it is an outcome.
    if (error instanceof TransactionAborted)
      return { committed: false, transactionId, state: 'ABORTED', decideTimeMs: undefined, cause: error };
    throw error;
  }
}
