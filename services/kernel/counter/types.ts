/** Vocabulary of the counter resource. Values and amounts are 64-bit integers, as bigint. */

import type { Failure } from '../failure.ts';
import type { TokenGroup, TokenRecord } from '../sessions/types.ts';
import type { CounterTally } from './tally.ts';

export type CounterKind = 'strong' | 'sharded' | 'queued' | 'replicated';

export interface Bounds {
  /** Undefined: the end of 64 bits. */
  readonly minimum: bigint | undefined;
  readonly maximum: bigint | undefined;
}

// Operations of branches and local transactions

/** Adds; many may be prepared at a time (invariant C4). */
export interface AddOperation {
  readonly type: 'add';
  readonly name: string;
  readonly amount: bigint;
}

/** Requires a value of a strong counter without changing it. */
export interface CheckOperation {
  readonly type: 'check';
  readonly name: string;
  readonly value: bigint;
}

/** Sets a strong counter: whatever it has, or if it has the expected value. */
export interface SetOperation {
  readonly type: 'set';
  readonly name: string;
  readonly expected: bigint | undefined;
  readonly value: bigint;
}

export interface CreateOperation {
  readonly type: 'create';
  readonly name: string;
  /** Tells this counter from an earlier or later one of the same name; the same at every partition. */
  readonly id: string;
  readonly kind: CounterKind;
  readonly bounds: Bounds;
  /** Of a strong counter. */
  readonly value: bigint;
  /** Of a sharded counter. */
  readonly shards: number;
}

export interface UpdateOperation {
  readonly type: 'update';
  readonly name: string;
  /** Undefined: as they are. */
  readonly bounds: Bounds | undefined;
  /** 0: as it is. */
  readonly shards: number;
}

export interface DeleteOperation {
  readonly type: 'delete';
  readonly name: string;
}

export type CounterOperation = AddOperation | CheckOperation | SetOperation | CreateOperation | UpdateOperation | DeleteOperation;

/** What the commit of a branch does to one counter. Adds are summed: only their sum counts (C3). */
export type CounterChange =
  /** `exclusive`: the branch rests on the value, too. */
  | { readonly type: 'add'; readonly name: string; readonly amount: bigint; readonly exclusive: boolean }
  /** Only locked. */
  | { readonly type: 'check'; readonly name: string }
  | { readonly type: 'set'; readonly name: string; readonly value: bigint }
  | (CreateOperation & { readonly createMs: number })
  | UpdateOperation
  | DeleteOperation;

export interface CounterEffect {
  /** Each counter once. */
  readonly changes: readonly CounterChange[];
}

// Requests: adds outside of transactions, slots on the move, state of replicas

export interface DirectAdd {
  /** Index in the request's names. */
  readonly counter: number;
  readonly amount: bigint;
  readonly sequence: number;
}

export interface AddsRequest {
  readonly type: 'add';
  /** A token is this, the add's sequence and `settledBelow`. */
  readonly session: string;
  readonly settledBelow: number;
  /** Each once, at most LIMITS.counters. */
  readonly names: readonly string[];
  readonly adds: readonly DirectAdd[];
}

/** Names a slot of one counter. */
export interface SlotName {
  readonly name: string;
  /** Of the counter. */
  readonly id: string;
  readonly slot: number;
}

/** A slot on its way from one partition to another, with the tokens that were executed in it (C6). */
export interface MovingSlot extends SlotName {
  /** Of the slot where it arrives. */
  readonly generation: number;
  readonly value: bigint;
  /** The floor of the sessions that it leaves. */
  readonly floor: string;
  readonly tokens: readonly TokenGroup<TokenResult>[];
}

export type CounterRequest =
  | AddsRequest
  /** From now on no add goes to the slot; answers `frozen` with what is in it. */
  | ({ readonly type: 'freeze' } & SlotName)
  /** Takes a slot over, unless it was here already under this generation or a later one. */
  | { readonly type: 'install'; readonly slot: MovingSlot }
  /** The slot has arrived under this generation: forgets it here. */
  | ({ readonly type: 'release'; readonly generation: number } & SlotName)
  /** `relay`: they come from elsewhere than this service's other partitions, who are to hear of the news. */
  | { readonly type: 'merge'; readonly states: readonly ReplicatedState[]; readonly relay: boolean }
  /** Of the resource's own making: rolls up the oldest events. */
  | { readonly type: 'rollUp' };

/** What became of an executed token: remembered and answered again. */
export type TokenResult =
  | { readonly type: 'counted'; readonly check: number; readonly value: bigint | undefined }
  /** A bound was in the way; this much was left. */
  | { readonly type: 'refused'; readonly check: number; readonly left: bigint };

/** Where adds of a counter go. */
export interface Layout {
  readonly kind: CounterKind;
  readonly shards: number;
  /** Before the last change. */
  readonly previousShards: number;
}

export type AddOutcome =
  | Extract<TokenResult, { readonly type: 'counted' }>
  | { readonly type: 'failed'; readonly failure: Failure }
  /** Not here: by this layout; undefined: this partition knows nothing of the counter, its home does. */
  | { readonly type: 'elsewhere'; readonly layout: Layout | undefined };

export type CounterResponse =
  /** In the order of the adds. */
  | { readonly type: 'added'; readonly outcomes: readonly AddOutcome[] }
  /** Undefined: the slot is not here, so it has left before. */
  | { readonly type: 'frozen'; readonly slot: MovingSlot | undefined }
  /** False: the counter does not exist here. */
  | { readonly type: 'installed'; readonly known: boolean }
  | { readonly type: 'released' }
  /** In the order of the request; undefined: no replicated counter here. */
  | { readonly type: 'merged'; readonly states: readonly (ReplicatedState | undefined)[] };

// Reading

export type CounterQuery =
  | { readonly type: 'counters'; readonly names: readonly string[] }
  | { readonly type: 'rates'; readonly name: string }
  /** Slots that belong elsewhere since a counter's shards were changed. */
  | { readonly type: 'moving'; readonly after: string; readonly limit: number };

/** What a partition knows of a counter. */
export interface CounterView extends Layout {
  readonly name: string;
  readonly id: string;
  readonly createMs: number;
  readonly bounds: Bounds;
  /** Of a strong or queued counter. */
  readonly value: bigint;
  /** Of a queued one: adds that are not in the value, and when the oldest of them was made. */
  readonly pendingAdds: number;
  readonly pendingSinceMs: number;
  readonly slots: readonly Slot[];
  readonly components: readonly Component[];
}

export type CounterAnswer =
  | { readonly type: 'counters'; readonly views: readonly (CounterView | undefined)[] }
  /** Undefined: the counter is not here. */
  | { readonly type: 'rates'; readonly windows: readonly RateWindow[] | undefined }
  | { readonly type: 'moving'; readonly slots: readonly (SlotName & { readonly partition: number })[]; readonly more: boolean };

/** What was added within a time. */
export interface RateWindow {
  readonly windowMs: number;
  readonly added: bigint;
  readonly adds: number;
}

// Records

/** One of the places where a sharded counter's adds are summed (C6). */
export interface Slot {
  readonly slot: number;
  /** Grows with every move. */
  readonly generation: number;
  /** 'frozen': on its way from here; its value counts until another partition has a later generation. 'left': it has gone. */
  readonly state: 'here' | 'frozen' | 'left';
  readonly value: bigint;
}

/** What one partition of one cluster has counted: both only grow (C7). */
export interface Component {
  readonly clusterId: string;
  readonly partition: number;
  readonly added: bigint;
  readonly subtracted: bigint;
}

export interface ReplicatedState {
  readonly name: string;
  readonly components: readonly Component[];
}

export interface RateBucket {
  /** Number of the second, minute or hour since 1970. */
  readonly start: number;
  readonly added: bigint;
  readonly adds: number;
}

export interface RatesRecord {
  readonly seconds: readonly RateBucket[];
  readonly minutes: readonly RateBucket[];
  readonly hours: readonly RateBucket[];
}

/** Under `counter/<name>`, at every partition that has a part of the counter. */
export interface CounterRecord extends Layout {
  readonly type: 'counter';
  readonly id: string;
  readonly createMs: number;
  readonly bounds: Bounds;
  readonly value: bigint;
  readonly slots: readonly Slot[];
  readonly components: readonly Component[];
  readonly rates: RatesRecord;
}

/** Adds of one batch to one queued counter; their sum has 64 bits. */
export interface QueuedAdds {
  readonly name: string;
  readonly id: string;
  readonly amount: bigint;
  readonly adds: number;
}

/** Under `event/<number>`: adds to queued counters that are not rolled up. */
export interface EventRecord {
  readonly type: 'event';
  readonly timeMs: number;
  readonly adds: readonly QueuedAdds[];
}

/** Under `moving/<name>`: the counter has slots here that belong elsewhere. */
export interface MovingRecord {
  readonly type: 'moving';
  readonly id: string;
}

/** Under `replica/<name>`: the counter is replicated; for whoever tells others of all that are. */
export interface ReplicaRecord {
  readonly type: 'replica';
}

export type CounterStored = CounterRecord | EventRecord | MovingRecord | ReplicaRecord | TokenRecord<TokenResult>;

/** Emitted once per batch that changes something. */
export interface CounterEvent {
  readonly type: 'changes';
  /** Names of all that changed; and of the replicated counters among them whose state others are to hear. */
  readonly names: readonly string[];
  readonly replicated: readonly string[];
  /** There are slots that belong elsewhere. */
  readonly moving: boolean;
}

export interface CounterTypes {
  readonly operation: CounterOperation;
  readonly effect: CounterEffect;
  readonly query: CounterQuery;
  readonly answer: CounterAnswer;
  readonly request: CounterRequest;
  readonly response: CounterResponse;
  readonly record: CounterStored;
}

export interface CounterSettings {
  readonly participant: string;
  readonly partition: number;
  /** Of the service. */
  readonly partitions: number;
  readonly clusterId: string;
  /** Bound of the counters in memory, bytes. */
  readonly cacheBytes: number;
  /** How long an idle session of tokens is known, milliseconds. */
  readonly retentionMs: number;
  /** Events of queued counters are rolled up this long after they were made, milliseconds. */
  readonly rollUpMs: number;
  /** Most event records that may wait to be rolled up. */
  readonly maxEvents: number;
  /** Absent: nobody counts. */
  readonly tally?: CounterTally;
}

export const DEFAULT_COUNTER_SETTINGS = {
  cacheBytes: 64 * 1024 * 1024,
  retentionMs: 15 * 60_000,
  rollUpMs: 500,
  maxEvents: 8_192,
} as const;

/** Limits, the same on every store; a failure names the one that is passed. */
export const LIMITS = {
  /** Of a name, in UTF-8. */
  nameBytes: 256,
  /** Counters of one branch, and of one request: each is a record, and all must fit one write. */
  counters: 64,
  /** Operations of a branch. */
  operations: 1_000,
  /** Adds of one request: their tokens fit one write, whatever their scopes. */
  adds: 1_024,
  /** Components of a replicated counter: as many counters as one branch may have must fit one write. */
  components: 160,
  /** Operations of a branch that do more than add and check: each writes more than its counter. */
  configurations: 8,
  shards: 64,
  /** Replicated counters of one merge, and counters of one page of what moves. */
  states: 32,
  moving: 16,
} as const;

/** Deliberate bugs, each at the spot where its invariant is upheld. Never set outside of the simulation. */
export type CounterBug =
  /** C6: a slot moves without the tokens that were executed in it. */
  | 'token-forgotten-on-move'
  /** C3: what prepared adds have reserved counts for nothing. */
  | 'escrow-counts-committed-only'
  /** C5: a linearizable read does not wait for prepared adds. */
  | 'read-misses-prepared-add';
