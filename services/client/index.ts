/**
 * txmesh/client: changes that span several services happen completely or not at all.
 *
 * ```ts
 * await using mesh = connect('127.0.0.1:50051');
 * await mesh.transaction(async (tx) => {
 *   const account = await tx.get('payments', 'accounts', 'alice');
 *   …
 *   tx.put('payments', 'accounts', 'alice', json({ balance }));
 *   tx.put('inventory', 'orders', orderId, json(order), { precondition: 'absent' });
 * });
 * ```
 */

import { Mesh } from './mesh.ts';
import { systemEnvironment, type ConnectOptions } from './options.ts';

/**
 * Connects to a mesh. Nothing is awaited: the first call, or `mesh.ready()`, is. Close it when done
 * (`await using`, or `mesh.close()`): an open one keeps the process alive.
 * @param target host:port of any replica, or several with options
 */
export function connect(target: string | ConnectOptions): Mesh {
  return new Mesh(typeof target === 'string' ? { addresses: [target] } : target, systemEnvironment);
}

export {
  AlreadyExists,
  Cancelled,
  DeadlineExceeded,
  FailedPrecondition,
  InternalError,
  InvalidRequest,
  NotAuthenticated,
  NotFound,
  OutcomeUnknown,
  Overloaded,
  PermissionDenied,
  PositionCompacted,
  TransactionAborted,
  TxmeshError,
  Unavailable,
} from './errors.ts';
export type { Code, Conflict, ErrorDetails, FieldViolation, Reason, Settle } from './errors.ts';
export type { Attempt } from '../kernel/attempt.ts';
export type { ChangeOptions } from './change.ts';
export type { Counter, CounterReadOptions, CreateCounterOptions, UpdateCounterOptions } from './counter/counter.ts';
export type { Bounds, CounterConsistency, CounterInfo, CounterKind, CounterValue, Rate } from './counter/counter-codec.ts';
export type { AddOutcome, Counters, GetOutcome, ListCountersOptions } from './counter/counters.ts';
export type { Integer } from './counter/integer.ts';
export { add, checkCounter } from './counter/operations.ts';
export type { CounterOperationOptions } from './counter/operations.ts';
export type { CounterEvent } from './counter/watch-counters.ts';
export type { Entry } from './entry.ts';
export type { ExecuteOptions } from './executor.ts';
export { newTransactionId } from './ids.ts';
export type { BeginOptions, InteractiveTransaction } from './interactive.ts';
export type {
  BatchReadOptions,
  Collection,
  Consistency,
  KeyEvent,
  KeyValue,
  ReadOptions,
  ScanOptions,
  WatchOptions,
  WriteOptions,
} from './key-value.ts';
export type { ListOptions, Mesh, Position, TransactionEvent, WatchTransactionsOptions } from './mesh.ts';
export { check, del, json, put, text } from './operations.ts';
export type { Content, DeleteOptions, MergeRule, Operation, Precondition, PutOptions, TypedValue, Value } from './operations.ts';
export type { CallOptions, ConnectOptions } from './options.ts';
export type { Token } from './token-source.ts';
export type { Aborted, Branch, BranchState, Committed, Heuristic, Outcome, State, TransactionInfo } from './outcome-codec.ts';
export type { ConsumeOptions, PullOptions } from './queue/consume.ts';
export type { Message, MessageLike } from './queue/message.ts';
export { acknowledge, publish } from './queue/operations.ts';
export type { Acknowledgeable, QueueOperationOptions } from './queue/operations.ts';
export type { Queue } from './queue/queue.ts';
export type { ReceivedMessage } from './queue/received-message.ts';
export type { MessageHandler, SubscribeOptions } from './queue/subscribe.ts';
export type { ListOfTopicOptions, SeekTarget, SnapshotOptions, Snapshots, Subscriptions } from './queue/subscriptions.ts';
export type {
  DeadLetterPolicy,
  Mode,
  RetryPolicy,
  Snapshot,
  Subscription,
  SubscriptionOptions,
  SubscriptionSettings,
  SubscriptionStatistics,
  TopicStatistics,
} from './queue/subscription-codec.ts';
export type { Retention, Topic, TopicOptions, TopicSettings } from './queue/topic-codec.ts';
export type { ListPageOptions, Topics, UpdateOptions } from './queue/topics.ts';
export type { TransactionOptions } from './run-transaction.ts';
export { tlsFromFiles } from './tls.ts';
export type { TlsOptions } from './tls.ts';
export type { Transaction } from './transaction.ts';
