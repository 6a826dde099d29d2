/**
 * Holds a replica's lease: grants, renews, and says for how long it surely holds, on this process's
 * monotonic clock and counted from when the renewal was sent (invariant P5).
 */

import type { Clock, Timer } from '../clock.ts';
import { LeaseLost } from '../store/errors.ts';
import type { Lease, Store } from '../store/store.ts';

export interface LeaseHolderOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Time to live, milliseconds. */
  readonly ttlMs: number;
  /** A new lease is held; everything under the one before is gone or going. */
  onGranted(lease: Lease): void;
  /** The lease does not surely hold any more. */
  onLost(reason: string): void;
  /** After every confirmed renewal. */
  onRenewed(): void;
}

/** Part of the time to live that is given away for clocks that run at different speeds. */
const DRIFT = 0.1;

export class LeaseHolder {
  private readonly options: LeaseHolderOptions;
  private lease: Lease | undefined;
  private deadlineMs = -Infinity;
  private renewTimer: Timer | undefined;
  private deadlineTimer: Timer | undefined;
  private stopped = false;

  constructor(options: LeaseHolderOptions) {
    this.options = options;
  }

  get current(): Lease | undefined {
    return this.isValid() ? this.lease : undefined;
  }

  isValid(): boolean {
    return this.options.clock.monotonicMs() < this.deadlineMs;
  }

  /** Grants the first lease. Throws what the store throws. */
  async start(): Promise<void> {
    await this.grant();
  }

  /** Ends the lease. Resolves when its keys are gone, or can't be helped but by waiting for its end. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.renewTimer?.cancel();
    this.deadlineTimer?.cancel();
    this.deadlineMs = -Infinity;
    // An error leaves the lease to run out by itself, which is all that a revocation would hasten.
    await this.lease?.revoke().catch(() => undefined);
  }

  private async grant(): Promise<void> {
    const { store, clock, ttlMs } = this.options;
    const sentMs = clock.monotonicMs();
    const lease = await store.grantLease(ttlMs);
    if (this.stopped) return;
    this.lease = lease;
    this.extend(sentMs);
    this.options.onGranted(lease);
    this.scheduleRenewal(ttlMs / 3);
  }

  private extend(sentMs: number): void {
    const { clock, ttlMs } = this.options;
    this.deadlineMs = sentMs + ttlMs * (1 - DRIFT);
    this.deadlineTimer?.cancel();
    this.deadlineTimer = clock.setTimer(this.deadlineMs - clock.monotonicMs(), () => this.lose('it was not renewed in time'));
  }

  private lose(reason: string): void {
    if (this.lease === undefined) return;
    const lease = this.lease;
    this.lease = undefined;
    this.deadlineMs = -Infinity;
    this.deadlineTimer?.cancel();
    this.options.onLost(reason);
    // Hastens the end of its keys; the lease ends by itself where this fails.
    lease.revoke().catch(() => undefined);
    this.renewTimer?.cancel();
    this.scheduleRenewal(0);
  }

  private scheduleRenewal(delayMs: number): void {
    if (this.stopped) return;
    this.renewTimer = this.options.clock.setTimer(delayMs, () => void this.renew());
  }

  private async renew(): Promise<void> {
    const { clock, ttlMs } = this.options;
    const lease = this.lease;
    try {
      if (lease === undefined) return await this.grant();
      const sentMs = clock.monotonicMs();
      await lease.renew();
      if (this.stopped || this.lease !== lease) return;
      this.extend(sentMs);
      this.options.onRenewed();
      this.scheduleRenewal(ttlMs / 3);
    } catch (error) {
      if (this.stopped || this.lease !== lease) return;
      if (error instanceof LeaseLost) this.lose(error.message);
      else this.scheduleRenewal(ttlMs / 10);
    }
  }
}
