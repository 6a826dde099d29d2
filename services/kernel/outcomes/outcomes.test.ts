import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COLLECT_OPERATIONS, type LateRecord, Outcomes, type RecordWriter } from './outcomes.ts';
import { RecentOutcomes } from './recent.ts';
import { planCollection } from './sweep.ts';

interface Outcome {
  readonly type: 'outcome';
}
const OUTCOME: Outcome = { type: 'outcome' };
const NOW_MS = Date.UTC(2026, 0, 1);
const RETENTION_MS = 60_000;

function idAt(timeMs: number, n = 0): string {
  const time = timeMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

class Store implements RecordWriter<Outcome | LateRecord> {
  readonly records = new Map<string, Outcome | LateRecord>();
  operations = 0;

  put(key: string, record: Outcome | LateRecord): void {
    this.records.set(key, record);
    this.operations++;
  }
  remove(key: string): void {
    this.records.delete(key);
    this.operations++;
  }
  removeRange(from: string, to: string): void {
    for (const key of [...this.records.keys()]) if (key >= from && key < to) this.records.delete(key);
    this.operations++;
  }
}

function setUp(more: { cacheBytes?: number; lateLimit?: number } = {}, sizeOf = () => 1) {
  const store = new Store();
  const make = () => new Outcomes<Outcome>({ prefix: 'o/', latePrefix: 'late/', retentionMs: RETENTION_MS, sizeOf, ...more });
  const outcomes = make();
  const decide = (id: string, nowMs: number) => {
    outcomes.record(id, OUTCOME, store);
    outcomes.finish(id, nowMs, store);
  };
  const recover = () => {
    const recovered = make();
    recovered.restore(outcomes.watermarks);
    for (const [key, record] of store.records) if (record.type === 'late') recovered.recoverLate(key, record);
    return recovered;
  };
  return { store, outcomes, decide, recover };
}

describe('looking up an outcome', () => {
  it('needs no read for an id above everything that was ever recorded', () => {
    const { outcomes, decide, recover } = setUp();
    decide(idAt(NOW_MS), NOW_MS);
    expect(outcomes.lookup(idAt(NOW_MS))).toBe(OUTCOME);
    expect(outcomes.lookup(idAt(NOW_MS, 1))).toBe('absent');
    expect(outcomes.lookup(idAt(NOW_MS - 1))).toBe('absent');
    const recovered = recover();
    expect(recovered.lookup(idAt(NOW_MS, 1))).toBe('absent');
    expect(recovered.lookup(idAt(NOW_MS - 1))).toBe('unread');
    recovered.admit(recovered.keyOf(idAt(NOW_MS - 1)), undefined);
    expect(recovered.lookup(idAt(NOW_MS - 1))).toBe('absent');
    recovered.admit(recovered.keyOf(idAt(NOW_MS)), OUTCOME);
    expect(recovered.lookup(idAt(NOW_MS))).toBe(OUTCOME);
    recovered.seal(NOW_MS);
    expect(recovered.lookup(idAt(NOW_MS - 1))).toBe('unread');
  });

  it('asks the store for what the cache has dropped, and for nothing above it', () => {
    const { outcomes, decide } = setUp({ cacheBytes: 20 });
    for (let i = 0; i < 100; i++) {
      decide(idAt(NOW_MS - 1000 + i), NOW_MS);
      outcomes.seal(NOW_MS);
    }
    expect(outcomes.lookup(idAt(NOW_MS - 1000))).toBe('unread');
    expect(outcomes.lookup(idAt(NOW_MS - 1000 + 50))).toBe('unread');
    expect(outcomes.lookup(idAt(NOW_MS - 1000 + 99))).toBe(OUTCOME);
    expect(outcomes.lookup(idAt(NOW_MS - 1000 + 98, 1))).toBe('absent');
  });

  it('does not make everybody read because of one client whose clock is ahead', () => {
    const cache = new RecentOutcomes<Outcome>(() => 1, 40);
    let forgotten = '';
    for (let i = 0; i < 200; i++) {
      cache.set(idAt(NOW_MS - 1000 + i), OUTCOME);
      if (i % 100 === 0) cache.set(idAt(NOW_MS + 30_000, i), OUTCOME);
      const now = cache.trim(NOW_MS);
      if (now > forgotten) forgotten = now;
    }
    expect(forgotten < idAt(NOW_MS)).toBe(true);
    expect(cache.get(idAt(NOW_MS + 30_000, 0))).toBe(OUTCOME);
  });
});

describe('collecting', () => {
  it('raises the floor with the time, in few operations, and never above what was recorded (T9)', () => {
    const { store, outcomes, decide } = setUp();
    for (let i = 0; i < 1000; i++) decide(idAt(NOW_MS, i), NOW_MS);
    store.operations = 0;
    expect(outcomes.collect(NOW_MS + 10 * RETENTION_MS, [], store)).toBe(false);
    expect(outcomes.floorChanged).toBe(true);
    expect(outcomes.watermarks.floor).toBe(idAt(NOW_MS, 999));
    expect(store.records.size).toBe(0);
    expect(store.operations).toBe(1);
    expect(outcomes.lookup(idAt(NOW_MS, 5))).toBe('expired');
    expect(outcomes.lookup(idAt(NOW_MS, 1000))).toBe('absent');
    outcomes.seal(NOW_MS);
    expect(outcomes.floorChanged).toBe(false);
    expect(outcomes.collectable).toBe(false);
  });

  it('keeps what finished late for the retention after its finish (T8)', () => {
    const { store, outcomes, decide, recover } = setUp();
    decide(idAt(NOW_MS), NOW_MS + 50_000);
    decide(idAt(NOW_MS + 50_000), NOW_MS + 50_000);
    outcomes.collect(NOW_MS + 105_000, [], store);
    expect(outcomes.watermarks.floor > idAt(NOW_MS)).toBe(true);
    expect(outcomes.lookup(idAt(NOW_MS))).toBe(OUTCOME);
    expect(recover().durableState()).toEqual(outcomes.durableState());
    outcomes.collect(NOW_MS + 110_000, [], store);
    expect(outcomes.lookup(idAt(NOW_MS))).toBe('expired');
    expect([...store.records.keys()]).toEqual([`o/${idAt(NOW_MS + 50_000)}`]);
  });

  it('collects a late one early when there are too many of them (P8)', () => {
    const { store, outcomes, decide } = setUp({ lateLimit: 1 });
    decide(idAt(NOW_MS + 200_000), NOW_MS + 200_000);
    outcomes.collect(NOW_MS + 200_000, [], store);
    decide(idAt(NOW_MS, 1), NOW_MS + 200_000);
    decide(idAt(NOW_MS, 2), NOW_MS + 200_000);
    expect(outcomes.lookup(idAt(NOW_MS, 1))).toBe(OUTCOME);
    expect(outcomes.lookup(idAt(NOW_MS, 2))).toBe('expired');
    expect(store.records.has(`o/${idAt(NOW_MS, 2)}`)).toBe(false);
  });

  it('steps through what an earlier term left, so that no single write removes it all', () => {
    const { store, decide, recover, outcomes } = setUp();
    outcomes.restore({ floor: idAt(NOW_MS - 1), highestId: '' });
    for (let i = 0; i < 100; i++) decide(idAt(NOW_MS + i * 1000), NOW_MS + i * 1000);
    const recovered = recover();
    const sizes: number[] = [];
    while (recovered.collectable && sizes.length < 50) {
      recovered.collect(NOW_MS + 1_000_000, [], store);
      recovered.seal(NOW_MS + 1_000_000);
      sizes.push(store.records.size);
    }
    expect(sizes.length).toBeGreaterThan(5);
    expect(sizes.at(-1)).toBe(0);
  });

  it('removes all that is old except what is kept, within its bounds, and keeps the rest', () => {
    const ids = fc.uniqueArray(fc.nat(300), { maxLength: 200 });
    fc.assert(
      fc.property(ids, fc.uniqueArray(fc.nat(300), { maxLength: 60 }), fc.nat(300), (recorded, pinned, ageMs) => {
        const { store, outcomes, decide } = setUp();
        for (const n of recorded) decide(idAt(NOW_MS + n), NOW_MS + n);
        const kept = new Set(pinned.map((n) => idAt(NOW_MS + n)));
        const nowMs = NOW_MS + ageMs + RETENTION_MS + 30_000;
        for (let more = true, rounds = 0; more; rounds++) {
          store.operations = 0;
          more = outcomes.collect(nowMs, kept, store);
          outcomes.seal(nowMs);
          expect(store.operations).toBeLessThanOrEqual(COLLECT_OPERATIONS);
          expect(rounds).toBeLessThan(10);
        }
        for (const n of recorded) {
          const id = idAt(NOW_MS + n);
          expect(store.records.has(`o/${id}`)).toBe(n >= ageMs || kept.has(id));
        }
      }),
    );
  });

  it('plans ranges without a kept id, none of them empty', () => {
    expect(planCollection('', 'c', ['b'], [], 16)).toEqual({
      ranges: [
        { from: '', to: 'b' },
        { from: 'b\0', to: 'c\0' },
      ],
      floor: 'c',
    });
    expect(planCollection('a', 'c', ['c'], [], 16)).toEqual({ ranges: [{ from: 'a\0', to: 'c' }], floor: 'c' });
    expect(planCollection('a', 'd', ['b', 'c'], [], 1)).toEqual({ ranges: [{ from: 'a\0', to: 'b' }], floor: 'b' });
  });
});
