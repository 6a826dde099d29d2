/** Asks the coordinator for the outcomes of promises that nobody tells: for ever, at growing intervals (invariant T12). */

import type { Timer } from '../../runtime/clock.ts';
import { backoffDelayMs, type Backoff } from '../backoff.ts';
import { meaningOf, TxmeshError } from '../errors.ts';
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

export interface InquiriesOptions {
  readonly environment: Environment;
  readonly inquire: Inquire;
  /** Carries an outcome out. */
  settle(branch: Branch, outcome: 'committed' | 'aborted'): Promise<void>;
  onProblem(message: string, error: unknown): void;
}

export class Inquiries {
  private readonly options: InquiriesOptions;
  private readonly doubts = new Map<string, Doubt>();
  private closed = false;

  constructor(options: InquiriesOptions) {
    this.options = options;
  }

  /** Begins to ask; no more once it is closed. */
  add(branch: Branch): void {
    if (this.closed) return;
    this.remove(branch);
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

  /** Nobody is asked any more. */
  close(): void {
    this.closed = true;
    for (const { branch } of [...this.doubts.values()]) this.remove(branch);
  }

  private schedule(doubt: Doubt, delayMs: number): void {
    const { clock } = this.options.environment;
    doubt.nextMs = clock.nowMs() + delayMs;
    doubt.timer = clock.setTimer(delayMs, () => void this.ask(doubt));
  }

  private async ask(doubt: Doubt): Promise<void> {
    const { branch } = doubt;
    doubt.count++;
    const outcome = await this.answerTo(branch);
    // Where the manager fails at it, it is asked to do it again.
    if (outcome !== 'pending') await this.options.settle(branch, outcome).catch(() => undefined);
    if (this.doubts.get(keyOf(branch)) !== doubt) return;
    this.schedule(doubt, backoffDelayMs(INQUIRY_BACKOFF, doubt.count, this.options.environment.entropy(), FIRST_MS));
  }

  private async answerTo(branch: Branch): ReturnType<Inquire> {
    try {
      return await this.options.inquire(branch);
    } catch (error) {
      // That nobody answers passes. A refusal lasts until somebody does something about it.
      const meaning = error instanceof TxmeshError ? meaningOf(error) : 'defect';
      if (!this.closed && (meaning === 'refused' || meaning === 'defect'))
        this.options.onProblem(`the outcome of transaction ${branch.transactionId} can't be asked for`, error);
      return 'pending';
    }
  }
}
