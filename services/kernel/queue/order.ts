/**
 * In which order a subscription's messages are given out: one class for each delivery mode. What
 * comes is offered in the order of positions; what is acknowledged or gone meanwhile is found out when
 * it is taken.
 */

import { Fifo } from './positions.ts';

/** What an order must know of messages. */
export interface MessageFacts {
  /** Empty: none. */
  keyOf(position: number): string;
  priorityOf(position: number): number;
  publishMsOf(position: number): number;
}

export interface Order {
  /** Whether all that is there must have arrived before the next one can be taken. */
  readonly needsAll: boolean;
  /** A message can be delivered for the first time. True: at once, and it is not kept here. */
  arrive(position: number): boolean;
  /** The next of those that are kept here. */
  take(nowMs: number): number | undefined;
  /** A message that was taken is to be delivered again. */
  again(position: number): void;
  /** A message is out, or held, without having been taken. */
  restore(position: number): void;
  /** A message that was taken is done with. */
  settled(position: number): void;
}

export class ParallelOrder implements Order {
  readonly needsAll = false;
  private readonly ready = new Fifo<number>();

  arrive(): boolean {
    return true;
  }

  take(): number | undefined {
    return this.ready.shift();
  }

  again(position: number): void {
    this.ready.push(position);
  }

  restore(): void {}

  settled(): void {}
}

interface Line {
  /** The one message of this key that is out, or is to be delivered next. */
  current: number;
  ready: boolean;
  readonly later: Fifo<number>;
}

/** One message at a time for each ordering key (invariant Q6). */
export class SequentialOrder implements Order {
  readonly needsAll = false;
  private readonly facts: MessageFacts;
  private readonly lines = new Map<string, Line>();
  /** The key of each line's current message, which may be gone from the topic before it is settled. */
  private readonly keys = new Map<number, string>();
  private readonly readyKeys = new Fifo<string>();
  /** Those without a key that are to be delivered again. */
  private readonly ready = new Fifo<number>();

  constructor(facts: MessageFacts) {
    this.facts = facts;
  }

  arrive(position: number): boolean {
    const key = this.facts.keyOf(position);
    if (key === '') return true;
    const line = this.lines.get(key);
    if (line !== undefined) {
      line.later.push(position);
      return false;
    }
    this.lines.set(key, { current: position, ready: false, later: new Fifo() });
    this.keys.set(position, key);
    return true;
  }

  take(): number | undefined {
    for (let key = this.readyKeys.shift(); key !== undefined; key = this.readyKeys.shift()) {
      const line = this.lines.get(key);
      if (line === undefined || !line.ready) continue;
      line.ready = false;
      return line.current;
    }
    return this.ready.shift();
  }

  again(position: number): void {
    const key = this.keys.get(position) ?? this.facts.keyOf(position);
    if (key === '') return this.ready.push(position);
    let line = this.lines.get(key);
    if (line === undefined) {
      this.lines.set(key, (line = { current: position, ready: false, later: new Fifo() }));
      this.keys.set(position, key);
    }
    // One that is not the first of its line has its turn later.
    if (line.current !== position) return;
    line.ready = true;
    this.readyKeys.push(key);
  }

  restore(position: number): void {
    this.arrive(position);
  }

  settled(position: number): void {
    const key = this.keys.get(position);
    if (key === undefined) return;
    this.keys.delete(position);
    const line = this.lines.get(key)!;
    const next = line.later.shift();
    if (next === undefined) this.lines.delete(key);
    else {
      line.current = next;
      line.ready = true;
      this.keys.set(next, key);
      this.readyKeys.push(key);
    }
  }
}

const LEVELS = 10;

/** Higher priority first, with ageing: nobody waits for ever. */
export class PriorityOrder implements Order {
  readonly needsAll = true;
  private readonly facts: MessageFacts;
  private readonly ageingStepMs: number;
  private readonly lanes = Array.from({ length: 2 * LEVELS }, () => new Fifo<number>());

  constructor(facts: MessageFacts, ageingStepMs: number) {
    this.facts = facts;
    this.ageingStepMs = ageingStepMs;
  }

  arrive(position: number): boolean {
    this.lanes[this.facts.priorityOf(position)]!.push(position);
    return false;
  }

  take(nowMs: number): number | undefined {
    let best: Fifo<number> | undefined;
    let bestLevel = -1;
    let bestPosition = 0;
    for (let i = 0; i < 2 * LEVELS; i++) {
      const lane = this.lanes[i]!;
      const position = lane.peek();
      if (position === undefined) continue;
      const waitedMs = Math.max(0, nowMs - this.facts.publishMsOf(position));
      const level = (i % LEVELS) + Math.floor(waitedMs / this.ageingStepMs);
      if (level < bestLevel || (level === bestLevel && position > bestPosition)) continue;
      best = lane;
      bestLevel = level;
      bestPosition = position;
    }
    return best?.shift();
  }

  again(position: number): void {
    this.lanes[LEVELS + this.facts.priorityOf(position)]!.push(position);
  }

  restore(): void {}

  settled(): void {}
}
