/**
 * The order within ordering keys on one stream: when a message was refused, the server refuses those of
 * its key that were sent after it, and they are held back here until all have come back; then they are
 * sent again in their order.
 */

import type { PublishCall } from './publish-call.ts';

interface KeyState {
  readonly inFlight: Set<PublishCall>;
  /** To be sent, in their order. */
  held: PublishCall[];
}

export class KeyOrder {
  private readonly send: (call: PublishCall) => void;
  private readonly keys = new Map<string, KeyState>();
  private paused = false;

  constructor(send: (call: PublishCall) => void) {
    this.send = send;
  }

  /** Whether something with this key is not over. */
  has(key: string): boolean {
    return this.keys.has(key);
  }

  /** A new call: sent now, or after those that are held. */
  add(call: PublishCall): void {
    let state = this.keys.get(call.key);
    if (state === undefined) this.keys.set(call.key, (state = { inFlight: new Set(), held: [] }));
    if (this.paused || state.held.length > 0) state.held.push(call);
    else this.sendOf(state, call);
  }

  /** Whether a call before this one is not over. */
  hasEarlier({ key, sequence }: PublishCall): boolean {
    const { inFlight, held } = this.keys.get(key)!;
    return held.some((other) => other.sequence < sequence) || [...inFlight].some((other) => other.sequence < sequence);
  }

  /** It came back, to be sent again. */
  hold(call: PublishCall): void {
    const { inFlight, held } = this.keys.get(call.key)!;
    inFlight.delete(call);
    let place = held.length;
    while (place > 0 && held[place - 1]!.sequence > call.sequence) place--;
    held.splice(place, 0, call);
  }

  /** It is over, or goes another way. */
  end(call: PublishCall): void {
    const state = this.keys.get(call.key);
    if (state === undefined) return;
    state.inFlight.delete(call);
    const place = state.held.indexOf(call);
    if (place >= 0) state.held.splice(place, 1);
    if (state.inFlight.size + state.held.length === 0) this.keys.delete(call.key);
    else this.release(call.key);
  }

  /** Sends what is held of a key, unless something of it is still under way or the first is not due. */
  release(key: string): void {
    const state = this.keys.get(key);
    if (this.paused || state === undefined || state.inFlight.size > 0) return;
    if (state.held.length === 0 || state.held[0]!.nextTryMs !== undefined) return;
    for (const call of state.held.splice(0)) {
      call.nextTryMs = undefined;
      this.sendOf(state, call);
    }
  }

  /** There is no stream: everything is held. */
  pause(): void {
    this.paused = true;
    for (const { inFlight } of this.keys.values()) for (const call of [...inFlight]) this.hold(call);
  }

  resume(): void {
    this.paused = false;
    for (const key of this.keys.keys()) this.release(key);
  }

  private sendOf(state: KeyState, call: PublishCall): void {
    state.inFlight.add(call);
    this.send(call);
  }
}
