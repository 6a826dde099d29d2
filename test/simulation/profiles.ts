/**
 * Mixes of faults and work. Every seed has one; each mix leans on some rules harder than chance alone
 * would, and all of them together are what the seeds of one run go through.
 */

import type { CounterKind } from '../../services/kernel/counter/types.ts';
import type { Shape } from './world/cluster.ts';
import type { NetworkFaults } from './world/network.ts';
import type { Random } from './world/random.ts';
import type { StoreFaults } from './world/faulty-store.ts';

/** Names of {@link Workload}'s kinds of work. */
export type Work =
  | 'write' | 'cross' | 'transfer' | 'audit' | 'look' | 'local' | 'interactive' | 'force'
  | 'sale' | 'tally' | 'reshard' | 'add' | 'count' | 'set' | 'move' | 'exchange' | 'order' | 'handle' | 'publish' | 'consume' | 'administer';

/** Mean time between two faults of a kind, milliseconds; absent: never. */
export interface Accidents {
  readonly crash?: number;
  /** A replica stands still, often longer than its lease. */
  readonly pause?: number;
  /** A replica can't reach the others, or the store, or both. */
  readonly isolate?: number;
  readonly storeCut?: number;
  /** A wall clock jumps, up to `jumpMs` ahead or a little back. */
  readonly jump?: number;
  /** A replica leaves in good order, or one more comes. */
  readonly membership?: number;
}

export interface Profile {
  readonly name: string;
  readonly shape: Shape;
  readonly clients: number;
  readonly work: Partial<Record<Work, number>>;
  /** Kinds of counters that are used. */
  readonly counterKinds: readonly CounterKind[];
  /** Subscriptions that are used; absent: all. */
  readonly subscriptions?: readonly string[];
  /** Ordering keys of messages; '': none. */
  readonly orderingKeys: readonly string[];
  /** How often a message is delayed, and for how long at most, milliseconds. */
  readonly delayed: number;
  readonly delayMs: number;
  /** How often a message is handled so late that its deadline may pass. */
  readonly lateHandling: number;
  /** How many registers are used. */
  readonly registers: number;
  /** Typical pause between two pieces of work of a client, and within an interactive one, milliseconds. */
  readonly thinkMs: number;
  /** How long clients wait for answers, as a multiple of what is usual. */
  readonly patience: number;
  readonly workMs: number;
  readonly transactionTimeoutMs: number;
  readonly retries: number;
  /** How often an id is aborted while it is under way, used for other content, sent again long after. */
  readonly abortRace: number;
  readonly otherContent: number;
  readonly lateCopy: number;
  readonly lateCopyMs: number;
  readonly accidents: Accidents;
  readonly network: NetworkFaults;
  readonly store: StoreFaults;
  readonly pauseMs: number;
  readonly jumpMs: number;
  readonly retentionMs: number;
  /** Of each kernel's caches; small ones make it read the store. */
  readonly cacheBytes: number;
  readonly leaseTtlMs: number;
  /** Largest difference of a clock's speed from true time, and of a client's clock, milliseconds. */
  readonly drift: number;
  readonly skewMs: number;
  readonly queueLimit?: number;
  readonly durationMs: number;
}

const MIXED: Profile = {
  name: 'mixed',
  shape: 'keys',
  clients: 5,
  work: { write: 3, cross: 2, transfer: 3, audit: 1, look: 4, local: 2, interactive: 2 },
  orderingKeys: ['', 'a', 'b', 'c', 'd'],
  delayed: 0.2,
  delayMs: 2500,
  lateHandling: 0.4,
  counterKinds: ['strong', 'sharded', 'queued', 'replicated'],
  registers: 4,
  thinkMs: 60,
  patience: 1,
  workMs: 60,
  transactionTimeoutMs: 1200,
  retries: 3,
  abortRace: 0.05,
  otherContent: 0.02,
  lateCopy: 0.15,
  lateCopyMs: 4000,
  accidents: { crash: 4000, pause: 4000, isolate: 5000, storeCut: 5000, jump: 6000, membership: 6000 },
  network: { delayMs: 3, loss: 0.02, duplicate: 0.05, straggler: 0.02, straggleMs: 1500 },
  store: { delayMs: 2, unavailable: 0.01, ambiguous: 0.01, lateMs: 1500, slow: 0.03, watchLagMs: 100 },
  pauseMs: 2500,
  jumpMs: 4000,
  retentionMs: 20_000,
  cacheBytes: 4_000,
  leaseTtlMs: 1000,
  drift: 0.02,
  skewMs: 200,
  durationMs: 8000,
};

const ALL_KINDS: Profile = {
  ...MIXED,
  name: 'all kinds',
  shape: 'all kinds',
  work: { sale: 2, tally: 1, reshard: 1, add: 4, count: 4, set: 1, move: 2, exchange: 1, order: 4, handle: 8, publish: 8, consume: 12, administer: 1 },
  thinkMs: 40,
  otherContent: 0,
  lateCopyMs: 3000,
};

export const PROFILES: readonly Profile[] = [
  MIXED,
  {
    ...MIXED,
    name: 'late copies',
    retentionMs: 700,
    lateCopy: 0.6,
    lateCopyMs: 6000,
    accidents: { crash: 5000, jump: 2500 },
    jumpMs: 60_000,
    network: { ...MIXED.network, duplicate: 0.2, straggler: 0.08, straggleMs: 3000 },
  },
  {
    ...MIXED,
    name: 'deposed leaders',
    clients: 10,
    thinkMs: 20,
    patience: 2,
    transactionTimeoutMs: 4000,
    accidents: { pause: 1000 },
    pauseMs: 3000,
    store: { ...MIXED.store, delayMs: 0.3, slow: 0, ambiguous: 0, watchLagMs: 20 },
    work: { write: 4, cross: 1, look: 3 },
    network: { ...MIXED.network, loss: 0.3, straggler: 0 },
    drift: 0.04,
    durationMs: 12_000,
    lateCopy: 0,
    abortRace: 0,
  },
  {
    ...MIXED,
    name: 'pauses',
    clients: 6,
    thinkMs: 30,
    patience: 0.3,
    cacheBytes: 1_000_000,
    accidents: { pause: 500 },
    pauseMs: 4000,
    work: { look: 25, local: 2 },
    registers: 1,
    network: { ...MIXED.network, loss: 0.01, duplicate: 0, straggler: 0 },
    store: { ...MIXED.store, delayMs: 0.5, ambiguous: 0, slow: 0 },
    lateCopy: 0,
  },
  {
    ...MIXED,
    name: 'unanswered writes',
    accidents: { crash: 6000 },
    store: { ...MIXED.store, ambiguous: 0.08, lateMs: 600, delayMs: 6, unavailable: 0.03 },
    registers: 2,
    work: { write: 3, transfer: 2, look: 5, local: 4, interactive: 1 },
  },
  {
    ...MIXED,
    name: 'crowd',
    clients: 9,
    registers: 2,
    thinkMs: 15,
    accidents: { crash: 5000 },
    store: { ...MIXED.store, delayMs: 8, slow: 0.1 },
    work: { write: 2, cross: 6, transfer: 1, audit: 2, look: 6, local: 2 },
    network: { ...MIXED.network, delayMs: 6 },
    lateCopy: 0.02,
    durationMs: 6000,
  },
  {
    ...MIXED,
    name: 'attempts',
    transactionTimeoutMs: 900,
    retries: 5,
    otherContent: 0.3,
    accidents: { crash: 1500, pause: 2500, isolate: 2500 },
    network: { ...MIXED.network, loss: 0.06, duplicate: 0.2, straggler: 0.1, straggleMs: 2500 },
    work: { write: 6, transfer: 2, look: 1, interactive: 2 },
    registers: 4,
  },
  {
    ...MIXED,
    name: 'careless clients',
    transactionTimeoutMs: 700,
    retries: 2,
    otherContent: 0.8,
    accidents: { crash: 900 },
    network: { ...MIXED.network, loss: 0.15, duplicate: 0.1, straggler: 0.15, straggleMs: 1200 },
    work: { write: 1 },
    thinkMs: 200,
  },
  {
    ...MIXED,
    name: 'interactive',
    workMs: 400,
    accidents: { crash: 1500, pause: 3000, membership: 3000 },
    work: { interactive: 8, look: 2, write: 1 },
  },
  {
    ...MIXED,
    name: 'operators',
    accidents: { crash: 2500, isolate: 2500 },
    work: { write: 4, transfer: 2, look: 1, force: 4 },
    network: { ...MIXED.network, loss: 0.1 },
  },
  {
    ...MIXED,
    name: 'full queues',
    clients: 9,
    thinkMs: 5,
    queueLimit: 2,
    store: { ...MIXED.store, delayMs: 10, slow: 0.1 },
    accidents: { membership: 2500 },
    durationMs: 5000,
  },
  ALL_KINDS,
  {
    ...ALL_KINDS,
    name: 'counters',
    work: { sale: 4, tally: 2, reshard: 1, add: 8, count: 8, set: 2, move: 2, exchange: 1 },
  },
  {
    ...ALL_KINDS,
    name: 'escrow',
    clients: 8,
    counterKinds: ['strong'],
    work: { tally: 6, add: 6, count: 3, set: 1 },
    thinkMs: 20,
    accidents: { crash: 3000, pause: 4000 },
    network: { ...MIXED.network, delayMs: 15 },
  },
  {
    ...ALL_KINDS,
    name: 'shards',
    counterKinds: ['sharded'],
    work: { add: 10, move: 5, reshard: 2, count: 2, tally: 1 },
    thinkMs: 10,
    patience: 0.2,
    accidents: { crash: 4000 },
    network: { ...MIXED.network, loss: 0.2, straggler: 0.05, straggleMs: 600 },
    store: { ...MIXED.store, ambiguous: 0.005 },
    durationMs: 6000,
  },
  {
    ...ALL_KINDS,
    name: 'queues',
    work: { order: 4, handle: 8, publish: 8, consume: 14, administer: 1 },
  },
  {
    ...ALL_KINDS,
    name: 'handlers',
    clients: 8,
    subscriptions: ['handled', 'narrowed', 'replayed', 'fragile'],
    work: { publish: 6, order: 2, handle: 12, consume: 3, administer: 1 },
    thinkMs: 15,
    lateHandling: 0.7,
    delayed: 0,
    accidents: { crash: 5000, pause: 5000 },
    network: { ...MIXED.network, delayMs: 20 },
  },
  {
    ...ALL_KINDS,
    name: 'one key',
    clients: 7,
    subscriptions: ['ordered', 'collected', 'once'],
    orderingKeys: ['a'],
    work: { publish: 6, order: 6, consume: 8, handle: 2 },
    thinkMs: 15,
    delayed: 0.1,
    accidents: { crash: 3000, isolate: 5000 },
    network: { ...MIXED.network, delayMs: 15 },
    store: { ...MIXED.store, delayMs: 4 },
  },
  {
    ...ALL_KINDS,
    name: 'delays',
    subscriptions: ['ranked', 'once', 'ordered', 'even'],
    work: { publish: 8, order: 2, consume: 10 },
    delayed: 0.8,
    delayMs: 5000,
    accidents: { crash: 2500, membership: 5000 },
  },
  {
    ...ALL_KINDS,
    name: 'crowded subscriptions',
    clients: 10,
    subscriptions: ['ranked', 'once', 'fragile', 'buried'],
    work: { publish: 4, order: 1, consume: 16 },
    thinkMs: 5,
    delayed: 0.05,
    accidents: { crash: 5000 },
    network: { ...MIXED.network, loss: 0.005, straggler: 0 },
  },
];

/** The profile of a seed. */
export function profileOf(seed: number): Profile {
  return PROFILES[seed % PROFILES.length]!;
}

/** When the next accident with this mean interval happens. */
export function untilNext(random: Random, meanMs: number): number {
  return -Math.log(1 - random.next()) * meanMs;
}
