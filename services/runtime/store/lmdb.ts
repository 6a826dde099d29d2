/**
 * The embedded engine: lmdb in a folder that one process owns. Records are durable when a write
 * resolves. Leased keys end with the process, so they live in memory, and what compares them is
 * decided there; their revisions are reserved on disk before they are used, so they only grow.
 *
 * Order. Most writes only put and delete keys by name under a compare on a leased key: they are handed
 * to lmdb at once, which commits them in the order given, many in one sync. A write that has to see
 * the store at rest (it changes leased keys, deletes a range, or compares a persistent key) waits
 * until nothing is under way, and everything behind it waits for it. So when a new leader's key is
 * there, every write made under the old one has landed or never will.
 */
import { statfs, stat } from 'node:fs/promises';
import { ABORT } from 'lmdb';
import type { Clock, Timer } from '../clock.ts';
import { AmbiguousWrite, StoreUnavailable } from './errors.ts';
import { contains, cutAtLiveKeys, liveRange } from './keys.ts';
import { LiveKeys } from './live-keys.ts';
import { openLmdb, REVISIONS_RESERVED, type LmdbEnvironment } from './lmdb-environment.ts';
import { describeCommitError } from './lmdb-errors.ts';
import { scanBoth } from './scan.ts';
import {
  LEASED_PREFIX,
  type Compare,
  type Entry,
  type Lease,
  type Range,
  type ScanOptions,
  type ScanResult,
  type Store,
  type Watch,
  type WatchHandlers,
  type WriteBatch,
  type WriteLimits,
  type WriteResult,
} from './store.ts';
import { validateBatch, validateKey, validateScan } from './validate.ts';

/** After a failed commit, how long the commits behind it may take to settle. */
const SETTLE_BOUND_MS = 10_000;
const BLOCK_BYTES = 512;
const REFUSED: WriteResult = { type: 'refused' };

interface PendingWrite {
  readonly batch: WriteBatch;
  readonly alone: boolean;
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (error: unknown) => void;
}

interface StartedWrite {
  readonly write: PendingWrite;
  /** The keys in its deleted ranges. */
  readonly ranged: readonly string[];
  /** Revisions that it reserves. */
  readonly reservation: number | undefined;
  finish(): void;
}

type State =
  | { readonly type: 'open' }
  /** A commit has failed; nothing new is handed to lmdb until it is known to be sound. */
  | { readonly type: 'recovering'; readonly failed: { write: PendingWrite; error: unknown }[]; readonly timer: Timer }
  /** Final. */
  | { readonly type: 'unusable'; readonly reason: string };

export async function openLmdbStore(dataDir: string, clock: Clock): Promise<Store> {
  return new LmdbStore(await openLmdb(dataDir), clock, dataDir);
}

/** lmdb itself has no such limits; these bound how long one batch keeps the next one waiting. */
const LIMITS: WriteLimits = { operations: 1024, compares: 128, bytes: 8 * 2 ** 20 };

class LmdbStore implements Store {
  readonly limits = LIMITS;
  readonly description: string;
  readonly #environment: LmdbEnvironment;
  readonly #clock: Clock;
  readonly #live: LiveKeys;
  readonly #inFlight = new Set<PendingWrite>();
  /** Those of {@link #inFlight} that are handed to lmdb at the end of this turn. */
  #turn: StartedWrite[] = [];
  readonly #queue: PendingWrite[] = [];
  #state: State = { type: 'open' };
  /** A write that needs the store to itself is under way. */
  #busyAlone = false;
  #closing = false;
  /** Counts the writes that may change leased keys: only theirs are compared. */
  #revision: number;
  #reservedRevision: number;
  #whenIdle: (() => void)[] = [];

  constructor(environment: LmdbEnvironment, clock: Clock, dataDir: string) {
    this.description = `lmdb at ${dataDir}`;
    this.#environment = environment;
    this.#clock = clock;
    this.#live = new LiveKeys(clock);
    this.#revision = environment.firstRevision;
    this.#reservedRevision = environment.reservedRevision;
  }

  async get(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    this.#requireUsable();
    return keys.map((key) => {
      validateKey(key);
      return key.startsWith(LEASED_PREFIX) ? this.#live.get(key) : this.#environment.database.getBinary(key);
    });
  }

  async scan(range: Range, options: ScanOptions): Promise<ScanResult> {
    this.#requireUsable();
    validateScan(range, options);
    return scanBoth(range, options, this.#live, (part, limit) => this.#scanDisk(part, limit, options));
  }

  write(batch: WriteBatch): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#requireUsable();
      validateBatch(batch, LIMITS);
      const write = { batch, alone: needsRest(batch), resolve, reject };
      if (this.#queue.length === 0 && this.#mayStart(write)) this.#start(write);
      else this.#queue.push(write);
    });
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#requireUsable();
    return this.#live.grant(ttlMs);
  }

  watch(range: Range, handlers: WatchHandlers): Watch {
    this.#requireUsable();
    return this.#live.watch(range, handlers);
  }

  /** A backup that was killed keeps its place among lmdb's readers, and the pages of its moment. */
  async compact(): Promise<void> {
    this.#requireUsable();
    this.#environment.database.readerCheck();
  }

  /** The limit is the file and what the disk has left. */
  async size(): Promise<{ usedBytes: number; limitBytes: number }> {
    this.#requireUsable();
    const [file, disk] = await Promise.all([stat(this.#environment.dataFile), statfs(this.#environment.dataFile)]);
    const usedBytes = file.blocks * BLOCK_BYTES;
    return { usedBytes, limitBytes: usedBytes + disk.bavail * disk.bsize };
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    await this.#idle();
    // A broken environment is left to the end of the process: closing it could wait for ever.
    if (this.#state.type === 'unusable') return;
    this.#state = { type: 'unusable', reason: 'it is closed' };
    this.#live.close();
    await this.#environment.close();
  }

  #requireUsable(): void {
    if (this.#closing) throw new StoreUnavailable(`${this.description} is closed`);
    if (this.#state.type === 'unusable') throw new StoreUnavailable(`${this.description}: ${this.#state.reason}`);
  }

  #mayStart(write: PendingWrite): boolean {
    return this.#state.type === 'open' && !this.#busyAlone && (!write.alone || this.#inFlight.size === 0);
  }

  #startWaiting(): void {
    while (this.#queue.length > 0 && this.#mayStart(this.#queue[0]!)) this.#start(this.#queue.shift()!);
    if (this.#queue.length === 0 && this.#inFlight.size === 0) {
      for (const resolve of this.#whenIdle.splice(0)) resolve();
    }
  }

  #start(write: PendingWrite): void {
    const { compares = [], puts = [], deletes = [], deleteRanges = [] } = write.batch;
    try {
      this.#live.requireLeases(puts);
    } catch (error) {
      write.reject(error);
      return;
    }
    for (const compare of compares) {
      if (!this.#holds(compare)) {
        write.resolve(REFUSED);
        return;
      }
    }
    if (write.alone && puts.length + deletes.length + deleteRanges.length > 0) this.#revision++;
    const revision = this.#revision;
    const reservation = revision < this.#reservedRevision ? undefined : revision + REVISIONS_RESERVED;
    const finish = (): void => {
      // Only a write that runs alone changes leased keys, and only once the rest of it is durable.
      if (write.alone) this.#live.apply(puts, deletes, deleteRanges, revision);
      write.resolve({ type: 'written', revision });
    };
    const ranged = deleteRanges.flatMap((range) => this.#keysIn(range));
    if (write.alone ? reservation === undefined && !touchesDisk(write.batch, ranged) : puts.length + deletes.length + ranged.length === 0) {
      finish();
      return;
    }
    this.#inFlight.add(write);
    this.#busyAlone = write.alone;
    if (this.#turn.length === 0) queueMicrotask(() => this.#commitTurn());
    this.#turn.push({ write, ranged, reservation, finish });
  }

  /**
   * Commits what was started in one turn together: one flush for the partitions that a message
   * reached at once, where one by one the second would wait for the first one's flush.
   */
  #commitTurn(): void {
    const started = this.#turn;
    this.#turn = [];
    const { database } = this.#environment;
    database.batch(() => {
      for (const { write, ranged, reservation } of started) {
        if (reservation !== undefined) this.#environment.putReservation(reservation);
        for (const put of write.batch.puts ?? []) if (put.lease === undefined) void database.put(put.key, put.value);
        for (const key of write.batch.deletes ?? []) void database.remove(key);
        for (const key of ranged) void database.remove(key);
      }
    }).then(() => {
      for (const { write, reservation, finish } of started) {
        this.#reservedRevision = reservation ?? this.#reservedRevision;
        // Given up while it was under way: its caller has been told so.
        if (!this.#inFlight.delete(write)) continue;
        finish();
        this.#afterSettled(write);
      }
    }, (error: unknown) => {
      const failed = started.filter(({ write }) => this.#inFlight.delete(write));
      for (const { write } of failed) this.#collectFailure(write, error);
      for (const { write } of failed) this.#afterSettled(write);
    });
  }

  #afterSettled(write: PendingWrite): void {
    if (write.alone) this.#busyAlone = false;
    if (this.#state.type === 'recovering') {
      if (this.#inFlight.size === 0) void this.#recover(this.#state);
    } else if (this.#queue.length > 0 || this.#whenIdle.length > 0) {
      this.#startWaiting();
    }
  }

  #collectFailure(write: PendingWrite, error: unknown): void {
    if (this.#state.type !== 'recovering') {
      const timer = this.#clock.setTimer(SETTLE_BOUND_MS, () => this.#giveUp('commits do not settle after a failed one'));
      this.#state = { type: 'recovering', failed: [], timer };
    }
    this.#state.failed.push({ write, error });
  }

  /**
   * lmdb writes a transaction's pages, syncs them, then writes the meta page that makes them count.
   * A failure before that leaves nothing behind. A failure of the meta page itself marks the
   * environment as broken, and then no transaction can begin: that tells the two apart.
   */
  async #recover(state: State & { type: 'recovering' }): Promise<void> {
    state.timer.cancel();
    const errors = await Promise.all(state.failed.map(({ error }) => describeCommitError(error, this.description)));
    try {
      void this.#environment.database.transactionSync(() => ABORT);
    } catch (error) {
      this.#giveUp(`lmdb can't go on: ${String(error)}`);
      return;
    }
    this.#state = { type: 'open' };
    for (const [index, { write }] of state.failed.entries()) write.reject(errors[index]);
    this.#startWaiting();
  }

  /** Only a new process may trust what is on disk now. */
  #giveUp(what: string): void {
    const reason = `${what}; check the disk and restart the process`;
    const failed = this.#state.type === 'recovering' ? this.#state.failed.map(({ write }) => write) : [];
    this.#state = { type: 'unusable', reason };
    for (const write of [...failed, ...this.#inFlight]) {
      write.reject(new AmbiguousWrite(`${this.description}: a write may or may not be on disk: ${reason}`));
    }
    this.#inFlight.clear();
    for (const write of this.#queue.splice(0)) write.reject(new StoreUnavailable(`${this.description}: ${reason}`));
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle.push(resolve);
      this.#startWaiting();
    });
  }

  #holds(compare: Compare): boolean {
    if (compare.type === 'created') return this.#live.createRevision(compare.key) === compare.revision;
    if (compare.key.startsWith(LEASED_PREFIX)) return this.#live.get(compare.key) === undefined;
    return this.#environment.database.getBinaryFast(compare.key) === undefined;
  }

  #scanDisk(range: Range, limit: number, options: ScanOptions): Entry[] {
    const bounds = rangeBounds(range, limit, options.reverse ?? false);
    if (options.keysOnly === true) {
      return Array.from(this.#environment.database.getKeys(bounds), (key) => ({ key, value: NO_VALUE }));
    }
    return Array.from(this.#environment.database.getRange(bounds), ({ key, value }) => ({ key, value }));
  }

  /** The keys of a range that are on disk, or on their way there before a write that starts now. */
  #keysIn(range: Range): string[] {
    const keys = cutAtLiveKeys(range).filter((part) => !part.live).flatMap((part) =>
      Array.from(this.#environment.database.getKeys({ start: part.range.from, end: part.range.to })));
    const known = new Set(keys);
    for (const { batch } of this.#inFlight) {
      for (const { key, lease } of batch.puts ?? []) {
        if (lease === undefined && !known.has(key) && contains(range, key)) {
          known.add(key);
          keys.push(key);
        }
      }
    }
    return keys;
  }
}

const NO_VALUE = new Uint8Array(0);

function rangeBounds(range: Range, limit: number, reverse: boolean) {
  return reverse
    ? { start: range.to, exclusiveStart: true, end: range.from, inclusiveEnd: true, reverse, limit }
    : { start: range.from, end: range.to, limit };
}

/** Whether the outcome depends on, or changes, more than the keys that it names on disk. */
function needsRest(batch: WriteBatch): boolean {
  for (const range of batch.deleteRanges ?? []) if (cutAtLiveKeys(range).some((part) => part.live)) return true;
  for (const compare of batch.compares ?? []) {
    if (compare.type === 'absent' && !contains(liveRange, compare.key)) return true;
  }
  for (const put of batch.puts ?? []) if (put.lease !== undefined) return true;
  for (const key of batch.deletes ?? []) if (key.startsWith(LEASED_PREFIX)) return true;
  return false;
}

function touchesDisk(batch: WriteBatch, ranged: readonly string[]): boolean {
  return ranged.length > 0
    || (batch.puts ?? []).some((put) => put.lease === undefined)
    || (batch.deletes ?? []).some((key) => !key.startsWith(LEASED_PREFIX));
}
