/** The faults that a replica injects: bounded in number and in time, so that a forgotten one ends. */

import type { Clock, Timer } from '../clock.ts';
import type { Fault } from './fault.ts';

export const MAX_FAULTS = 100;
/** Of what a fault strikes, at most one line of the log in this time. */
const LOG_EVERY_MS = 1_000;

export interface ActiveFault {
  readonly fault: Fault;
  /** Wall time, milliseconds. */
  readonly expireMs: number;
  /** How often it has struck. */
  readonly injections: number;
}

interface Entry extends ActiveFault {
  injections: number;
  readonly timer: Timer;
  loggedMs: number;
  logged: number;
}

export interface FaultBoardOptions {
  readonly clock: Clock;
  /** A number in [0, 1). */
  entropy(): number;
  log(message: string, fields: Record<string, unknown>): void;
}

export class FaultBoard {
  private readonly options: FaultBoardOptions;
  /** By name, in ascending order. */
  private entries: readonly Entry[] = [];

  constructor(options: FaultBoardOptions) {
    this.options = options;
  }

  list(): readonly ActiveFault[] {
    return this.entries;
  }

  /** Replaces one of the same name. Undefined: there are as many as there may be. */
  set(fault: Fault): ActiveFault | undefined {
    const { clock, log } = this.options;
    const others = this.entries.filter(({ fault: { name } }) => name !== fault.name);
    if (others.length >= MAX_FAULTS) return undefined;
    this.drop(fault.name);
    const entry: Entry = {
      fault,
      expireMs: clock.nowMs() + fault.durationMs,
      injections: 0,
      loggedMs: -Infinity,
      logged: 0,
      timer: clock.setTimer(fault.durationMs, () => this.end(entry, 'expired')),
    };
    this.entries = [...others, entry].toSorted((a, b) => (a.fault.name < b.fault.name ? -1 : 1));
    log('fault set', { fault: fault.name, target: fault.target, effect: fault.effect.type, durationMs: fault.durationMs });
    return entry;
  }

  /** @param name undefined: all of them. @returns those that were there. */
  clear(name: string | undefined): readonly ActiveFault[] {
    const cleared = this.entries.filter(({ fault }) => name === undefined || fault.name === name);
    for (const entry of cleared) this.end(entry, 'cleared');
    return cleared;
  }

  /** Nothing is injected any more, and no timer is left. */
  close(): void {
    for (const entry of this.entries) entry.timer.cancel();
    this.entries = [];
  }

  /** The fault that strikes a call now, if one does. */
  strikeCall(method: string, participant: string, afterExecution: boolean): Fault | undefined {
    return this.strike(
      ({ target, afterExecution: after }) =>
        target.type === 'calls' &&
        after === afterExecution &&
        (target.method === '' || target.method === method || isServiceOf(target.method, method)) &&
        (target.participant === '' || target.participant === participant),
      { method, ...(participant !== '' && { participant }) },
    );
  }

  /** The fault that strikes a write now, if one does. */
  strikeWrite(participant: string, partition: number): Fault | undefined {
    return this.strike(
      ({ target }) =>
        target.type === 'writes' &&
        (target.participant === '' || target.participant === participant) &&
        (target.partition === undefined || target.partition === partition),
      { participant, partition },
    );
  }

  private strike(matches: (fault: Fault) => boolean, where: Record<string, unknown>): Fault | undefined {
    const { entropy } = this.options;
    for (const entry of this.entries) {
      if (!matches(entry.fault) || entropy() >= entry.fault.probability) continue;
      entry.injections++;
      this.report(entry, where);
      return entry.fault;
    }
    return undefined;
  }

  private report(entry: Entry, where: Record<string, unknown>): void {
    const nowMs = this.options.clock.monotonicMs();
    if (nowMs - entry.loggedMs < LOG_EVERY_MS) return;
    this.options.log('fault injected', { fault: entry.fault.name, ...where, times: entry.injections - entry.logged });
    entry.loggedMs = nowMs;
    entry.logged = entry.injections;
  }

  private end(entry: Entry, why: 'expired' | 'cleared'): void {
    this.drop(entry.fault.name);
    this.options.log('fault ended', { fault: entry.fault.name, why, injections: entry.injections });
  }

  private drop(name: string): void {
    for (const entry of this.entries) if (entry.fault.name === name) entry.timer.cancel();
    this.entries = this.entries.filter(({ fault }) => fault.name !== name);
  }
}

/** Whether a pattern "package.Service/*" means the method. */
function isServiceOf(pattern: string, method: string): boolean {
  return pattern.endsWith('/*') && method.startsWith(pattern.slice(0, -1));
}
