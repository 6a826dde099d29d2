/** Extends the deadlines of messages for as long as a consumer has them, within a bound. */

import type { Clock, Timer } from '../../runtime/clock.ts';
import type { ReceivedMessage } from './received-message.ts';

/** Deadlines are extended when this part of them has passed. */
const EXTEND_AFTER = 1 / 3;
const LEAST_INTERVAL_MS = 5;

export interface LeaseOptions {
  /** What a message is given each time, milliseconds. */
  readonly ackDeadlineMs: number;
  /** From its delivery on, milliseconds. */
  readonly maxExtensionMs: number;
}

export interface LeaseOwner {
  extend(message: ReceivedMessage, deadlineMs: number): void;
  /** It was held for as long as allowed: its deadline runs out, and it is delivered again. */
  expired(message: ReceivedMessage): void;
}

export class Leases {
  private readonly clock: Clock;
  private readonly options: LeaseOptions;
  private readonly owner: LeaseOwner;
  /** By the message's id, with the time since when, by the monotonic clock. */
  private readonly held = new Map<string, { readonly message: ReceivedMessage; readonly sinceMs: number }>();
  private timer: Timer | undefined;
  private closed = false;

  constructor(clock: Clock, options: LeaseOptions, owner: LeaseOwner) {
    this.clock = clock;
    this.options = options;
    this.owner = owner;
  }

  add(message: ReceivedMessage): void {
    if (this.closed) return;
    this.held.set(message.id, { message, sinceMs: this.clock.monotonicMs() });
    this.schedule();
  }

  /** Whether somebody has a delivery of this message. */
  has(messageId: string): boolean {
    return this.held.has(messageId);
  }

  remove({ id }: ReceivedMessage): void {
    this.held.delete(id);
  }

  /** Nothing is extended any more. */
  close(): void {
    this.closed = true;
    this.held.clear();
    this.timer?.cancel();
    this.timer = undefined;
  }

  private schedule(): void {
    if (this.timer !== undefined || this.held.size === 0) return;
    const intervalMs = Math.max(LEAST_INTERVAL_MS, this.options.ackDeadlineMs * EXTEND_AFTER);
    this.timer = this.clock.setTimer(intervalMs, () => {
      this.timer = undefined;
      this.extendAll();
      this.schedule();
    });
  }

  private extendAll(): void {
    const { ackDeadlineMs, maxExtensionMs } = this.options;
    const nowMs = this.clock.monotonicMs();
    for (const [id, { message, sinceMs }] of this.held) {
      const leftMs = sinceMs + maxExtensionMs - nowMs;
      if (leftMs > 0) {
        this.owner.extend(message, Math.min(ackDeadlineMs, leftMs));
        continue;
      }
      this.held.delete(id);
      this.owner.expired(message);
    }
  }
}
