/**
 * Leases, the keys under them, and the watches on those keys, in memory: what the memory and the lmdb
 * engine share. Its one clock is the store's, so a lease ends here however its holder's clock runs.
 */
import type { Clock, Timer } from '../clock.ts';
import { LeaseLost } from './errors.ts';
import { contains, liveRange } from './keys.ts';
import { SortedMap } from './sorted-map.ts';
import type { Entry, Lease, Put, Range, Watch, WatchEvent, WatchHandlers } from './store.ts';
import { validateTtl, validateWatchRange } from './validate.ts';

interface LiveEntry {
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly leaseId: string;
}

interface LeaseState {
  deadlineMs: number;
  timer: Timer;
  readonly keys: Set<string>;
}

export class LiveKeys {
  readonly #clock: Clock;
  readonly #entries = new SortedMap<LiveEntry>();
  readonly #leases = new Map<string, LeaseState>();
  readonly #watches = new Set<LiveWatch>();
  #lastLease = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(key: string): Uint8Array | undefined {
    return this.#entries.get(key)?.value;
  }

  createRevision(key: string): number | undefined {
    return this.#entries.get(key)?.createRevision;
  }

  scan(range: Range, limit: number, reverse: boolean): Entry[] {
    return this.#entries.range(range, limit, reverse).map(([key, { value }]) => ({ key, value }));
  }

  /** @throws LeaseLost when a put's lease has ended. */
  requireLeases(puts: readonly Put[] | undefined): void {
    for (const { key, lease } of puts ?? []) {
      if (lease !== undefined && !this.#leases.has(lease.id)) {
        throw new LeaseLost(`lease ${lease.id} of key ${JSON.stringify(key)} has ended: take a new lease`);
      }
    }
  }

  /** Ignores what is not under the leased prefix. A put whose lease has ended is over at once. */
  apply(puts: readonly Put[], deletes: readonly string[], deleteRanges: readonly Range[], revision: number): void {
    const events: WatchEvent[] = [];
    for (const range of deleteRanges) {
      for (const [key] of this.#entries.range(range, Infinity)) this.#remove(key, events);
    }
    for (const key of deletes) this.#remove(key, events);
    for (const { key, value, lease } of puts) {
      if (lease === undefined) continue;
      const state = this.#leases.get(lease.id);
      if (state === undefined) continue;
      const before = this.#entries.get(key);
      if (before !== undefined) this.#leases.get(before.leaseId)?.keys.delete(key);
      const createRevision = before?.createRevision ?? revision;
      this.#entries.set(key, { value, createRevision, leaseId: lease.id });
      state.keys.add(key);
      events.push({ type: 'put', key, value, createRevision });
    }
    this.#publish(events);
  }

  grant(ttlMs: number): Lease {
    validateTtl(ttlMs);
    const id = String(++this.#lastLease);
    this.#leases.set(id, { ...this.#arm(id, ttlMs), keys: new Set() });
    return {
      id,
      ttlMs,
      renew: async () => this.#renew(id, ttlMs),
      revoke: async () => this.#end(id),
    };
  }

  watch(range: Range, handlers: WatchHandlers): Watch {
    validateWatchRange(range);
    const watch = new LiveWatch(range, handlers, () =>
      new Map(this.#entries.range(range, Infinity).map(([key, { value, createRevision }]) => [key, { value, createRevision }])));
    this.#watches.add(watch);
    return {
      close: () => {
        watch.close();
        this.#watches.delete(watch);
      },
    };
  }

  /** Stops every timer and watch; the keys are gone. */
  close(): void {
    for (const state of this.#leases.values()) state.timer.cancel();
    for (const watch of this.#watches) watch.close();
    this.#leases.clear();
    this.#watches.clear();
    for (const [key] of this.#entries.range(liveRange, Infinity)) this.#entries.delete(key);
  }

  #arm(id: string, ttlMs: number): { deadlineMs: number; timer: Timer } {
    return { deadlineMs: this.#clock.monotonicMs() + ttlMs, timer: this.#clock.setTimer(ttlMs, () => this.#end(id)) };
  }

  #renew(id: string, ttlMs: number): void {
    const state = this.#leases.get(id);
    // The deadline counts even where its timer is late: the process may have been paused.
    if (state !== undefined && this.#clock.monotonicMs() >= state.deadlineMs) this.#end(id);
    if (state === undefined || !this.#leases.has(id)) throw new LeaseLost(`lease ${id} has ended: take a new lease`);
    state.timer.cancel();
    Object.assign(state, this.#arm(id, ttlMs));
  }

  #end(id: string): void {
    const state = this.#leases.get(id);
    if (state === undefined) return;
    state.timer.cancel();
    this.#leases.delete(id);
    const events: WatchEvent[] = [];
    for (const key of state.keys) this.#remove(key, events);
    this.#publish(events);
  }

  #remove(key: string, events: WatchEvent[]): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#leases.get(entry.leaseId)?.keys.delete(key);
    events.push({ type: 'delete', key });
  }

  #publish(events: readonly WatchEvent[]): void {
    if (events.length === 0) return;
    for (const watch of this.#watches) watch.publish(events);
  }
}

/** Delivers in microtasks, never from inside the call that made the change. */
class LiveWatch {
  readonly #range: Range;
  readonly #handlers: WatchHandlers;
  #pending: WatchEvent[] = [];
  #state: 'starting' | 'following' | 'closed' = 'starting';

  constructor(range: Range, handlers: WatchHandlers, snapshot: () => Parameters<WatchHandlers['onSnapshot']>[0]) {
    this.#range = range;
    this.#handlers = handlers;
    queueMicrotask(() => {
      if (this.#state !== 'starting') return;
      this.#state = 'following';
      handlers.onSnapshot(snapshot());
    });
  }

  publish(events: readonly WatchEvent[]): void {
    // What happens before the snapshot is taken is in it.
    if (this.#state !== 'following') return;
    const mine = events.filter((event) => contains(this.#range, event.key));
    if (mine.length === 0) return;
    if (this.#pending.length === 0) queueMicrotask(() => this.#deliver());
    this.#pending.push(...mine);
  }

  close(): void {
    this.#state = 'closed';
  }

  #deliver(): void {
    const events = this.#pending;
    this.#pending = [];
    if (this.#state === 'following') this.#handlers.onEvents(events);
  }
}
