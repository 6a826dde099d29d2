/**
 * Counters as a {@link Resource}: what the branch protocol locks, evaluates and writes. Counters are
 * loaded on demand; what is changed in a batch is written once at its end.
 */

import type { Failure } from '../failure.ts';
import type { Cost } from '../kernel.ts';
import type { LockWish } from '../participant/locks.ts';
import { rangeOf } from '../participant/keys.ts';
import type { Evaluation, RecordOutput, Resource, ResourceRequests } from '../participant/resource.ts';
import { TOKEN_PREFIX } from '../sessions/log.ts';
import { Sessions } from '../sessions/sessions.ts';
import { DEFAULT_SESSION_SETTINGS } from '../sessions/types.ts';
import { smallestAbove } from '../smallest.ts';
import { Adds } from './adds.ts';
import { CounterCache } from './cache.ts';
import { Changes } from './changes.ts';
import { type CounterEntry, LARGEST_NEW_BYTES } from './entry.ts';
import { Escrow } from './escrow.ts';
import { checkOperations, evaluateOperations, isExclusive, refusalOfAdd, stopsAdds, type CounterState } from './evaluate.ts';
import { EVENT_ADDS_BYTES, EventLog } from './events.ts';
import { notFound, wrongKind } from './failures.ts';
import { counterKey, EVENT_PREFIX, MOVING_PREFIX } from './keys.ts';
import { HOME_SLOT, homeOf } from './placement.ts';
import { CounterRequests } from './requests.ts';
import { Slots } from './slots.ts';
import {
  type Component,
  type CounterAnswer,
  type CounterBug,
  type CounterEffect,
  type CounterEvent,
  type CounterOperation,
  type CounterQuery,
  type CounterRecord,
  type CounterSettings,
  type CounterStored,
  type CounterTypes,
  type EventRecord,
  LIMITS,
  type MovingRecord,
  type TokenResult,
} from './types.ts';
import { viewOf } from './view.ts';
import type { TokenRecord } from '../sessions/types.ts';

const NOTHING: readonly string[] = [];
/** Of an encoded token's result, of a scope with its slot, of an operation or a change beside its name. */
const RESULT_BYTES = 24;
const SCOPE_BYTES = LIMITS.nameBytes + 4;
const CHANGE_BYTES = 140;
const UTF8_BYTES = 3;
/** A deleted counter's scopes are named in the batch's token record. */
const DELETE_BYTES = 66 * SCOPE_BYTES;

export class CounterResource implements Resource<CounterTypes>, CounterState {
  readonly activeRanges = [rangeOf(EVENT_PREFIX), rangeOf(MOVING_PREFIX), rangeOf(TOKEN_PREFIX)];
  readonly awaitsShared: boolean;
  readonly requests: ResourceRequests<CounterTypes>;
  /** Whether {@link CounterEvent}s are emitted; set by whoever has watchers. */
  watched = false;
  private readonly settings: CounterSettings;
  private readonly counters: CounterCache;
  private readonly sessions: Sessions<TokenResult>;
  private readonly events = new EventLog();
  private readonly escrow: Escrow;
  private readonly slots: Slots;
  private readonly committed: Changes;
  /** This partition of this cluster, before it has counted. */
  private readonly own: Component;
  private readonly news = new Set<string>();

  constructor(settings: CounterSettings, bugs: ReadonlySet<CounterBug> = new Set()) {
    const { cacheBytes, clusterId, partition, retentionMs } = settings;
    this.settings = settings;
    this.counters = new CounterCache(cacheBytes);
    this.sessions = new Sessions<TokenResult>({ ...DEFAULT_SESSION_SETTINGS, retentionMs, resultBytes: RESULT_BYTES, scopeBytes: SCOPE_BYTES });
    this.escrow = new Escrow(bugs.has('escrow-counts-committed-only'));
    this.slots = new Slots(settings, this.counters, this.sessions, bugs);
    this.own = { clusterId, partition, added: 0n, subtracted: 0n };
    this.awaitsShared = !bugs.has('read-misses-prepared-add');
    const { counters, sessions, events, escrow, slots, own } = this;
    const tell = (name: string): void => void this.news.add(name);
    this.committed = new Changes({ counters, events, slots, own, tally: settings.tally, tell });
    this.requests = new CounterRequests({
      settings,
      counters,
      sessions,
      events,
      slots,
      adds: new Adds({ settings, counters, sessions, escrow, events, own, tell }),
      tell,
    });
  }

  /** When the oldest add to a queued counter was made that is not rolled up, wall time; undefined: none waits. */
  get oldestEventMs(): number | undefined {
    return this.events.oldestMs;
  }

  recover(key: string, record: CounterStored): void {
    if (key.startsWith(EVENT_PREFIX)) this.events.recover(key, record as EventRecord);
    else if (key.startsWith(MOVING_PREFIX)) this.slots.recover(key.slice(MOVING_PREFIX.length), record as MovingRecord);
    else this.sessions.recover(key, record as TokenRecord<TokenResult>);
  }

  lead(): void {}

  // Records on demand

  missing(operations: readonly CounterOperation[]): readonly string[] {
    return this.missingOf(operations.map(({ name }) => name));
  }

  missingForEffect({ changes }: CounterEffect): readonly string[] {
    return this.missingOf(changes.map(({ name }) => name));
  }

  missingForQuery(query: CounterQuery): readonly string[] {
    switch (query.type) {
      case 'counters':
        return this.missingOf(query.names);
      case 'rates':
        return this.missingOf([query.name]);
      case 'moving':
        return this.missingOf(this.movingPage(query.after, query.limit));
    }
  }

  admit(key: string, record: CounterStored | undefined): void {
    this.counters.admit(key, record as CounterRecord | undefined);
  }

  // The branch protocol

  locks(operations: readonly CounterOperation[]): readonly LockWish[] {
    if (operations.length === 1) return [{ name: operations[0]!.name, exclusive: operations[0]!.type !== 'add' }];
    const wishes = new Map<string, boolean>();
    for (const { name, type } of operations) wishes.set(name, type !== 'add' || wishes.get(name) === true);
    return Array.from(wishes, ([name, exclusive]) => ({ name, exclusive }));
  }

  locksOf({ changes }: CounterEffect): readonly LockWish[] {
    return changes.map((change) => ({ name: change.name, exclusive: isExclusive(change) }));
  }

  awaited(query: CounterQuery): readonly string[] {
    return query.type === 'counters' ? query.names : NOTHING;
  }

  check(operations: readonly CounterOperation[]): Failure | undefined {
    return checkOperations(operations);
  }

  evaluate(operations: readonly CounterOperation[], nowMs: number): Evaluation<CounterEffect> {
    return evaluateOperations(operations, this, nowMs);
  }

  changes({ changes }: CounterEffect): boolean {
    return changes.some(({ type }) => type !== 'check');
  }

  hold({ changes }: CounterEffect): void {
    for (const change of changes) {
      if (change.type === 'add') this.escrow.reserve(change.name, change.amount);
      if (stopsAdds(change)) this.escrow.lock(change.name);
    }
  }

  drop({ changes }: CounterEffect): void {
    for (const change of changes) {
      if (change.type === 'add') this.escrow.release(change.name, change.amount);
      if (stopsAdds(change)) this.escrow.unlock(change.name);
    }
  }

  apply(effect: CounterEffect, _revision: number, _nowMs: number, held: boolean, out: RecordOutput<CounterTypes>): void {
    if (held) this.drop(effect);
    for (const change of effect.changes) this.committed.apply(change, out);
  }

  // Reading

  answer(query: CounterQuery, nowMs: number): CounterAnswer {
    switch (query.type) {
      case 'counters':
        return { type: 'counters', views: query.names.map((name) => this.view(name, nowMs)) };
      case 'rates':
        return { type: 'rates', windows: this.find(query.name)?.rates.read(nowMs) };
      case 'moving': {
        const names = this.movingPage(query.after, query.limit);
        const slots = names.flatMap((name) => {
          const entry = this.find(name);
          return entry === undefined ? [] : this.slots.misplaced(entry);
        });
        return { type: 'moving', slots, more: names.length === query.limit };
      }
    }
  }

  answerStaged(
    query: CounterQuery,
    staged: readonly CounterOperation[],
    nowMs: number,
  ): { readonly answer: CounterAnswer; readonly checks: readonly CounterOperation[] } | { readonly failure: Failure } {
    if (query.type !== 'counters') return { answer: this.answer(query, nowMs), checks: [] };
    const views = [];
    const checks: CounterOperation[] = [];
    for (const name of query.names) {
      const view = this.view(name, nowMs);
      if (view === undefined) return { failure: notFound(this.settings.participant, name) };
      if (view.kind !== 'strong') return { failure: wrongKind(name, view.kind, "can't be read within a transaction") };
      let { value } = view;
      for (const operation of staged) if (operation.type === 'add' && operation.name === name) value += operation.amount;
      views.push({ ...view, value });
      checks.push({ type: 'check', name, value: view.value });
    }
    return { answer: { type: 'counters', views }, checks };
  }

  // What operations are evaluated against

  get participant(): string {
    return this.settings.participant;
  }

  find(name: string): CounterEntry | undefined {
    return this.counters.get(name);
  }

  isHome(name: string): boolean {
    return homeOf(name, this.settings.partitions) === this.settings.partition;
  }

  fitting(entry: CounterEntry, amount: bigint): bigint {
    return entry.fitting(amount, HOME_SLOT, this.pending(entry), this.escrow.of(entry.name), this.own);
  }

  get eventsRefused(): number | undefined {
    const { recordCount } = this.events;
    return recordCount >= this.settings.maxEvents ? recordCount : undefined;
  }

  refusalOfAdd(entry: CounterEntry, amount: bigint, left: bigint): Failure {
    return refusalOfAdd(entry, amount, left, this.escrow.of(entry.name));
  }

  isSettled(entry: CounterEntry): boolean {
    return this.slots.isSettled(entry);
  }

  // Sizes

  effectBytes(operations: readonly CounterOperation[]): number {
    let bytes = 0;
    for (const { name } of operations) bytes += CHANGE_BYTES + UTF8_BYTES * name.length;
    return bytes;
  }

  sizeOf(operations: readonly CounterOperation[]): number {
    let bytes = 0;
    for (const { name } of operations) bytes += 2 * CHANGE_BYTES + 2 * name.length;
    return bytes;
  }

  applyCost({ changes }: CounterEffect): Cost {
    return this.costOf(changes);
  }

  localCost(operations: readonly CounterOperation[]): Cost {
    return this.costOf(operations);
  }

  // Upkeep: what is due is a request

  readonly upkeepDue = false;
  readonly upkeepCost: Cost = { operations: 0, bytes: 0 };

  missingForUpkeep(): readonly string[] {
    return NOTHING;
  }

  upkeep(): void {}

  // Ending a batch

  seal(_revision: number, nowMs: number, out: RecordOutput<CounterTypes>): void {
    const changed = this.counters.seal(nowMs, out);
    this.events.seal(nowMs, out);
    this.sessions.seal(nowMs, out);
    if (changed !== undefined && this.watched) {
      const event: CounterEvent = { type: 'changes', names: [...changed.keys()], replicated: [...this.news], moving: this.slots.isMoving };
      out.emit(event);
    }
    if (this.news.size > 0) this.news.clear();
  }

  get sealCost(): Cost {
    const { counters, events, sessions } = this;
    const tokens = sessions.sealCost;
    return { operations: counters.touchedCount + events.sealCost.operations + tokens.operations, bytes: tokens.bytes };
  }

  durableState(): unknown {
    return { sessions: this.sessions.durableState(), events: this.events.durableState(), moving: this.slots.durableState() };
  }

  private view(name: string, nowMs: number) {
    const entry = this.find(name);
    return entry && viewOf(entry, this.events, nowMs);
  }

  private pending({ name, id, kind }: CounterEntry): bigint {
    return kind === 'queued' ? (this.events.pendingOf(name, id)?.amount ?? 0n) : 0n;
  }

  private missingOf(names: readonly string[]): readonly string[] {
    let missing: string[] | undefined;
    for (const name of names) if (!this.counters.has(name)) (missing ??= []).push(counterKey(name));
    return missing ?? NOTHING;
  }

  private movingPage(after: string, limit: number): string[] {
    return smallestAbove(this.slots.movingNames, after, limit);
  }

  private costOf(parts: readonly { readonly type: string; readonly name: string }[]): Cost {
    const names = new Set<string>();
    let marks = 0;
    let bytes = 0;
    for (const { type, name } of parts) {
      if (type === 'create' || type === 'update' || type === 'delete') marks++;
      if (type === 'delete') bytes += DELETE_BYTES;
      if (names.has(name)) continue;
      names.add(name);
      const entry = this.find(name);
      if (entry?.kind === 'queued') bytes += EVENT_ADDS_BYTES;
      if (!this.counters.isTouched(name)) bytes += entry?.recordBytes ?? LARGEST_NEW_BYTES;
    }
    return { operations: names.size + marks, bytes };
  }
}
