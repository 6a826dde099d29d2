/** From a partition to those who watch it: in order, each with a bounded buffer of its own. */

import type { Failure } from '../../kernel/failure.ts';
import { FailureError } from '../errors/failure-error.ts';

/** The most events that wait for one watcher. */
export const WATCH_BUFFER = 10_000;

/** The events of one partition under one term. */
export class Events<Event> {
  private readonly subscriptions = new Set<Subscription<Event>>();
  private readonly onWatched: (watched: boolean) => void;
  private ending: Failure | undefined;

  /** @param onWatched told when the first watcher comes and the last one goes. */
  constructor(onWatched: (watched: boolean) => void = () => {}) {
    this.onWatched = onWatched;
  }

  publish(event: Event): void {
    for (const subscription of this.subscriptions) subscription.push(event);
  }

  /** The term has ended: every watcher hears why after what it has been told. */
  end(failure: Failure): void {
    this.ending = failure;
    for (const subscription of this.subscriptions) subscription.fail(failure);
    this.subscriptions.clear();
  }

  subscribe(limit = WATCH_BUFFER): Subscription<Event> {
    const subscription = new Subscription<Event>(limit, () => {
      if (this.subscriptions.delete(subscription) && this.subscriptions.size === 0) this.onWatched(false);
    });
    if (this.ending !== undefined) subscription.fail(this.ending);
    else {
      this.subscriptions.add(subscription);
      if (this.subscriptions.size === 1) this.onWatched(true);
    }
    return subscription;
  }
}

const TOO_SLOW: Failure = {
  reason: 'OVERLOADED',
  message: `the watcher is too slow: more than ${WATCH_BUFFER} events wait for it; watch again from the last position received`,
  retryAfterMs: 100,
};

export class Subscription<Event> {
  private events: Event[] = [];
  private failure: Failure | undefined;
  private wake: (() => void) | undefined;
  private readonly limit: number;
  private readonly onClose: () => void;

  constructor(limit: number, onClose: () => void) {
    this.limit = limit;
    this.onClose = onClose;
  }

  push(event: Event): void {
    if (this.failure !== undefined) return;
    if (this.events.length >= this.limit) {
      this.events = [];
      this.close(TOO_SLOW);
    } else this.events.push(event);
    this.wake?.();
  }

  fail(failure: Failure): void {
    this.failure ??= failure;
    this.wake?.();
  }

  /** Ends the subscription: {@link next} fails once what has come is taken. */
  close(failure: Failure = { reason: 'CANCELLED', message: 'the watch was ended' }): void {
    this.fail(failure);
    this.onClose();
  }

  /** Everything that has come since, at least one. @throws FailureError when the subscription has ended. */
  async next(): Promise<Event[]> {
    while (this.events.length === 0) {
      if (this.failure !== undefined) throw new FailureError(this.failure);
      await new Promise<void>((resolve) => (this.wake = resolve));
      this.wake = undefined;
    }
    const events = this.events;
    this.events = [];
    return events;
  }
}
