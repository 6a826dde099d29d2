/** Transactions whose work is done at the participants step by step, before commit. */

import { CoordinatorServiceService as methods, Mode, type Transaction as WireTransaction } from '../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Attempt } from '../kernel/attempt.ts';
import { COORDINATOR } from './cluster-map.ts';
import { invalidRequest, OutcomeUnknown, outcomeUnknown } from './errors.ts';
import type { Entry } from './entry.ts';
import { newTransactionId } from './ids.ts';
import { KeyValue, type Collection } from './key-value.ts';
import type { DeleteOptions, PutOptions, Value } from './operations.ts';
import type { CallOptions } from './options.ts';
import { outcomeOf, type Committed, type Outcome } from './outcome-codec.ts';
import type { Rpc, RpcOptions } from './rpc.ts';
import { duration, timestamp } from './times.ts';

export interface BeginOptions extends CallOptions {
  /** How long the transaction may stay undecided, 1 ms to 10 min. Default 30,000. */
  readonly transactionTimeoutMs?: number;
  /** When the work was first tried: its age in lock conflicts. Default: now. */
  readonly firstTryTime?: Date;
}

export async function begin(rpc: Rpc, { transactionTimeoutMs, firstTryTime, ...options }: BeginOptions): Promise<InteractiveTransaction> {
  const id = newTransactionId(rpc.environment.clock.nowMs());
  const request = {
    transactionId: id,
    timeout: duration(transactionTimeoutMs, 'transactionTimeoutMs'),
    firstTryTime: firstTryTime === undefined ? undefined : timestamp(firstTryTime, 'firstTryTime'),
    mode: Mode.UNSPECIFIED,
  };
  const { transactionId, attempt } = await rpc.call(methods.beginTransaction, request, routedTo(id, options));
  return new InteractiveTransaction(rpc, transactionId, attempt!);
}

/**
 * An interactive transaction. Nothing that it writes is visible to others before it commits. If it is
 * left without commit (`await using`), it is aborted.
 */
export class InteractiveTransaction implements AsyncDisposable {
  readonly id: string;
  private readonly rpc: Rpc;
  private readonly attempt: Attempt;
  private finished = false;

  constructor(rpc: Rpc, id: string, attempt: Attempt) {
    this.rpc = rpc;
    this.id = id;
    this.attempt = attempt;
  }

  /** A key, this transaction's own writes included; undefined if it is absent. Validated at commit. */
  get(participant: string, collection: string, key: string, options: CallOptions = {}): Promise<Entry | undefined> {
    return this.at(participant, collection).get(key, options);
  }

  /** Writes a key at commit. Resolves when the participant has taken the write. */
  async put(participant: string, collection: string, key: string, value: Value, options: PutOptions & CallOptions = {}): Promise<void> {
    await this.at(participant, collection).put(key, value, options);
  }

  /** Deletes a key at commit. */
  async delete(participant: string, collection: string, key: string, options: DeleteOptions & CallOptions = {}): Promise<void> {
    await this.at(participant, collection).delete(key, options);
  }

  /**
   * Commits. An answer that gets lost is asked for again.
   * @throws TransactionAborted if it can't be committed: begin again
   * @throws OutcomeUnknown if no answer arrived in time
   */
  async commit(options: CallOptions = {}): Promise<Committed> {
    this.finished = true;
    const { rpc, id: transactionId, attempt } = this;
    const deadline = rpc.deadline('the commit', options);
    const outcome = await rpc
      .call(methods.commitTransaction, { transactionId, attempt }, changing(rpc, transactionId, deadline.options))
      .then(({ transaction }) => settled(transactionId, transaction))
      .catch((error: unknown) => {
        // The commit may be known no more because it went through: abort tells, or settles it.
        if (error instanceof OutcomeUnknown && deadline.leftMs > 0 && !deadline.signal?.aborted)
          return abortTransaction(rpc, transactionId, deadline.options);
        throw error;
      });
    if (!outcome.committed) throw outcome.cause;
    return outcome;
  }

  /** Aborts, unless it was decided before; returns what was decided. */
  abort(options: CallOptions = {}): Promise<Outcome> {
    this.finished = true;
    return abortTransaction(this.rpc, this.id, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.finished) await this.abort();
  }

  private at(participant: string, collection: string): Collection {
    if (this.finished) throw invalidRequest(`transaction ${this.id} is over: begin another`);
    const { rpc, id: transactionId, attempt } = this;
    return new KeyValue(rpc, participant, { transactionId, attempt }).collection(collection);
  }
}

/** Makes it aborted for good, unless it was decided before; returns what was decided. */
export async function abortTransaction(rpc: Rpc, transactionId: string, options: CallOptions): Promise<Outcome> {
  const { transaction } = await rpc.call(methods.abortTransaction, { transactionId }, changing(rpc, transactionId, options));
  return settled(transactionId, transaction);
}

/** Whether it was committed; if it is not decided, it is aborted. */
export async function isCommitted(rpc: Rpc, transactionId: string, options: CallOptions): Promise<boolean> {
  return (await abortTransaction(rpc, transactionId, options)).committed;
}

function changing(rpc: Rpc, transactionId: string, options: CallOptions): RpcOptions {
  const settle = (given: CallOptions): Promise<boolean> => isCommitted(rpc, transactionId, given);
  return { ...routedTo(transactionId, options), transactionId, settle };
}

export function routedTo(transactionId: string, { signal, timeoutMs }: CallOptions): RpcOptions {
  return { signal, timeoutMs, route: { service: COORDINATOR, routingKey: transactionId } };
}

function settled(transactionId: string, transaction: WireTransaction | undefined): Outcome {
  const outcome = outcomeOf(transaction);
  if (outcome === undefined) throw outcomeUnknown(transactionId, 'the coordinator answered without an outcome');
  return outcome;
}
