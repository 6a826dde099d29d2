/**
 * A machine's connection to the store: the memory engine behind a network that is slow, fails, and
 * leaves the fate of writes unknown. What was sent executes whether or not its sender still lives.
 */

import { AmbiguousWrite, StoreUnavailable } from '../../../services/runtime/store/errors.ts';
import {
  WRITE_LIMITS,
  type Lease,
  type Range,
  type ScanOptions,
  type ScanResult,
  type Store,
  type Watch,
  type WatchHandlers,
  type WriteBatch,
  type WriteResult,
} from '../../../services/runtime/store/store.ts';
import type { Machine } from './machine.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface StoreFaults {
  /** Typical one-way delay, milliseconds. */
  readonly delayMs: number;
  /** How often a request is refused without being executed. */
  readonly unavailable: number;
  /** How often the answer to a write is lost: it was executed, will be, or never is. */
  readonly ambiguous: number;
  /** Of the ambiguous ones: how long after the sender was told a late write may still be executed. */
  readonly lateMs: number;
  /** How often a request takes twenty times as long. */
  readonly slow: number;
  /** How late a watch may be. */
  readonly watchLagMs: number;
}

/** What the faulty stores of one world have in common. */
export interface StoreWorld {
  readonly engine: Store;
  readonly scheduler: Scheduler;
  readonly random: Random;
  faults: StoreFaults;
  /** Names of machines that can't reach the store. */
  readonly cut: Set<string>;
  onAmbiguous(machine: Machine, fate: Fate): void;
}

/** What becomes of an ambiguous write. */
export type Fate = 'executed' | 'late' | 'never';

/** How long an answer is waited for. */
const TIMEOUT_MS = 300;

export class FaultyStore implements Store {
  readonly description = 'simulated';
  readonly limits = WRITE_LIMITS;
  private readonly world: StoreWorld;
  private readonly machine: Machine;

  constructor(world: StoreWorld, machine: Machine) {
    this.world = world;
    this.machine = machine;
  }

  get(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.ask(() => this.world.engine.get(keys));
  }

  scan(range: Range, options: ScanOptions): Promise<ScanResult> {
    return this.ask(() => this.world.engine.scan(range, options));
  }

  write(batch: WriteBatch): Promise<WriteResult> {
    const { random, faults, scheduler, engine, cut } = this.world;
    const execute = (): Promise<WriteResult> => engine.write(batch);
    if (!cut.has(this.machine.name) && !random.chance(faults.ambiguous)) return this.ask(execute);
    const fate = random.pick<Fate>(cut.has(this.machine.name) ? ['never', 'never', 'late'] : ['executed', 'late', 'late', 'never']);
    this.world.onAmbiguous(this.machine, fate);
    const toldMs = random.between(10, TIMEOUT_MS);
    if (fate === 'executed') scheduler.after(this.delay(), () => void execute().catch(() => undefined));
    if (fate === 'late') scheduler.after(toldMs + random.between(0, faults.lateMs), () => void execute().catch(() => undefined));
    return this.answerAfter(toldMs, () => {
      throw new AmbiguousWrite('the answer was lost');
    });
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    const lease = await this.ask(() => this.world.engine.grantLease(ttlMs));
    return {
      id: lease.id,
      ttlMs,
      renew: () => this.ask(() => lease.renew()),
      revoke: () => this.ask(() => lease.revoke()),
    };
  }

  watch(range: Range, handlers: WatchHandlers): Watch {
    const { world, machine } = this;
    const pending: (() => void)[] = [];
    let pumping = false;
    /** In order, and not at all while the store can't be reached. */
    const pump = (): void => {
      if (world.cut.has(machine.name)) {
        world.scheduler.after(100, pump);
        return;
      }
      const next = pending.shift();
      pumping = pending.length > 0;
      if (next !== undefined) machine.deliver('store', next);
      if (pumping) world.scheduler.after(world.random.between(0, 2), pump);
    };
    const late = (handle: () => void): void => {
      pending.push(handle);
      if (pumping) return;
      pumping = true;
      world.scheduler.after(world.random.between(0, world.faults.watchLagMs) + this.delay(), pump);
    };
    return world.engine.watch(range, {
      onSnapshot: (entries) => late(() => handlers.onSnapshot(entries)),
      onEvents: (events) => late(() => handlers.onEvents(events)),
    });
  }

  compact(): Promise<void> {
    return this.ask(() => this.world.engine.compact());
  }

  size(): Promise<{ usedBytes: number }> {
    return this.ask(() => this.world.engine.size());
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** A request whose loss does no harm, or that is surely answered. */
  private ask<T>(execute: () => Promise<T>): Promise<T> {
    const { random, faults, scheduler, cut } = this.world;
    if (cut.has(this.machine.name) || random.chance(faults.unavailable)) {
      return this.answerAfter(random.between(1, TIMEOUT_MS), () => {
        throw new StoreUnavailable('the store can not be reached');
      });
    }
    return new Promise((resolve, reject) => {
      scheduler.after(this.delay(), () => {
        const answer = (settle: () => void): void => void scheduler.after(this.delay(), () => this.machine.deliver('store', settle));
        execute().then(
          (result) => answer(() => resolve(result)),
          (error: unknown) => answer(() => reject(error as Error)),
        );
      });
    });
  }

  private answerAfter<T>(delayMs: number, answer: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.world.scheduler.after(delayMs, () =>
        this.machine.deliver('store', () => {
          try {
            resolve(answer());
          } catch (error) {
            reject(error as Error);
          }
        }));
    });
  }

  private delay(): number {
    const { random, faults } = this.world;
    return random.between(0.2, 2) * faults.delayMs * (random.chance(faults.slow) ? 20 : 1);
  }
}
