import { describe, expect, test } from 'vitest';
import { History, keyOf } from '../../history.ts';
import type { Slot } from '../../../../services/kernel/counter/types.ts';
import type { CounterRead } from '../history.ts';
import type { PlannedCounter } from '../plan.ts';
import { sumOfSlots } from '../reader.ts';
import { searchOrder } from './linearizable-object.ts';
import { checkLedger } from './ledgers.ts';
import { checkValues } from './values.ts';

/** A history of one counter, made by hand. */
class Story {
  readonly history = new History();

  add(amount: bigint, startMs: number, endMs: number, state: 'asked' | 'counted' | 'refused' | 'lost' = 'counted'): this {
    Object.assign(this.history.counters.add('c', amount, startMs), { endMs, state });
    return this;
  }

  /** By a transaction. */
  addWithin(id: string, amount: bigint, startMs: number): this {
    this.history.contents.set(keyOf(id, 0), { id, variant: 0, kind: 'execute', startMs, writes: [], reads: [], publishes: [] });
    this.history.counters.add('c', amount, startMs, keyOf(id, 0));
    return this;
  }

  tell(id: string, outcome: 'committed' | 'aborted', atMs: number): this {
    this.history.settle(id, 0, outcome, atMs);
    return this;
  }

  read(value: bigint, startMs: number, endMs: number, consistency: CounterRead['consistency'] = 'linearizable'): this {
    this.history.counters.reads.push({ counter: 'c', consistency, startMs, endMs, value });
    return this;
  }

  set(value: bigint, startMs: number, endMs: number, expected?: bigint, state: 'set' | 'failed' = 'set'): this {
    this.history.counters.sets.push({ counter: 'c', expected, value, startMs, endMs, state });
    return this;
  }
}

const ledger = (story: Story, linearizable = true): string[] => checkLedger(story.history, 'c', { linearizable });

describe('ledgers', () => {
  test('accept a read that counts an add under way, or not', () => {
    expect(ledger(new Story().add(1n, 0, 10).read(0n, 5, 6).read(1n, 7, 8).read(1n, 11, 12))).toEqual([]);
  });

  test('see an add that is lost, and one that is counted twice', () => {
    expect(ledger(new Story().add(1n, 0, 10).read(0n, 11, 12))).toHaveLength(1);
    expect(ledger(new Story().add(1n, 0, 10).read(2n, 11, 12, 'final'))).toHaveLength(2);
  });

  test('see an add that was refused, or began later', () => {
    expect(ledger(new Story().add(1n, 0, 10, 'refused').read(1n, 11, 12))).toHaveLength(1);
    expect(ledger(new Story().add(1n, 20, 30).read(1n, 11, 12))).toHaveLength(1);
  });

  test('say nothing of an add whose fate is not known', () => {
    expect(ledger(new Story().add(1n, 0, Infinity, 'asked').add(2n, 0, 9, 'lost').read(1n, 11, 12).read(3n, 13, 14, 'final'))).toEqual([]);
  });

  test('see a read that misses what an earlier read has counted', () => {
    expect(ledger(new Story().add(1n, 0, Infinity, 'asked').read(1n, 11, 12).read(0n, 13, 14))).toHaveLength(1);
  });

  test('count the add of a transaction from when its commit was told', () => {
    const told = (): Story => new Story().addWithin('t', 1n, 0).tell('t', 'committed', 10);
    expect(ledger(told().read(0n, 5, 11).read(1n, 12, 13))).toEqual([]);
    expect(ledger(told().read(0n, 11, 12))).toHaveLength(1);
    expect(ledger(new Story().addWithin('t', 1n, 0).tell('t', 'aborted', 10).read(1n, 11, 12))).toHaveLength(1);
  });

  test('let a counter that is rolled up be behind, but not at the end', () => {
    expect(ledger(new Story().add(1n, 0, 10).read(0n, 11, 12), false)).toEqual([]);
    expect(ledger(new Story().add(1n, 0, 10).read(0n, 11, 12, 'final'), false)).toHaveLength(1);
  });
});

describe('values', () => {
  const BOUNDED: PlannedCounter = { name: 'c', role: 'bounded', kind: 'strong', bounds: { minimum: 0n, maximum: 9n }, opening: 4n, shards: 0 };

  test('accept what some order explains', () => {
    const story = new Story().add(3n, 0, 10).set(1n, 5, 20).read(7n, 12, 14).read(1n, 21, 22).set(8n, 23, 24, 1n);
    expect(checkValues(story.history, BOUNDED)).toEqual([]);
    expect(checkValues(new Story().set(8n, 0, 5, 3n, 'failed').read(4n, 6, 7).history, BOUNDED)).toEqual([]);
  });

  test('see answers that no order explains', () => {
    expect(checkValues(new Story().add(3n, 0, 10).read(4n, 11, 12).history, BOUNDED)).toHaveLength(1);
    expect(checkValues(new Story().set(8n, 0, 5, 3n).history, BOUNDED)).toHaveLength(1);
    expect(checkValues(new Story().set(8n, 0, 5, 4n, 'failed').history, BOUNDED)).toHaveLength(1);
  });

  test('see a value beyond its bounds', () => {
    expect(checkValues(new Story().add(6n, 0, 10).read(10n, 11, 12).history, BOUNDED)).toHaveLength(1);
  });

  test('let what was never answered take effect late, or never', () => {
    const add = (state: bigint): bigint => state + 1n;
    const see = (value: bigint) => (state: bigint): bigint | undefined => (state === value ? state : undefined);
    const asked = { startMs: 0, endMs: Infinity, apply: add };
    expect(searchOrder(0n, [asked, { startMs: 5, endMs: 6, apply: see(0n) }, { startMs: 7, endMs: 8, apply: see(1n) }])).toBe('linearizable');
    expect(searchOrder(0n, [asked, { startMs: 5, endMs: 6, apply: see(1n) }, { startMs: 7, endMs: 8, apply: see(0n) }])).toBe('not linearizable');
  });
});

describe('the sum of slots', () => {
  const slots = (...more: Slot[]): Slot[] => [
    ...Array.from({ length: 64 }, (_, slot): Slot => ({ slot: slot + 1, generation: 1, state: 'here', value: 1n })),
    ...more,
  ];

  test('takes each slot once, under its highest generation', () => {
    expect(sumOfSlots(slots({ slot: 0, generation: 1, state: 'here', value: 1n }))).toBe(65n);
    expect(sumOfSlots(slots({ slot: 0, generation: 2, state: 'left', value: 0n }, { slot: 0, generation: 2, state: 'here', value: 5n }))).toBe(69n);
    expect(sumOfSlots(slots({ slot: 0, generation: 1, state: 'frozen', value: 5n }, { slot: 0, generation: 2, state: 'here', value: 7n }))).toBe(71n);
  });

  test('is not to be had while a slot is on its way', () => {
    expect(sumOfSlots(slots())).toBeUndefined();
    expect(sumOfSlots(slots({ slot: 0, generation: 2, state: 'left', value: 0n }))).toBeUndefined();
  });
});
