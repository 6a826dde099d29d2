/**
 * The sessions that one kind of request has under way. A new one begins when the last one is old, or
 * stuck; what is under way in an older one ends there.
 */

import type { Clock } from '../runtime/clock.ts';
import type { Session } from './session.ts';

/** When the oldest of so many is stuck, new requests wait. */
const MOST_LANES = 8;

/** A session, with what is under way in it and the streams that this goes over. */
export interface Lane<Call> {
  readonly session: Session;
  /** Nothing is under way. */
  readonly isEmpty: boolean;
  /** Whether the next request should have another one. */
  isWorn(nowMs: number): boolean;
  ended(call: Call): void;
  close(): void;
}

export class Lanes<Call extends { readonly session: Session | undefined }, Each extends Lane<Call>> {
  private readonly clock: Clock;
  private readonly open: () => Each;
  /** The last one takes what is new. */
  private lanes: Each[] = [];

  constructor(clock: Clock, open: () => Each) {
    this.clock = clock;
    this.open = open;
  }

  /** The one for what is new; undefined: too many are stuck. */
  current(): Each | undefined {
    const last = this.lanes.at(-1);
    if (last !== undefined && !last.isWorn(this.clock.monotonicMs())) return last;
    for (const lane of this.lanes) if (lane.isEmpty) this.drop(lane);
    if (this.lanes.length >= MOST_LANES) return undefined;
    const lane = this.open();
    this.lanes.push(lane);
    return lane;
  }

  of({ session }: Call): Each | undefined {
    return this.lanes.find((lane) => lane.session === session);
  }

  some(predicate: (lane: Each) => boolean): boolean {
    return this.lanes.some(predicate);
  }

  ended(call: Call): void {
    const lane = this.of(call);
    lane?.ended(call);
    if (lane !== undefined && lane.isEmpty && lane !== this.lanes.at(-1)) this.drop(lane);
  }

  close(): void {
    for (const lane of this.lanes) lane.close();
    this.lanes = [];
  }

  private drop(lane: Each): void {
    this.lanes = this.lanes.filter((other) => other !== lane);
    lane.close();
  }
}
