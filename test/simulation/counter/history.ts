/** What clients did with counters and were told, with true times. */

/** One add, direct or in a transaction. */
export interface CounterAdd {
  readonly counter: string;
  readonly amount: bigint;
  readonly startMs: number;
  /** Of the transaction's content that it is a part of; see {@link keyOf}. Its outcome is the transaction's. */
  readonly writer: string | undefined;
  /** When it was told; Infinity: not yet. */
  endMs: number;
  /** 'lost': what became of it can't be known any more. */
  state: 'asked' | 'counted' | 'refused' | 'lost';
  /** What the add was answered with, of a strong counter. */
  value?: bigint;
}

export interface CounterRead {
  readonly counter: string;
  /** 'final': when everything has come to rest. */
  readonly consistency: 'linearizable' | 'eventual' | 'final';
  readonly startMs: number;
  readonly endMs: number;
  readonly value: bigint;
}

/** A value was set, whatever was there, or if it was what was expected. */
export interface CounterSet {
  readonly counter: string;
  readonly expected: bigint | undefined;
  readonly value: bigint;
  readonly startMs: number;
  endMs: number;
  /** 'failed': there was something else. 'refused': it was not tried, for other reasons. */
  state: 'asked' | 'set' | 'failed' | 'refused';
}

/** More bits than a slot of a sharded counter takes. */
const LEDGER_BITS = 54n;

export class CounterHistory {
  readonly adds: CounterAdd[] = [];
  readonly reads: CounterRead[] = [];
  readonly sets: CounterSet[] = [];
  private readonly bits = new Map<string, bigint>();

  /** An amount that no other add to this ledger has; undefined: there is none left. */
  nextAmount(counter: string): bigint | undefined {
    const bit = this.bits.get(counter) ?? 0n;
    if (bit >= LEDGER_BITS) return undefined;
    this.bits.set(counter, bit + 1n);
    return 1n << bit;
  }

  add(counter: string, amount: bigint, startMs: number, writer?: string): CounterAdd {
    const add: CounterAdd = { counter, amount, startMs, writer, endMs: Infinity, state: 'asked' };
    this.adds.push(add);
    return add;
  }

  addsOf(counter: string): CounterAdd[] {
    return this.adds.filter((add) => add.counter === counter);
  }

  readsOf(counter: string): CounterRead[] {
    return this.reads.filter((read) => read.counter === counter);
  }
}
