/**
 * The partition driver: runs one kernel for one term of leadership. Commands queue while a write is
 * in flight; then everything queued, up to the store's limits, is stepped, written in one conditional
 * write, and only then are replies, messages and events released (invariants P1, P2, P9).
 *
 * A term ends for good: by an ambiguous or refused write (P4), by its lease running out (P5), because
 * the kernel heard of a later leader, or because the replica hands the partition over.
 */

import type { Failure } from '../../kernel/failure.ts';
import type { StepInput } from '../../kernel/kernel.ts';
import { StoreFull, StoreUnavailable } from '../store/errors.ts';
import { readPages, type PageReader } from '../store/pages.ts';
import type { Put } from '../store/store.ts';
import { Batch, type Release } from './batch.ts';
import { Lingering } from './lingering.ts';
import type { BatchReport, Priority, Requester, TermOptions } from './types.ts';
import { Waking } from './waking.ts';

export type { BatchReport, DriverBug, Priority, RecordCodec, Requester, Tenure, TermMeter, TermObserver, TermOptions } from './types.ts';

type Origined = { readonly origin?: unknown };
type State = 'loading' | 'leading' | 'handing-over' | 'ended';

export const DEFAULT_QUEUE_LIMIT = 20_000;
/** Most commands looked at for one batch: bounds the memory of a batch that writes nothing. */
const BATCH_COMMANDS = 4096;
/** Records of the first page of a range. */
const FIRST_PAGE = 128;
/** A store that is full or away for a moment is tried again after this long, for as long as the lease holds. */
const RETRY_MS = 50;

export class Term<Command extends object, Stored, Reply, Message> {
  private readonly options: TermOptions<Command, Stored, Reply, Message>;
  private state: State = 'loading';
  private control: Command[] = [];
  private work: Command[] = [];
  private follows: Command[] = [];
  /** Everybody who was stepped and has had no reply. */
  private readonly waiting = new Set<Requester<Reply>>();
  private running = false;
  private idle: (() => void) | undefined;
  private readonly lingering: Lingering;
  private readonly waking: Waking;

  constructor(options: TermOptions<Command, Stored, Reply, Message>) {
    this.options = options;
    const { clock, kernel } = options;
    this.lingering = new Lingering(clock, () => {
      if (!this.running && !this.ended) this.schedule();
    });
    this.waking = new Waking(clock, () => kernel.wakeAtMs(), () => void this.submit(kernel.tick, 'control'));
  }

  get epoch(): number {
    return this.options.tenure.epoch;
  }

  get leading(): boolean {
    return this.state === 'leading';
  }

  /** Whether reads may leave without a write (invariant P5). */
  get valid(): boolean {
    return this.state === 'leading' && this.options.tenure.isValid();
  }

  /** Loads the active records and begins to serve. Throws what the store throws. */
  async load(): Promise<void> {
    const { kernel, store, codec, keyPrefix } = this.options;
    const reader: PageReader = {
      first: FIRST_PAGE,
      read: (range, limit) => store.scan(range, { limit }),
      mayBeTooLarge: (error) => error instanceof StoreUnavailable && this.state === 'loading',
    };
    for (let next = kernel.recovery(); next !== undefined; next = kernel.recovery()) {
      if ('from' in next) {
        for await (const page of readPages({ from: keyPrefix + next.from, to: keyPrefix + next.to }, reader))
          for (const { key, value } of page) {
            const local = key.slice(keyPrefix.length);
            kernel.recover(local, codec.decode(local, value));
          }
      } else {
        const values = await this.read(next);
        next.forEach((key, i) => {
          const value = values[i];
          if (value !== undefined) kernel.recover(key, codec.decode(key, value));
        });
      }
    }
    if (this.state !== 'loading') return;
    this.state = 'leading';
    const batch = new Batch<Command, Stored, Reply, Message>(this.options.store.limits);
    kernel.lead(this.epoch, this.input(), batch);
    this.follows.push(...batch.follows);
    this.running = true;
    this.run(batch).catch((error: unknown) => this.crash(error));
  }

  /**
   * Hands a command to the kernel. Where it can't be taken, its origin hears so at once, and whoever
   * submits it is told why; it was surely not executed.
   */
  submit(command: Command, priority: Priority): Failure | undefined {
    const { state } = this;
    const queue = priority === 'control' ? this.control : this.work;
    if (state === 'loading' || state === 'leading' || (state === 'handing-over' && priority === 'control')) {
      if (queue.length < (this.options.queueLimit ?? DEFAULT_QUEUE_LIMIT)) {
        queue.push(command);
        if (!this.lingering.over) this.noteUrgency(command, queue.length);
        if (!this.running && state !== 'loading') this.schedule();
        return undefined;
      }
      return this.refuse(command, {
        reason: 'OVERLOADED',
        message: `${queue.length} requests are waiting at this partition; try again later`,
        retryAfterMs: 100 + Math.floor(this.options.entropy() * 400),
      });
    }
    return this.refuse(command, NO_LEADER);
  }

  /** Whoever waits for a reply is gone and is not to hear anything any more. What has not begun for it never does. */
  forget(requester: Requester<Reply>): void {
    if (!this.waiting.delete(requester)) requester.abandoned = true;
    if (this.state === 'handing-over' && !this.busy) this.idle?.();
  }

  /**
   * Refuses new work, goes on with control until nobody waits for a reply or the bound, in
   * milliseconds, has passed, and ends. Resolves when ended.
   */
  async handOver(boundMs: number): Promise<void> {
    if (this.state === 'leading') {
      const { retire } = this.options.kernel;
      if (retire !== undefined) this.submit(retire, 'control');
      this.state = 'handing-over';
      if (this.queued && !this.running) {
        this.lingering.end();
        this.schedule();
      }
      const timer = this.options.clock.setTimer(boundMs, () => this.idle?.());
      if (this.busy) await new Promise<void>((resolve) => (this.idle = resolve));
      timer.cancel();
    }
    this.end('handed over');
  }

  private get busy(): boolean {
    return this.running || this.waiting.size > 0 || this.queued;
  }

  /** Ends at once: what was stepped is unknown to its callers, what only queued was surely not executed. */
  end(reason: string): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.waking.cancel();
    this.lingering.stop();
    for (const requester of this.waiting) requester.onFailure(outcomeUnknown(reason));
    this.waiting.clear();
    for (const queue of [this.control, this.work]) for (const command of queue) this.refuse(command, NO_LEADER);
    this.control = [];
    this.work = [];
    this.follows = [];
    this.idle?.();
    this.options.onEnd(reason);
  }

  private refuse(command: Command, failure: Failure): Failure {
    ((command as Origined).origin as Requester<Reply> | undefined)?.onFailure(failure);
    return failure;
  }

  private input(): StepInput {
    return { nowMs: this.options.clock.nowMs(), entropy: this.options.entropy() };
  }

  private noteUrgency(command: Command, queued: number): void {
    if (this.state !== 'handing-over' && this.options.kernel.canWait(command)) this.lingering.add(queued);
    else this.lingering.end();
  }

  /** Runs what is queued: at once if somebody waits for it, or else a moment later. */
  private schedule(): void {
    if (!this.lingering.over) return this.lingering.start();
    this.running = true;
    queueMicrotask(() => {
      this.run().catch((error: unknown) => this.crash(error));
    });
  }

  /** An exception in a kernel or codec is a defect: the state can't be trusted, so the term ends. */
  private crash(error: unknown): void {
    this.end(`internal error: ${error instanceof Error ? error.stack : String(error)}`);
  }

  private async run(first?: Batch<Command, Stored, Reply, Message>): Promise<void> {
    let batch = first;
    for (;;) {
      if (batch !== undefined) {
        if (!(await this.write(batch))) return;
        this.release(batch.releases);
        if (batch.stepDownReason !== undefined) return this.end(batch.stepDownReason);
        if (this.ended) return;
        this.waking.arm();
      }
      // Looked at in the same turn in which `running` is cleared: what is queued later schedules a run.
      if (this.follows.length > 0) this.lingering.end();
      if (!this.queued || !this.lingering.over) break;
      this.lingering.stop();
      batch = await this.gather();
      if (batch === undefined) return;
    }
    this.running = false;
    if (this.queued) this.schedule();
    if (this.state === 'handing-over' && !this.busy) this.idle?.();
  }

  private get ended(): boolean {
    return this.state === 'ended';
  }

  private get queued(): boolean {
    return this.follows.length > 0 || this.control.length > 0 || this.work.length > 0;
  }

  /** Steps what is queued into a batch. Undefined if the term has ended meanwhile. */
  private async gather(): Promise<Batch<Command, Stored, Reply, Message> | undefined> {
    const { kernel, observer } = this.options;
    await this.admitMissing();
    if (this.ended) return undefined;
    const batch = new Batch<Command, Stored, Reply, Message>(this.options.store.limits);
    const input = this.input();
    let stepped = 0;
    for (const queue of ['follows', 'control', 'work'] as const) {
      const commands = this[queue];
      let taken = 0;
      for (; taken < commands.length && stepped < BATCH_COMMANDS; taken++) {
        const command = commands[taken]!;
        const origin = (command as Origined).origin as Requester<Reply> | undefined;
        if (origin?.abandoned === true) continue;
        if (kernel.missing(command).length > 0) break;
        const cost = kernel.cost(command);
        if (stepped > 0 && !batch.fits(cost, kernel.sealCost)) break;
        batch.charge(cost);
        if (origin !== undefined) this.waiting.add(origin);
        const observed = observer?.stepped(command);
        if (observed !== undefined) batch.observed.push(observed);
        kernel.step(command, input, batch);
        stepped++;
      }
      if (taken === commands.length) this[queue] = [];
      else {
        commands.splice(0, taken);
        break;
      }
    }
    if (stepped > 0) kernel.seal(input, batch);
    batch.commands = stepped;
    this.follows.push(...batch.follows);
    if (!this.queued) this.lingering.reset();
    return batch;
  }

  /**
   * Loads the records that the next commands need and that the kernel does not have. It looks as far
   * as a batch of writes may reach; one that gets further ends at the first command that lacks one.
   */
  private async admitMissing(): Promise<void> {
    const { kernel, codec, store } = this.options;
    let wanted: Set<string> | undefined;
    let looked = 0;
    for (const queue of [this.follows, this.control, this.work]) {
      for (const command of queue) {
        if (++looked > store.limits.operations) break;
        for (const key of kernel.missing(command)) (wanted ??= new Set()).add(key);
      }
    }
    if (wanted === undefined) return;
    const keys = [...wanted];
    const values = await this.retrying(() => this.read(keys));
    if (this.ended || values === undefined) return;
    keys.forEach((key, i) => {
      const value = values[i];
      kernel.admit(key, value === undefined ? undefined : codec.decode(key, value));
    });
  }

  private read(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.options.store.get(keys.map((key) => this.options.keyPrefix + key));
  }

  /** Makes the batch durable. False if the term has ended. */
  private async write(batch: Batch<Command, Stored, Reply, Message>): Promise<boolean> {
    const { store, codec, keyPrefix, tenure, clock, bugs, observer, meter } = this.options;
    if (bugs?.has('release-before-durable')) this.release(batch.releases.splice(0));
    if (bugs?.has('read-before-durable')) this.releaseReads(batch);
    if (!batch.writes) {
      // A later leader was heard of: what no write fences must not leave (invariant P5).
      if (batch.stepDownReason !== undefined) {
        this.end(batch.stepDownReason);
        return false;
      }
      if (tenure.isValid() || bugs?.has('serve-without-lease')) {
        observer?.through(batch.observed, undefined);
        meter?.batch(batch.commands, undefined);
        return !this.ended;
      }
      this.end('the lease has run out');
      return false;
    }
    const puts: Put[] = [];
    const deletes: string[] = [];
    for (const [key, record] of batch.records) {
      if (record === undefined) deletes.push(keyPrefix + key);
      else puts.push({ key: keyPrefix + key, value: codec.encode(record) });
    }
    const deleteRanges = batch.ranges.map(({ from, to }) => ({ from: keyPrefix + from, to: keyPrefix + to }));
    const compares = bugs?.has('unfenced-write')
      ? []
      : [{ type: 'created', key: tenure.electionKey, revision: tenure.electionRevision } as const];
    const startMs = clock.nowMs();
    const beganMs = meter === undefined ? 0 : clock.monotonicMs();
    const result = await this.retrying(() => store.write({ compares, puts, deletes, deleteRanges }));
    if (this.ended || result === undefined) return false;
    if (result.type === 'refused') {
      this.end('another replica leads this partition now');
      return false;
    }
    if (observer !== undefined || meter !== undefined) {
      const report: BatchReport = {
        operations: puts.length + deletes.length + deleteRanges.length,
        startMs,
        endMs: clock.nowMs(),
        durationMs: meter === undefined ? 0 : clock.monotonicMs() - beganMs,
        fault: result.fault,
      };
      observer?.through(batch.observed, report);
      meter?.batch(batch.commands, report);
    }
    return true;
  }

  /**
   * Runs a store request. One that was surely not executed is tried again while the lease holds; any
   * other error ends the term, because what the store holds is not known any more (invariant P4).
   */
  private async retrying<T>(request: () => Promise<T>): Promise<T | undefined> {
    for (;;) {
      try {
        return await request();
      } catch (error) {
        const retry =
          error instanceof StoreUnavailable ||
          error instanceof StoreFull ||
          this.options.bugs?.has('ambiguous-taken-for-failure');
        if (this.ended) return undefined;
        if (!retry || !this.options.tenure.isValid()) {
          this.end(`the store failed: ${error instanceof Error ? error.message : String(error)}`);
          return undefined;
        }
        await new Promise<void>((resolve) => void this.options.clock.setTimer(RETRY_MS, resolve));
        if (this.ended) return undefined;
      }
    }
  }

  private release(releases: readonly Release<Reply, Message>[]): void {
    for (const release of releases) {
      switch (release.type) {
        case 'reply': {
          const requester = release.to as Requester<Reply>;
          // A requester that gave up has been answered already.
          if (this.waiting.delete(requester)) requester.onReply(release.reply);
          break;
        }
        case 'message':
          this.options.send(release.message);
          break;
        case 'event':
          this.options.emit(release.event);
          break;
      }
    }
  }

  private releaseReads(batch: Batch<Command, Stored, Reply, Message>): void {
    const isRead = (release: Release<Reply, Message>): boolean =>
      release.type === 'reply' && (release.reply as { type?: string }).type === 'read';
    this.release(batch.releases.filter(isRead));
    const rest = batch.releases.filter((release) => !isRead(release));
    batch.releases.splice(0, Infinity, ...rest);
  }
}

const NO_LEADER: Failure = {
  reason: 'NO_LEADER',
  message: 'this replica does not lead the partition; try again',
  retryAfterMs: 100,
};

function outcomeUnknown(reason: string): Failure {
  return {
    reason: 'OUTCOME_UNKNOWN',
    message: `the partition's leader stepped down while the request was under way (${reason}); ask for the outcome by the same id`,
  };
}
