/**
 * The port between the branch protocol and what a participant is about. The kernel locks, votes,
 * remembers and inquires; the resource knows what operations mean. Key-value, queue and counter each
 * implement it; whatever has rules beyond locks (reservations, staged messages) uses `hold` and `drop`.
 */

import type { Failure } from '../failure.ts';
import type { Cost, Origin, Output } from '../kernel.ts';
import type { LockWish } from './locks.ts';
import type { ResourceTypes } from './types.ts';

/** What {@link Resource.evaluate} says under the locks. */
export type Evaluation<Effect> =
  | { readonly type: 'effect'; readonly effect: Effect }
  | { readonly type: 'refusal'; readonly failure: Failure };

/** The part of the kernel's output that a resource may use. */
export type RecordOutput<T extends ResourceTypes> = Pick<
  Output<unknown, T['record'], unknown, unknown>,
  'put' | 'remove' | 'removeRange' | 'emit'
>;

/** What a resource works with outside of transactions. Valid only during the call that it is handed to. */
export interface ResourceContext<T extends ResourceTypes> {
  /** As of the step under way ({@link StepInput}). */
  readonly nowMs: number;
  readonly entropy: number;
  /** Of the term. */
  readonly epoch: number;
  readonly out: RecordOutput<T>;
  /** A new revision of the partition, durable with this batch. */
  takeRevision(): number;
  /** Answers a request, at most once for each origin. Without an origin nobody asked. */
  respond(origin: Origin, response: T['response']): void;
  fail(origin: Origin, failure: Failure): void;
  /** Steps another request, possibly in a later batch: for what is beyond the cost of this one. */
  follow(request: T['request']): void;
  /** Somebody waits for what holds this lock: whoever holds it inquires soon. */
  urge(lockName: string): void;
}

/** What a resource does beside transactions: publish, deliver, add. The kernel only passes it on. */
export interface ResourceRequests<T extends ResourceTypes> {
  /** Keys of records that are needed and not known; empty if none. */
  missing(request: T['request']): readonly string[];
  /** Upper bound of what {@link serve} writes, with what it adds to {@link conclude} and to the resource's seal. */
  cost(request: T['request']): Cost;
  /** Answers now, or keeps the origin and answers later. */
  serve(request: T['request'], origin: Origin, context: ResourceContext<T>): void;
  /** Whoever asked is gone and hears nothing any more. */
  cancel(target: Origin, context: ResourceContext<T>): void;
  /** The term is handed over: fails every request that only waits, with NO_LEADER, so that it is made elsewhere. */
  retire(context: ResourceContext<T>): void;
  /** Wall time in milliseconds at which {@link onDue} has something to do; undefined: nothing is waited for. */
  wakeAtMs(): number | undefined;
  /** Does what is due, a bounded part at a time; {@link wakeAtMs} then tells of the rest. */
  onDue(context: ResourceContext<T>): void;
  /** Upper bound of what {@link onDue} writes, with what it adds to {@link conclude} and to the resource's seal. */
  readonly dueCost: Cost;
  /**
   * Once at the end of a batch, before the resource's seal: answers those who waited for what this
   * batch did. What it writes is within the cost of what the batch stepped and {@link Resource.sealCost}.
   */
  conclude(context: ResourceContext<T>): void;
}

export interface Resource<T extends ResourceTypes> {
  /** Of the records that must be in memory when a term begins. */
  readonly activeRanges: readonly { readonly from: string; readonly to: string }[];
  /** Takes one record of the active ranges, at the start of a term, before any {@link hold}. */
  recover(key: string, record: T['record']): void;

  /** All active records were recovered: the term begins at this revision. */
  lead(revision: number, epoch: number): void;

  /** What it does outside of transactions; undefined: nothing. */
  readonly requests: ResourceRequests<T> | undefined;

  /** Keys of records that are needed and not known; empty if none. Called often, so it must be cheap. */
  missing(operations: readonly T['operation'][]): readonly string[];
  missingForEffect(effect: T['effect']): readonly string[];
  missingForQuery(query: T['query']): readonly string[];
  /** Takes a record that was asked for. Known until the next {@link seal} at least. */
  admit(key: string, record: T['record'] | undefined): void;

  /** What to lock to evaluate the operations and keep the promise; each name once. */
  locks(operations: readonly T['operation'][]): readonly LockWish[];
  /** What a prepared effect holds: the same as {@link locks} of its operations. */
  locksOf(effect: T['effect']): readonly LockWish[];
  /** Whether those who share a lock change what it stands for, so that a linearizable read waits for them too. */
  readonly awaitsShared: boolean;
  /** Locks whose changing holders a linearizable read waits for (invariant K5): names, or a prefix of names. */
  awaited(query: T['query']): readonly string[] | string;

  /** A limit that the operations break, whatever is stored. Also checked by {@link evaluate}. */
  check(operations: readonly T['operation'][]): Failure | undefined;
  /** Decides under the locks what a commit will do, or why not. Changes nothing. */
  evaluate(operations: readonly T['operation'][], nowMs: number): Evaluation<T['effect']>;
  /** Whether a commit changes anything, so that it takes a revision. */
  changes(effect: T['effect']): boolean;
  /** The branch is prepared, now or in an earlier term: reserve. */
  hold(effect: T['effect']): void;
  /** The branch was aborted: give the reservation back. */
  drop(effect: T['effect']): void;
  /** The branch commits: write, and end the reservation (of a local transaction there is none). */
  apply(effect: T['effect'], revision: number, nowMs: number, held: boolean, out: RecordOutput<T>): void;

  answer(query: T['query'], nowMs: number): T['answer'];
  /**
   * Answers within an interactive transaction, with what it has staged, and says which operations
   * validate the answer at prepare. A refusal where the staged operations can't be evaluated.
   */
  answerStaged(
    query: T['query'],
    staged: readonly T['operation'][],
    nowMs: number,
  ): { readonly answer: T['answer']; readonly checks: readonly T['operation'][] } | { readonly failure: Failure };

  /** Upper bound of the operations' effect, encoded, in bytes; their records are admitted. */
  effectBytes(operations: readonly T['operation'][]): number;
  /** About what the operations take in memory, bytes. */
  sizeOf(operations: readonly T['operation'][]): number;
  /** Upper bound of what {@link apply} writes, with what it adds to {@link seal}. */
  applyCost(effect: T['effect']): Cost;
  /** Upper bound of {@link applyCost} of whatever {@link evaluate} makes of the operations. */
  localCost(operations: readonly T['operation'][]): Cost;

  /** Whether {@link upkeep} has something to do: it is then called soon, in a step of its own. */
  readonly upkeepDue: boolean;
  missingForUpkeep(): readonly string[];
  readonly upkeepCost: Cost;
  /** Removes what nobody needs any more, a bounded part at a time. */
  upkeep(out: RecordOutput<T>): void;

  /** Ends a batch: what is written once per batch; caches shed what they hold too much of. */
  seal(revision: number, nowMs: number, out: RecordOutput<T>): void;
  /** Upper bound of what {@link seal} adds, beyond what {@link applyCost} has counted. */
  readonly sealCost: Cost;
  /** As {@link Kernel.durableState}; what is loaded on demand is left out. */
  durableState(): unknown;
}
