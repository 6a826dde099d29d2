/** Simulated time: a queue of events, run one after the other, each to the end of its promises. */

export interface Scheduled {
  cancelled: boolean;
}

interface Event extends Scheduled {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Scheduler {
  nowMs = 0;
  /** Events run so far. */
  count = 0;
  private readonly heap: Event[] = [];
  private order = 0;

  at(atMs: number, run: () => void): Scheduled {
    const event: Event = { atMs: Math.max(atMs, this.nowMs), order: this.order++, run, cancelled: false };
    this.push(event);
    return event;
  }

  after(delayMs: number, run: () => void): Scheduled {
    return this.at(this.nowMs + delayMs, run);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Runs until this time, or until `stop` says so. */
  async runUntil(untilMs: number, stop: () => boolean = () => false): Promise<void> {
    while (this.heap.length > 0 && this.heap[0]!.atMs <= untilMs && !stop()) {
      const event = this.pop();
      if (event.cancelled) continue;
      this.nowMs = event.atMs;
      this.count++;
      event.run();
      // The microtasks that the event set free all run before a macrotask does.
      await new Promise(setImmediate);
    }
    if (!stop()) this.nowMs = untilMs;
  }

  private push(event: Event): void {
    const { heap } = this;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = event;
  }

  private pop(): Event {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let index = 0;
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
