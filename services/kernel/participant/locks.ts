/**
 * Locks with wait-die (invariant K3; Rosenkrantz, Stearns and Lewis 1978, section 3). A request takes
 * all its locks at once or none. While it waits it holds nothing, but stands in the queue of every
 * lock that it wishes for, and only where it is older than whoever it waits for: so every edge of the
 * waits-for graph, over all partitions, leads from an older to a younger transaction, and there is no
 * cycle. Pure: no time, no messages.
 */

export interface LockWish {
  readonly name: string;
  readonly exclusive: boolean;
}

/** Wishes name each lock once. */
export interface LockRequest {
  /** Age: the time of the transaction's first try, then its id. */
  readonly firstTryMs: number;
  readonly transactionId: string;
  readonly wishes: readonly LockWish[];
}

export type LockResult =
  | { readonly type: 'granted' }
  | { readonly type: 'waiting' }
  /** Somebody older, or as old, is in the way. */
  | { readonly type: 'refused'; readonly name: string; readonly by: string };

interface Lock {
  exclusive: LockRequest | undefined;
  shared: LockRequest[] | undefined;
  /** Youngest first, by K3. */
  queue: { readonly request: LockRequest; readonly exclusive: boolean }[] | undefined;
}

const GRANTED: LockResult = { type: 'granted' };
const WAITING: LockResult = { type: 'waiting' };
const NOBODY: readonly LockRequest[] = [];

export function isOlder(a: LockRequest, b: LockRequest): boolean {
  return a.firstTryMs !== b.firstTryMs ? a.firstTryMs < b.firstTryMs : a.transactionId < b.transactionId;
}

export class LockTable {
  private readonly locks = new Map<string, Lock>();
  private readonly waiting = new Set<LockRequest>();
  private readonly outOfOrder: boolean;
  private held = 0;

  /** @param outOfOrder the deliberate bug 'waiters-out-of-order' */
  constructor(outOfOrder = false) {
    this.outOfOrder = outOfOrder;
  }

  /** Locks held; one that n requests share counts n times. */
  get heldCount(): number {
    return this.held;
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  isWaiting(request: LockRequest): boolean {
    return this.waiting.has(request);
  }

  /** Adds those who hold the lock: exclusively, or in any way. */
  addHolders(name: string, shared: boolean, holders: Set<LockRequest>): void {
    const lock = this.locks.get(name);
    if (lock !== undefined) addHolders(lock, shared, holders);
  }

  /** As {@link addHolders}, of every lock with this prefix. Looks at every lock. */
  addHoldersOf(prefix: string, shared: boolean, holders: Set<LockRequest>): void {
    for (const [name, lock] of this.locks) if (name.startsWith(prefix)) addHolders(lock, shared, holders);
  }

  /** Whether somebody waits for a lock that the request holds. */
  isAwaited(request: LockRequest): boolean {
    return request.wishes.some(({ name }) => (this.locks.get(name)?.queue?.length ?? 0) > 0);
  }

  /** Who holds what the request waits for. */
  holdersAgainst(request: LockRequest): Set<LockRequest> {
    const holders = new Set<LockRequest>();
    for (const wish of request.wishes) {
      const lock = this.locks.get(wish.name);
      if (lock === undefined) continue;
      if (lock.exclusive !== undefined) holders.add(lock.exclusive);
      if (wish.exclusive) for (const holder of lock.shared ?? NOBODY) holders.add(holder);
    }
    holders.delete(request);
    return holders;
  }

  request(request: LockRequest, mayWait: boolean): LockResult {
    let contended = false;
    for (const wish of request.wishes) {
      const lock = this.locks.get(wish.name);
      if (lock === undefined) continue;
      const rival = this.rival(lock, wish, request);
      if (rival === undefined) continue;
      contended = true;
      if (rival !== 'younger' || !mayWait) {
        const by = rival === 'younger' ? this.anyRival(lock, wish) : rival;
        return { type: 'refused', name: wish.name, by: by.transactionId };
      }
    }
    if (!contended) {
      this.hold(request);
      return GRANTED;
    }
    for (const { name, exclusive } of request.wishes) (this.lock(name).queue ??= []).push({ request, exclusive });
    this.waiting.add(request);
    return WAITING;
  }

  /** Takes the locks of a branch that was prepared in an earlier term, which conflicts with nothing. */
  restore(request: LockRequest): void {
    this.hold(request);
  }

  /** Ends a request, held or waiting. Returns those that now hold their locks. */
  release(request: LockRequest): readonly LockRequest[] {
    const waited = this.waiting.delete(request);
    let granted: LockRequest[] | undefined;
    for (const { name } of request.wishes) {
      const lock = this.locks.get(name);
      if (lock === undefined) continue;
      if (waited) this.leaveQueue(lock, request);
      else if (lock.exclusive === request) lock.exclusive = undefined;
      else lock.shared = without(lock.shared, request);
    }
    if (!waited) this.held -= request.wishes.length;
    for (const { name } of request.wishes) {
      const lock = this.locks.get(name);
      if (lock === undefined) continue;
      if (lock.queue !== undefined) {
        const candidates = this.outOfOrder ? lock.queue.toReversed() : lock.queue.slice();
        for (const { request: candidate } of candidates) {
          if (!this.waiting.has(candidate) || !this.isFree(candidate)) continue;
          this.waiting.delete(candidate);
          for (const wish of candidate.wishes) this.leaveQueue(this.lock(wish.name), candidate);
          this.hold(candidate);
          (granted ??= []).push(candidate);
        }
      }
      if (lock.exclusive === undefined && lock.shared === undefined && lock.queue === undefined) this.locks.delete(name);
    }
    return granted ?? NOBODY;
  }

  /** Every lock with its holders, for comparison. */
  holders(): [name: string, mode: string, ids: string[]][] {
    return [...this.locks]
      .filter(([, lock]) => lock.exclusive !== undefined || lock.shared !== undefined)
      .map(([name, lock]): [string, string, string[]] =>
        lock.exclusive !== undefined
          ? [name, 'exclusive', [lock.exclusive.transactionId]]
          : [name, 'shared', lock.shared!.map((request) => request.transactionId).sort()],
      )
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** The waits-for edges, for tests. */
  edges(): [waiter: LockRequest, waitsFor: LockRequest][] {
    const edges: [LockRequest, LockRequest][] = [];
    for (const waiter of this.waiting) {
      for (const holder of this.holdersAgainst(waiter)) edges.push([waiter, holder]);
      for (const wish of waiter.wishes) {
        for (const ahead of this.ahead(wish, waiter)) edges.push([waiter, ahead]);
      }
    }
    return edges;
  }

  /** Who is in the way: somebody not younger, only younger ones, or nobody. */
  private rival(lock: Lock, wish: LockWish, request: LockRequest): LockRequest | 'younger' | undefined {
    let found: 'younger' | undefined;
    if (lock.exclusive !== undefined) {
      if (!isOlder(request, lock.exclusive)) return lock.exclusive;
      found = 'younger';
    }
    if (wish.exclusive && lock.shared !== undefined) {
      for (const holder of lock.shared) if (!isOlder(request, holder)) return holder;
      found = 'younger';
    }
    if (lock.queue !== undefined) {
      for (const ahead of lock.queue) {
        if (!wish.exclusive && !ahead.exclusive) continue;
        if (!isOlder(request, ahead.request)) return ahead.request;
        found = 'younger';
      }
    }
    return found;
  }

  private anyRival(lock: Lock, wish: LockWish): LockRequest {
    const queued = lock.queue?.find((ahead) => wish.exclusive || ahead.exclusive)?.request;
    return lock.exclusive ?? (wish.exclusive ? lock.shared?.[0] : undefined) ?? queued!;
  }

  private *ahead(wish: LockWish, waiter: LockRequest): Generator<LockRequest> {
    for (const { request, exclusive } of this.locks.get(wish.name)?.queue ?? []) {
      if (request === waiter) return;
      if (wish.exclusive || exclusive) yield request;
    }
  }

  /** Whether nobody who is in the waiter's way holds a lock or stands ahead of it. */
  private isFree(waiter: LockRequest): boolean {
    for (const wish of waiter.wishes) {
      const lock = this.locks.get(wish.name);
      if (lock === undefined) continue;
      if (lock.exclusive !== undefined || (wish.exclusive && lock.shared !== undefined)) return false;
      if (this.outOfOrder) continue;
      for (const _ of this.ahead(wish, waiter)) return false;
    }
    return true;
  }

  private hold(request: LockRequest): void {
    for (const { name, exclusive } of request.wishes) {
      const lock = this.lock(name);
      if (exclusive) lock.exclusive = request;
      else if (lock.shared === undefined) lock.shared = [request];
      else lock.shared.push(request);
    }
    this.held += request.wishes.length;
  }

  private lock(name: string): Lock {
    let lock = this.locks.get(name);
    if (lock === undefined) {
      lock = { exclusive: undefined, shared: undefined, queue: undefined };
      this.locks.set(name, lock);
    }
    return lock;
  }

  private leaveQueue(lock: Lock, request: LockRequest): void {
    const rest = lock.queue?.filter((waiter) => waiter.request !== request);
    lock.queue = rest?.length ? rest : undefined;
  }
}

function addHolders(lock: Lock, shared: boolean, holders: Set<LockRequest>): void {
  if (lock.exclusive !== undefined) holders.add(lock.exclusive);
  if (shared && lock.shared !== undefined) for (const holder of lock.shared) holders.add(holder);
}

function without(holders: LockRequest[] | undefined, request: LockRequest): LockRequest[] | undefined {
  const rest = holders?.filter((holder) => holder !== request);
  return rest?.length ? rest : undefined;
}
