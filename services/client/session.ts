/**
 * Idempotency sessions (invariant C2): a server executes what it is sent under a session and a sequence
 * once, however often it arrives. A session is replaced when it is old, long before the server would
 * forget it, or when too much of it is unsettled.
 */

import { newTransactionId } from './ids.ts';

/** Most sequences from the lowest unsettled one on: as many as a server keeps results for. */
export const SESSION_WINDOW = 4_096;
/** Servers forget a session that was idle for 15 minutes, and may then refuse any that began before. */
const RENEW_AFTER_MS = 5 * 60_000;

export class Session {
  /** UUIDv7. */
  readonly id: string;
  private readonly renewAtMs: number;
  private next = 1;
  /** In ascending order, as they were taken. */
  private readonly unsettled = new Set<number>();

  /**
   * @param wallMs since 1970
   * @param nowMs by the monotonic clock
   */
  constructor(wallMs: number, nowMs: number) {
    this.id = newTransactionId(wallMs);
    this.renewAtMs = nowMs + RENEW_AFTER_MS;
  }

  /** A sequence for a new request; it may be retried until it is settled. */
  take(): number {
    const sequence = this.next++;
    this.unsettled.add(sequence);
    return sequence;
  }

  /** Its result is known: it will not be sent again. */
  settle(sequence: number): void {
    this.unsettled.delete(sequence);
  }

  /** Below this number nothing will be sent again. */
  get settledBelow(): number {
    for (const lowest of this.unsettled) return lowest;
    return this.next;
  }

  /** Whether the next request should have another session. */
  isWorn(nowMs: number): boolean {
    return nowMs >= this.renewAtMs || this.next - this.settledBelow >= SESSION_WINDOW;
  }
}
