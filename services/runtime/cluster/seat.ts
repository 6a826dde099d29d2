/**
 * One replica's seat at one partition: campaigns when the partition should be led here, runs a term,
 * and gives the election key up before it may campaign again (invariant P4).
 */

import { delay, type Clock, type Timer } from '../clock.ts';
import type { Tenure } from '../partition/term.ts';
import type { Lease, Store } from '../store/store.ts';
import { leaderCodec } from './codec.ts';
import { leaderKey } from './keys.ts';
import type { Leader } from './view.ts';

/** What a seat needs of a term; see services/runtime/partition/term.ts. */
export interface SeatTerm {
  load(): Promise<void>;
  /** Serves until nobody waits any more or the bound, in milliseconds, has passed; then ends. */
  handOver(boundMs: number): Promise<void>;
  end(reason: string): void;
}

export interface SeatOptions<T extends SeatTerm> {
  readonly service: string;
  readonly partition: number;
  readonly replica: string;
  readonly address: string;
  /** Epochs are above it (invariant P10). */
  readonly numbersAbove: number;
  readonly store: Store;
  readonly clock: Clock;
  createTerm(tenure: Tenure, onEnd: (reason: string) => void): T;
  /** Something changed that may call for another evaluation. */
  onChange(): void;
  /** This replica leads the partition from now on, or does not any more. */
  onLeadership?(change: LeadershipChange): void;
  log(message: string, fields: Record<string, unknown>): void;
  readonly bugs?: ReadonlySet<SeatBug>;
}

export type LeadershipChange = 'gained' | 'lost';

/** Deliberate bugs that prove the simulation's checkers; never set outside of it. */
export type SeatBug = 'lead-again-under-old-key';

/** What the replica knows when it lets its seats decide. */
export interface Situation {
  /** Whether this replica should lead the partition. */
  readonly wanted: boolean;
  /** Who leads, as far as the view knows. */
  readonly leader: Leader | undefined;
  /** The lease, if it surely holds. */
  readonly lease: Lease | undefined;
  leaseIsValid(lease: Lease): boolean;
}

interface Leading<T> {
  /** Handing over: the partition is to be given up once nobody waits any more. */
  readonly type: 'leading' | 'handing-over';
  readonly term: T;
  readonly epoch: number;
  readonly sinceMs: number;
}

type State<T> =
  | { readonly type: 'following' }
  | { readonly type: 'campaigning' }
  | Leading<T>
  /** The term has ended or is ending; the election key is being removed. */
  | { readonly type: 'leaving' };

const HAND_OVER_BOUND_MS = 2000;
const RETRY_MS = 100;
/** Terms that end sooner count as failed: the next campaign waits, longer each time. */
const SHORT_TERM_MS = 2000;
const LONGEST_PAUSE_MS = 3000;

export class Seat<T extends SeatTerm> {
  private readonly options: SeatOptions<T>;
  private readonly key: string;
  private state: State<T> = { type: 'following' };
  private readonly onGone: (() => void)[] = [];
  private failures = 0;
  private notBeforeMs = -Infinity;
  private pauseTimer: Timer | undefined;
  /** The last epoch whose election key is certain to be gone; the view may still show it. */
  private goneEpoch = 0;

  constructor(options: SeatOptions<T>) {
    this.options = options;
    this.key = leaderKey(options.service, options.partition);
  }

  get term(): T | undefined {
    return this.led?.term;
  }

  get epoch(): number {
    return this.led?.epoch ?? 0;
  }

  private get led(): Leading<T> | undefined {
    return this.state.type === 'leading' || this.state.type === 'handing-over' ? this.state : undefined;
  }

  /** Does what the situation asks for. */
  evaluate(situation: Situation): void {
    const { led } = this;
    const { leader, wanted, lease } = situation;
    if (led !== undefined) {
      if (leader !== undefined && leader.epoch > led.epoch) led.term.end('another replica leads this partition now');
      else if (!wanted && led.type === 'leading') void this.resign();
    } else if (this.state.type === 'following') {
      if (leader?.replica === this.options.replica) {
        if (leader.epoch > this.goneEpoch) void this.removeKey(leader.epoch);
      } else if (leader === undefined && wanted && lease !== undefined && !this.pausing()) {
        void this.campaign(lease, situation.leaseIsValid);
      }
    }
  }

  /** Ends the term, if any, because the lease is lost; its key goes with the lease. */
  loseLease(reason: string): void {
    this.led?.term.end(`the lease is lost: ${reason}`);
  }

  /** Serves what was taken, then gives the partition up. Resolves when no key of this replica's is left. */
  async resign(): Promise<void> {
    const { state } = this;
    if (state.type === 'following') return;
    const gone = new Promise<void>((resolve) => this.onGone.push(resolve));
    if (state.type === 'leading') {
      this.state = { ...state, type: 'handing-over' };
      await state.term.handOver(HAND_OVER_BOUND_MS);
    }
    await gone;
  }

  private async campaign(lease: Lease, isValid: (lease: Lease) => boolean): Promise<void> {
    const { store, replica, address, numbersAbove, service, partition, log } = this.options;
    this.state = { type: 'campaigning' };
    let epoch: number | undefined;
    try {
      const result = await store.write({
        compares: [{ type: 'absent', key: this.key }],
        puts: [{ key: this.key, value: leaderCodec.encode({ replica, address }), lease }],
      });
      if (result.type === 'written') epoch = result.revision + numbersAbove;
      // Somebody leads whom the view does not show yet.
      else this.pause();
    } catch (error) {
      // A key that lands after all is found in the view as one of ours that we don't lead under.
      log('campaign failed', { service, partition, error: String(error) });
      this.pause();
    }
    if (epoch === undefined) return this.follow();
    // The lease was lost meanwhile, and nobody will say so again.
    if (!isValid(lease)) return this.removeKey(epoch);
    await this.lead(epoch, () => isValid(lease));
    log('leading', { service, partition, epoch, replica });
  }

  private async lead(epoch: number, isValid: () => boolean): Promise<void> {
    const { clock } = this.options;
    const tenure: Tenure = { electionKey: this.key, electionRevision: this.revisionOf(epoch), epoch, isValid };
    const term = this.options.createTerm(tenure, (reason) => this.ended(epoch, isValid, reason));
    this.state = { type: 'leading', term, epoch, sinceMs: clock.monotonicMs() };
    this.options.onLeadership?.('gained');
    try {
      await term.load();
    } catch (error) {
      term.end(`loading failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.options.onChange();
  }

  private ended(epoch: number, isValid: () => boolean, reason: string): void {
    const { clock, service, partition, log, bugs } = this.options;
    const { led } = this;
    if (led?.epoch !== epoch) return;
    log('term ended', { service, partition, epoch, reason });
    this.options.onLeadership?.('lost');
    if (clock.monotonicMs() - led.sinceMs < SHORT_TERM_MS) this.pause();
    else this.failures = 0;
    if (bugs?.has('lead-again-under-old-key') && isValid() && reason.startsWith('the store failed')) {
      void this.lead(epoch, isValid);
      return;
    }
    void this.removeKey(epoch);
  }

  private pause(): void {
    const pauseMs = Math.min(LONGEST_PAUSE_MS, RETRY_MS * 2 ** Math.min(this.failures++, 10));
    this.notBeforeMs = this.options.clock.monotonicMs() + pauseMs;
  }

  /** Whether it is too early for a campaign; then another evaluation is called for in time. */
  private pausing(): boolean {
    const { clock, onChange } = this.options;
    const waitMs = this.notBeforeMs - clock.monotonicMs();
    this.pauseTimer?.cancel();
    if (waitMs > 0) this.pauseTimer = clock.setTimer(waitMs, onChange);
    return waitMs > 0;
  }

  /** Until it is certain that the key of this epoch is gone; no campaign before (invariant P4). */
  private async removeKey(epoch: number): Promise<void> {
    const { store, clock } = this.options;
    this.state = { type: 'leaving' };
    for (;;) {
      try {
        await store.write({
          compares: [{ type: 'created', key: this.key, revision: this.revisionOf(epoch) }],
          deletes: [this.key],
        });
        break;
      } catch {
        // Written or refused are both certain; an error is not, so ask again.
        await delay(clock, RETRY_MS);
      }
    }
    this.goneEpoch = epoch;
    this.follow();
  }

  /** The create revision of the election key of this epoch. */
  private revisionOf(epoch: number): number {
    return epoch - this.options.numbersAbove;
  }

  private follow(): void {
    this.state = { type: 'following' };
    for (const call of this.onGone.splice(0)) call();
    this.options.onChange();
  }
}
