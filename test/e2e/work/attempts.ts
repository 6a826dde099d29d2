/** Doing something again and again, with every outcome counted as what it is. */

import { setTimeout as pause } from 'node:timers/promises';
import { OutcomeUnknown, TxmeshError } from 'txmesh/client';

/** Two cores are to do the work of the cluster besides. */
const BREATH_MS = 10;
const RETRY_MS = 50;
const SETTLE_BOUND_MS = 60_000;

export class Attempts {
  /** How many outcomes were unknown at first. */
  unknown = 0;
  /** Errors that say that it was not done, by reason. */
  readonly errors = new Map<string, number>();
  /** Outcomes that stayed open, in words. */
  readonly violations: string[] = [];
  private readonly stopping = new AbortController();
  private readonly workers: Promise<void>[] = [];

  /** @param attempt does it once; @param told hears whether it was done */
  run(workers: number, attempt: () => { readonly done: Promise<unknown>; told(done: boolean): void }): void {
    for (let i = 0; i < workers; i++) this.workers.push(this.work(attempt));
  }

  /** Resolves when what was begun has a known outcome. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.workers);
  }

  private async work(attempt: () => { readonly done: Promise<unknown>; told(done: boolean): void }): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const { done, told } = attempt();
      try {
        await done;
        told(true);
        await pause(BREATH_MS);
      } catch (error) {
        if (!(error instanceof TxmeshError)) throw error;
        if (error instanceof OutcomeUnknown) await this.settle(error, told);
        else {
          this.errors.set(error.reason, (this.errors.get(error.reason) ?? 0) + 1);
          told(false);
          await pause(RETRY_MS);
        }
      }
    }
  }

  private async settle(unknown: OutcomeUnknown, told: (done: boolean) => void): Promise<void> {
    this.unknown++;
    const endMs = performance.now() + SETTLE_BOUND_MS;
    for (;;) {
      try {
        return told(await unknown.settle());
      } catch (error) {
        if (performance.now() > endMs) return void this.violations.push(`an outcome could not be settled: ${String(error)}`);
        await pause(RETRY_MS);
      }
    }
  }
}
