/** A process as time sees it: clocks that drift and jump, timers, pauses, and an end that drops everything. */

import type { Clock, Timer } from '../../../services/runtime/clock.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * Where something comes from that happens on a machine. Nothing orders them among each other, nor what
 * comes over the network, from many connections.
 */
const SOURCES = ['timer', 'store', 'network'] as const;
export type Source = (typeof SOURCES)[number];

/** When simulated time is 0, milliseconds since 1970. */
export const EPOCH_MS = Date.UTC(2026, 0, 1);

export class Machine {
  readonly name: string;
  readonly clock: Clock;
  private readonly scheduler: Scheduler;
  /** How much faster than true time the clocks run: 0.01 is one per cent. */
  private readonly drift: number;
  private wallOffsetMs: number;
  /** What has to wait until the pause is over, by source in the order in which they are looked at then. */
  private held = new Map<Source, (() => void)[]>();
  private dead = false;

  constructor(name: string, scheduler: Scheduler, drift: number, wallOffsetMs: number) {
    this.name = name;
    this.scheduler = scheduler;
    this.drift = drift;
    this.wallOffsetMs = wallOffsetMs;
    const elapsedMs = (): number => scheduler.nowMs * (1 + drift);
    this.clock = {
      nowMs: () => Math.floor(EPOCH_MS + this.wallOffsetMs + elapsedMs()),
      monotonicMs: elapsedMs,
      setTimer: (delayMs, call) => this.setTimer(delayMs, call),
    };
  }

  get alive(): boolean {
    return !this.dead;
  }

  get paused(): boolean {
    return this.held.size > 0;
  }

  /** Something reaches this machine: now, after its pause, or never. */
  deliver(source: Source, run: () => void): void {
    if (this.dead) return;
    if (this.paused) this.held.get(source)!.push(run);
    else run();
  }

  /** Sets the wall clock forward or back. */
  jump(byMs: number): void {
    this.wallOffsetMs += byMs;
  }

  /** Nothing happens on this machine for a while, but its clocks go on (SIGSTOP). */
  pause(forMs: number, random: Random): void {
    if (this.dead || this.paused) return;
    for (const source of random.sample(SOURCES, SOURCES.length)) this.held.set(source, []);
    this.scheduler.after(forMs, () => {
      const network = this.held.get('network');
      if (network !== undefined) this.held.set('network', random.sample(network, network.length));
      this.resume();
    });
  }

  crash(): void {
    this.dead = true;
    this.held.clear();
  }

  /** What was held runs, each to the end of its promises. */
  private resume(): void {
    if (this.dead) return;
    for (const held of this.held.values()) {
      const next = held.shift();
      if (next === undefined) continue;
      next();
      this.scheduler.after(0, () => this.resume());
      return;
    }
    this.held.clear();
  }

  private setTimer(delayMs: number, call: () => void): Timer {
    const event = this.scheduler.after(Math.max(0, delayMs) / (1 + this.drift), () => {
      this.deliver('timer', () => {
        if (!event.cancelled) call();
      });
    });
    return { cancel: () => (event.cancelled = true) };
  }
}
