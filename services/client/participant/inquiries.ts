/** Asks the coordinator for the outcomes of promises that nobody tells: for ever, at growing intervals (invariant T12). */

import type { Timer } from '../../runtime/clock.ts';
import { backoffDelayMs, type Backoff } from '../backoff.ts';
import type { Environment } from '../options.ts';
import { keyOf } from './branch-key.ts';
import type { Branch } from './resource-manager.ts';

export const INQUIRY_BACKOFF: Backoff = { firstMs: 2_000, capMs: 30_000 };
/** Before the first inquiry: mostly the outcome comes by itself. */
const FIRST_MS = 1_000;
/** Between inquiries of branches that were recovered together. */
const SPREAD_MS = 2;

export type Inquire = (branch: Branch) => Promise<'pending' | 'committed' | 'aborted'>;

interface Doubt {
  readonly branch: Branch;
  count: number;
  nextMs: number | undefined;
  timer: Timer | undefined;
}

export class Inquiries {
  private readonly environment: Environment;
  private readonly inquire: Inquire;
  private readonly settle: (branch: Branch, outcome: 'committed' | 'aborted') => Promise<void>;
  private readonly doubts = new Map<string, Doubt>();

  constructor(environment: Environment, inquire: Inquire, settle: (branch: Branch, outcome: 'committed' | 'aborted') => Promise<void>) {
    this.environment = environment;
    this.inquire = inquire;
    this.settle = settle;
  }

  add(branch: Branch): void {
    const doubt: Doubt = { branch, count: 0, nextMs: undefined, timer: undefined };
    this.doubts.set(keyOf(branch), doubt);
    this.schedule(doubt, FIRST_MS + SPREAD_MS * this.doubts.size);
  }

  remove(branch: Branch): void {
    this.doubts.get(keyOf(branch))?.timer?.cancel();
    this.doubts.delete(keyOf(branch));
  }

  of(branch: Branch): { readonly count: number; readonly nextMs: number | undefined } {
    const doubt = this.doubts.get(keyOf(branch));
    return { count: doubt?.count ?? 0, nextMs: doubt?.nextMs };
  }

  close(): void {
    for (const { branch } of [...this.doubts.values()]) this.remove(branch);
  }

  private schedule(doubt: Doubt, delayMs: number): void {
    const { clock } = this.environment;
    doubt.nextMs = clock.nowMs() + delayMs;
    doubt.timer = clock.setTimer(delayMs, () => void this.ask(doubt));
  }

  private async ask(doubt: Doubt): Promise<void> {
    const { branch } = doubt;
    doubt.count++;
    try {
      const outcome = await this.inquire(branch);
      if (outcome !== 'pending') await this.settle(branch, outcome);
    } catch {
      // Nobody answered, or the manager failed at it: both are tried again.
    }
    if (this.doubts.get(keyOf(branch)) !== doubt) return;
    this.schedule(doubt, backoffDelayMs(INQUIRY_BACKOFF, doubt.count, this.environment.entropy(), FIRST_MS));
  }
}
