/**
 * Timers inside a kernel: a binary heap of objects that carry their own due time and place, so that
 * setting, moving and cancelling one costs no memory and at most the logarithm of their number.
 */

/** What can be timed. Only {@link Timers} changes these fields. */
export interface Timed {
  /** Wall time in milliseconds. */
  dueMs: number;
  /** Place in the heap; -1: not set. */
  timerIndex: number;
}

export class Timers<T extends Timed> {
  private readonly heap: T[] = [];

  get size(): number {
    return this.heap.length;
  }

  /** When the first one is due; undefined if none is set. */
  nextMs(): number | undefined {
    return this.heap[0]?.dueMs;
  }

  /** Sets or moves a timer. */
  set(timed: T, dueMs: number): void {
    const index = timed.timerIndex;
    if (index < 0) {
      timed.dueMs = dueMs;
      this.heap.push(timed);
      this.rise(timed, this.heap.length - 1);
    } else if (dueMs < timed.dueMs) {
      timed.dueMs = dueMs;
      this.rise(timed, index);
    } else {
      timed.dueMs = dueMs;
      this.sink(timed, index);
    }
  }

  cancel(timed: T): void {
    const index = timed.timerIndex;
    if (index < 0) return;
    timed.timerIndex = -1;
    const last = this.heap.pop()!;
    if (last === timed) return;
    if (index > 0 && last.dueMs < this.heap[(index - 1) >> 1]!.dueMs) this.rise(last, index);
    else this.sink(last, index);
  }

  /** Takes the first one that is due off the heap. */
  takeDue(nowMs: number): T | undefined {
    const first = this.heap[0];
    if (first === undefined || first.dueMs > nowMs) return undefined;
    this.cancel(first);
    return first;
  }

  /** Moves every timer by the same time, for a clock that was set back. */
  shift(byMs: number): void {
    for (const timed of this.heap) timed.dueMs += byMs;
  }

  private rise(timed: T, from: number): void {
    const { heap } = this;
    let index = from;
    while (index > 0) {
      const parent = heap[(index - 1) >> 1]!;
      if (parent.dueMs <= timed.dueMs) break;
      heap[index] = parent;
      parent.timerIndex = index;
      index = (index - 1) >> 1;
    }
    heap[index] = timed;
    timed.timerIndex = index;
  }

  private sink(timed: T, from: number): void {
    const { heap } = this;
    let index = from;
    for (let child = 2 * index + 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child++;
      const lower = heap[child]!;
      if (lower.dueMs >= timed.dueMs) break;
      heap[index] = lower;
      lower.timerIndex = index;
      index = child;
    }
    heap[index] = timed;
    timed.timerIndex = index;
  }
}

/** Exponential backoff with full jitter (invariant T12). */
export interface Backoff {
  /** Bound of the delay before the first retry, milliseconds. */
  readonly baseMs: number;
  /** Bound of every delay, milliseconds. */
  readonly capMs: number;
}

/** The delay before the next try after `tries` of them, milliseconds; `jitter` in [0, 1). */
export function backoffMs(backoff: Backoff, tries: number, jitter: number): number {
  return jitter * Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(30, Math.max(0, tries - 1)));
}
