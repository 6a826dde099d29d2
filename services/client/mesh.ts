/** A connection to a mesh: the SDK's entry point. */

import {
  CoordinatorServiceService as coordinator,
  Heuristic as WireHeuristic,
  State as WireState,
  TransactionEvent_Type,
  type Position as WirePosition,
} from '../gen/txmesh/coordinator/v1/coordinator.ts';
import { ClusterServiceService } from '../gen/txmesh/cluster/v1/cluster.ts';
import { timestampMs } from '../runtime/transport/time.ts';
import { Adder } from './counter/adder.ts';
import { Counter } from './counter/counter.ts';
import { Counters } from './counter/counters.ts';
import { COUNTER } from './counter/operations.ts';
import { sleep, type Deadline } from './deadline.ts';
import { Cancelled, closedError, makeError, type TxmeshError } from './errors.ts';
import { Executor, type ExecuteOptions } from './executor.ts';
import { abortTransaction, begin, routedTo, type BeginOptions, type InteractiveTransaction } from './interactive.ts';
import { KeyValue } from './key-value.ts';
import { settingsFrom, type CallOptions, type ConnectOptions, type Environment } from './options.ts';
import { branchInfo, nameOf, transactionInfo, type Branch, type Heuristic, type Outcome, type State, type TransactionInfo } from './outcome-codec.ts';
import { QUEUE } from './queue/message.ts';
import { Publishers } from './queue/publishers.ts';
import { Queue } from './queue/queue.ts';
import { Rpc } from './rpc.ts';
import { runTransaction, type TransactionOptions } from './run-transaction.ts';
import type { Transaction } from './transaction.ts';
import { watch } from './watch.ts';

export interface ListOptions extends CallOptions {
  /** Only those in one of these states. Default: all. */
  readonly states?: readonly State[];
  /** Transactions fetched at a time, 1 to 1000. Default 100. */
  readonly pageSize?: number;
}

/** A place in a coordinator partition's sequence of decisions. */
export interface Position {
  readonly partition: number;
  readonly sequence: number;
}

export interface WatchTransactionsOptions {
  readonly signal?: AbortSignal;
  /** Only this transaction. Default: all. */
  readonly transactionId?: string;
  /** Continue after these positions, one for each partition. */
  readonly after?: readonly Position[];
  /** Replay all kept decisions of the partitions that `after` does not name. Default: only what happens from now on. */
  readonly fromStart?: boolean;
}

/** One change of a transaction. */
export interface TransactionEvent {
  /** REQUEST and ACKNOWLEDGE are best effort; COMMIT and FAIL are never left out. */
  readonly type: 'REQUEST' | 'ACKNOWLEDGE' | 'COMMIT' | 'FAIL';
  /** The transaction after the change. */
  readonly transaction: TransactionInfo;
  /** The branch that voted or acknowledged. */
  readonly branch?: Branch;
  /** By the coordinator's clock. */
  readonly time?: Date;
  /** Where to continue a watch after this event; only on the last event of a batch. */
  readonly position?: Position;
}

/** A connection to a mesh, as `connect` makes it. */
export class Mesh implements AsyncDisposable {
  private readonly rpc: Rpc;
  private readonly executor: Executor;
  private readonly publishers: Publishers;
  /** By the name of their counter service. */
  private readonly adders = new Map<string, Adder>();
  private readonly mapKnown: Promise<void>;
  private hasMap = false;
  private mapError: TxmeshError | undefined;

  /** @internal Use {@link connect}. */
  constructor(options: ConnectOptions, environment: Environment) {
    this.rpc = new Rpc(settingsFrom(options), environment);
    this.executor = new Executor(this.rpc);
    this.publishers = new Publishers(this.rpc);
    this.mapKnown = new Promise((resolve, reject) => {
      this.followCluster(resolve).catch((error: unknown) => {
        this.mapError = error as TxmeshError;
        reject(error);
      });
    });
    this.mapKnown.catch(() => undefined); // Whoever waits for it hears of it.
  }

  /**
   * Resolves when a server has been reached and the cluster's map is known. Calls don't need it, they
   * wait by themselves.
   * @throws DeadlineExceeded if no server could be reached in time
   */
  async ready(options: CallOptions = {}): Promise<void> {
    await this.waitForMap(this.rpc.deadline('connecting', options));
  }

  /**
   * Runs a function whose reads and writes take effect together, completely or not at all, and as if
   * nothing else had happened between them (serializable). Everything is sent in one call when the
   * function returns. If something that it read has changed meanwhile, it runs again, after a delay
   * that grows, so it must not have other effects. If it throws, nothing is sent.
   *
   * If all keys lie in one partition, the participant does it alone, without a coordinator.
   *
   * @returns what the function returned in the try that committed
   * @throws TransactionAborted if no try went through, or none can; `cause` and `conflict` say why
   * @throws OutcomeUnknown if no answer arrived in time: `error.settle()` finds out
   * @throws Cancelled, DeadlineExceeded: nothing was changed
   */
  async transaction<Result>(work: (transaction: Transaction) => Promise<Result>, options: TransactionOptions = {}): Promise<Result> {
    if (!this.hasMap) {
      const deadline = this.rpc.deadline('the transaction', options);
      await this.waitForMap(deadline);
      return runTransaction(this.rpc, this.executor, work, { ...options, ...deadline.options });
    }
    return runTransaction(this.rpc, this.executor, work, options);
  }

  /**
   * Runs a transaction of these operations in one call. A lost answer is asked for again under the
   * same id until the deadline.
   * @returns its durable outcome, which may be ABORTED
   * @throws OutcomeUnknown if no answer arrived in time: `error.settle()` finds out
   */
  execute(options: ExecuteOptions): Promise<Outcome> {
    return this.executor.execute(options);
  }

  /** Starts an interactive transaction. */
  begin(options: BeginOptions = {}): Promise<InteractiveTransaction> {
    return begin(this.rpc, options);
  }

  /**
   * Makes a transaction aborted for good, unless it was decided before; returns what was decided. Only
   * for what went through the coordinator; an `OutcomeUnknown` is better settled by its own `settle()`.
   */
  abort(transactionId: string, options: CallOptions = {}): Promise<Outcome> {
    return abortTransaction(this.rpc, transactionId, options);
  }

  /**
   * A transaction with its branches.
   * @throws NotFound, which settles nothing: the request may still be on its way
   */
  async get(transactionId: string, options: CallOptions = {}): Promise<TransactionInfo> {
    const { transaction } = await this.rpc.call(coordinator.getTransaction, { transactionId }, routedTo(transactionId, options));
    return transactionInfo(transaction!);
  }

  /** Transactions that are under way or kept, by id in ascending order within each partition. */
  async *list({ states = [], pageSize = 0, ...options }: ListOptions = {}): AsyncGenerator<TransactionInfo, void, undefined> {
    const wireStates = states.map((state) => WireState[state]);
    let pageToken = '';
    do {
      const page = await this.rpc.call(coordinator.listTransactions, { states: wireStates, pageSize, pageToken }, options);
      for (const transaction of page.transactions) yield transactionInfo(transaction);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /**
   * Changes of transactions as they happen, in order within a coordinator partition. Goes on by itself
   * after a lost connection, without leaving out a decision.
   * @throws PositionCompacted if a position to continue after is no longer kept
   */
  async *watchTransactions(options: WatchTransactionsOptions = {}): AsyncGenerator<TransactionEvent, void, undefined> {
    const { signal, transactionId = '', after = [], fromStart = false } = options;
    const { rpc } = this;
    const positions = new Map<number, WirePosition>(after.map((position) => [position.partition, position]));
    const responses = watch(rpc, {
      what: 'the watch of transactions',
      signal,
      address: () => rpc.map.anyAddress(),
      open: (address) =>
        rpc.stream(coordinator.watchTransactions, { transactionId, positions: [...positions.values()], fromStart }, address),
    });
    for await (const { events, position } of responses) {
      for (const [i, { type, transaction, branch, time }] of events.entries()) {
        yield {
          type: nameOf(TransactionEvent_Type, type),
          transaction: transactionInfo(transaction!),
          ...(branch && { branch: branchInfo(branch) }),
          ...(time && { time: new Date(timestampMs(time)) }),
          ...(i === events.length - 1 && position && { position }),
        };
      }
      if (position !== undefined) positions.set(position.partition, position);
    }
  }

  /** Has the unfinished branches of a transaction tried again now. */
  async retry(transactionId: string, options: CallOptions = {}): Promise<TransactionInfo> {
    const { transaction } = await this.rpc.call(coordinator.retryTransaction, { transactionId }, routedTo(transactionId, options));
    return transactionInfo(transaction!);
  }

  /**
   * Forces an outcome on a branch that is in doubt, for an operator who can't wait for the coordinator.
   * @returns the outcome that the branch has now: the one asked for, unless it had one before
   */
  async resolve(
    transactionId: string,
    branch: { readonly participant: string; readonly partition: number },
    outcome: Heuristic,
    options: CallOptions = {},
  ): Promise<Heuristic> {
    const { participant, partition } = branch;
    const request = { transactionId, participant, partition, outcome: WireHeuristic[outcome] };
    const response = await this.rpc.call(coordinator.resolveTransaction, request, routedTo(transactionId, options));
    return nameOf(WireHeuristic, response.outcome);
  }

  /** The keys of a key-value participant. */
  keyValue(participant: string): KeyValue {
    return new KeyValue(this.rpc, participant);
  }

  /** The topics, subscriptions and messages of a queue service. */
  queue(participant: string = QUEUE): Queue {
    return new Queue(this.rpc, this.executor, this.publishers, participant);
  }

  /** One counter of a counter service. */
  counter(name: string, { participant = COUNTER }: { readonly participant?: string } = {}): Counter {
    return new Counter(this.rpc, this.adder(participant), participant, name);
  }

  /** The counters of a counter service, many at a time. */
  counters(participant: string = COUNTER): Counters {
    return new Counters(this.rpc, this.adder(participant), participant);
  }

  /**
   * Closes the connection. Watches end; executions, publishes and adds under way fail, as OutcomeUnknown if
   * they may have taken effect; other calls under way are left to finish.
   */
  close(): void {
    this.executor.close();
    this.publishers.close();
    for (const adder of this.adders.values()) adder.close();
    this.rpc.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  private adder(participant: string): Adder {
    let adder = this.adders.get(participant);
    if (adder === undefined) this.adders.set(participant, (adder = new Adder(this.rpc, participant)));
    return adder;
  }

  private async waitForMap(deadline: Deadline): Promise<void> {
    if (this.hasMap) return;
    deadline.check();
    const over = new AbortController();
    const ends = [over.signal, this.rpc.closed, ...(deadline.signal ? [deadline.signal] : [])];
    const late = sleep(this.rpc.environment.clock, deadline.leftMs, AbortSignal.any(ends));
    await Promise.race([this.mapKnown, late]).finally(() => over.abort());
    if (this.hasMap) return;
    if (this.rpc.closed.aborted) throw closedError();
    if (deadline.signal?.aborted) deadline.check();
    throw this.mapError ?? makeError({ reason: 'DEADLINE_EXCEEDED', message: `none of ${this.rpc.map.known.join(', ')} could be reached in time` });
  }

  private async followCluster(onFirst: () => void): Promise<void> {
    const { rpc } = this;
    const responses = watch(rpc, {
      what: 'the watch of the cluster',
      signal: undefined,
      address: () => rpc.map.anyAddress(),
      open: (address) => rpc.stream(ClusterServiceService.watchCluster, {}, address),
    });
    try {
      for await (const { cluster } of responses) {
        if (cluster === undefined) continue;
        rpc.map.update(cluster);
        rpc.channels.keepOnly(new Set([...rpc.map.known, ...this.executor.addresses]));
        this.hasMap = true;
        onFirst();
      }
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
    }
  }
}
