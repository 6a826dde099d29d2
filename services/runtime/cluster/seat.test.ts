import { describe, expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import type { Tenure } from '../partition/term.ts';
import { MemoryStore } from '../store/memory.ts';
import type { Store, WriteBatch, WriteResult } from '../store/store.ts';
import { leaderKey } from './keys.ts';
import { Seat, type SeatTerm, type Situation } from './seat.ts';

/** A term that is handed over when the test says so. */
class FakeTerm implements SeatTerm {
  readonly tenure: Tenure;
  handOvers = 0;
  handedOver = (): void => {};
  private readonly onEnd: (reason: string) => void;

  constructor(tenure: Tenure, onEnd: (reason: string) => void) {
    this.tenure = tenure;
    this.onEnd = onEnd;
  }
  async load(): Promise<void> {}
  async handOver(): Promise<void> {
    this.handOvers++;
    await new Promise<void>((resolve) => (this.handedOver = resolve));
    this.end('handed over');
  }
  end(reason: string): void {
    this.onEnd(reason);
  }
}

const KEY = leaderKey('stock', 0);

async function setUp() {
  const inner = new MemoryStore(systemClock);
  const lease = await inner.grantLease(60_000);
  /** Set: writes wait for it. */
  const gate = { held: undefined as Promise<void> | undefined };
  const store = new Proxy<Store>(inner, {
    get(target, name) {
      if (name === 'write')
        return async (batch: WriteBatch): Promise<WriteResult> => {
          const result = await target.write(batch);
          await gate.held;
          return result;
        };
      const value = Reflect.get(target, name) as unknown;
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
  const terms: FakeTerm[] = [];
  const seat = new Seat<FakeTerm>({
    service: 'stock',
    partition: 0,
    replica: 'r1',
    address: 'a:1',
    numbersAbove: 0,
    store,
    clock: systemClock,
    createTerm(tenure, onEnd) {
      terms.push(new FakeTerm(tenure, onEnd));
      return terms.at(-1)!;
    },
    onChange: () => {},
    log: () => {},
  });
  let valid = true;
  const situation = (wanted: boolean): Situation => ({ wanted, leader: undefined, lease, leaseIsValid: () => valid });
  return { inner, seat, terms, gate, situation, loseLease: () => (valid = false) };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a seat at a partition', () => {
  it('campaigns where it is wanted, and leads under the epoch of its election key (P7)', async () => {
    const { inner, seat, terms, situation } = await setUp();
    seat.evaluate(situation(true));
    await settle();
    expect(terms).toHaveLength(1);
    expect(seat.epoch).toBe(terms[0]!.tenure.epoch);
    expect((await inner.get([KEY]))[0]).toBeDefined();
  });

  it('hands over once, however often it is asked to, and resigns when its key is gone', async () => {
    const { inner, seat, terms, situation } = await setUp();
    seat.evaluate(situation(true));
    await settle();
    seat.evaluate(situation(false));
    seat.evaluate(situation(false));
    const resigned = seat.resign();
    await settle();
    expect(terms[0]!.handOvers).toBe(1);
    expect(seat.term).toBe(terms[0]);
    terms[0]!.handedOver();
    await resigned;
    expect(seat.term).toBeUndefined();
    expect((await inner.get([KEY]))[0]).toBeUndefined();
  });

  it('does not lead where the lease was lost while it campaigned, and takes its key back', async () => {
    const { inner, seat, terms, gate, situation, loseLease } = await setUp();
    let pass = (): void => {};
    gate.held = new Promise<void>((resolve) => (pass = resolve));
    seat.evaluate(situation(true));
    await settle();
    loseLease();
    seat.loseLease('it expired');
    gate.held = undefined;
    pass();
    await settle();
    expect(terms).toHaveLength(0);
    expect((await inner.get([KEY]))[0]).toBeUndefined();
  });

  it('asks again until it is certain that its key is gone, and campaigns only then (P4)', async () => {
    const { inner, seat, terms, gate, situation } = await setUp();
    seat.evaluate(situation(true));
    await settle();
    gate.held = Promise.reject(new Error('no answer'));
    gate.held.catch(() => {});
    terms[0]!.end('the store failed');
    await settle();
    seat.evaluate(situation(true));
    await settle();
    expect(terms).toHaveLength(1);
    gate.held = undefined;
    await expect.poll(() => {
      seat.evaluate(situation(true));
      return terms.length;
    }).toBe(2);
    expect(terms[1]!.tenure.epoch).toBeGreaterThan(terms[0]!.tenure.epoch);
    expect((await inner.get([KEY]))[0]).toBeDefined();
  });
});
