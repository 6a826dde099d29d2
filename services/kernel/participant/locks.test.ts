import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isOlder, LockTable, type LockRequest } from './locks.ts';

const request = (age: number, ...wishes: string[]): LockRequest => ({
  firstTryMs: age,
  transactionId: `t${age}`,
  wishes: wishes.map((wish) => ({ name: wish.toLowerCase(), exclusive: wish === wish.toUpperCase() })),
});

const holders = (locks: LockTable, name: string, shared = false): LockRequest[] => {
  const found = new Set<LockRequest>();
  locks.addHolders(name, shared, found);
  return [...found];
};

describe('who holds a lock', () => {
  const locks = new LockTable();
  const [reader, writer] = [request(1, 'a'), request(2, 'AB')];
  locks.request(reader, true);
  locks.request(writer, true);

  test('those who share it only if asked for', () => {
    expect(holders(locks, 'a')).toEqual([]);
    expect(holders(locks, 'a', true)).toEqual([reader]);
    expect(holders(locks, 'ab')).toEqual([writer]);
  });

  test('of every lock with a prefix', () => {
    const found = new Set<LockRequest>();
    locks.addHoldersOf('a', true, found);
    expect(found).toEqual(new Set([reader, writer]));
  });
});

describe('K3 wait-die', () => {
  test('a request waits only if it is older than the holder', () => {
    const locks = new LockTable();
    expect(locks.request(request(5, 'A'), true).type).toBe('granted');
    expect(locks.request(request(6, 'A'), true)).toEqual({ type: 'refused', name: 'a', by: 't5' });
    expect(locks.request(request(4, 'A'), true).type).toBe('waiting');
  });

  test('a request waits only if it is older than everyone ahead of it', () => {
    const locks = new LockTable();
    locks.request(request(9, 'A'), true);
    locks.request(request(4, 'A'), true);
    expect(locks.request(request(5, 'A'), true)).toEqual({ type: 'refused', name: 'a', by: 't4' });
    expect(locks.request(request(3, 'A'), true).type).toBe('waiting');
  });

  test('one that may not wait is refused by a younger one', () => {
    const locks = new LockTable();
    locks.request(request(9, 'A'), true);
    expect(locks.request(request(4, 'A'), false)).toEqual({ type: 'refused', name: 'a', by: 't9' });
  });

  test('waiters are granted in queue order', () => {
    const locks = new LockTable();
    const [holder, first, second] = [request(9, 'A'), request(4, 'A'), request(3, 'A')];
    for (const each of [holder, first, second]) locks.request(each, true);
    expect(locks.release(holder)).toEqual([first]);
    expect(locks.release(first)).toEqual([second]);
  });

  test('the deliberate bug grants the last waiter first', () => {
    const locks = new LockTable(true);
    const [holder, first, second] = [request(9, 'A'), request(4, 'A'), request(3, 'A')];
    for (const each of [holder, first, second]) locks.request(each, true);
    expect(locks.release(holder)).toEqual([second]);
  });

  test('shared locks are held together, and granted together', () => {
    const locks = new LockTable();
    const [writer, one, two] = [request(9, 'A'), request(4, 'a'), request(5, 'a')];
    for (const each of [writer, one, two]) locks.request(each, true);
    expect(locks.release(writer)).toEqual([one, two]);
  });

  test('a stream of readers does not starve a writer', () => {
    const locks = new LockTable();
    const reader = request(9, 'a');
    locks.request(reader, true);
    const writer = request(4, 'A');
    expect(locks.request(writer, true).type).toBe('waiting');
    expect(locks.request(request(7, 'a'), true).type).toBe('refused');
    expect(locks.release(reader)).toEqual([writer]);
  });

  test('a waiter holds no lock, but keeps its place on each that it wishes for', () => {
    const locks = new LockTable();
    const holder = request(9, 'A');
    const waiter = request(4, 'A', 'B');
    locks.request(holder, true);
    locks.request(waiter, true);
    expect(holders(locks, 'b')).toEqual([]);
    expect(locks.request(request(5, 'B'), true).type).toBe('refused');
    expect(locks.release(holder)).toEqual([waiter]);
    expect(holders(locks, 'b')).toEqual([waiter]);
  });

  test('a waiter that gives up sets free who stood behind it', () => {
    const locks = new LockTable();
    const [reader, writer, older] = [request(9, 'a'), request(5, 'A'), request(4, 'a')];
    for (const each of [reader, writer, older]) locks.request(each, true);
    expect(locks.release(writer)).toEqual([older]);
  });
});

test('nobody ever waits for somebody older, no lock is given twice, and everybody is granted in the end', () => {
  const wish = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), exclusive: fc.boolean() });
  const action = fc.oneof(
    { weight: 3, arbitrary: fc.record({ age: fc.nat(20), wishes: fc.uniqueArray(wish, { minLength: 1, maxLength: 3, selector: ({ name }) => name }) }) },
    { weight: 2, arbitrary: fc.record({ end: fc.nat(50) }) },
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const locks = new LockTable();
      const live: LockRequest[] = [];
      const check = (): void => {
        for (const [waiter, other] of locks.edges()) expect(isOlder(waiter, other)).toBe(true);
        const held = live.filter((each) => !locks.isWaiting(each));
        for (const a of held) for (const b of held) {
          if (a === b) continue;
          for (const x of a.wishes) for (const y of b.wishes) expect(x.name === y.name && (x.exclusive || y.exclusive)).toBe(false);
        }
        expect(locks.heldCount).toBe(held.reduce((sum, { wishes }) => sum + wishes.length, 0));
        // Whoever waits has somebody to wait for.
        const waits = new Set(locks.edges().map(([waiter]) => waiter));
        expect(waits.size).toBe(locks.waitingCount);
      };
      actions.forEach((each, i) => {
        if ('end' in each) {
          const [ended] = live.splice(each.end % Math.max(1, live.length), 1);
          if (ended !== undefined) for (const granted of locks.release(ended)) expect(live).toContain(granted);
        } else {
          const made: LockRequest = { firstTryMs: each.age, transactionId: `t${i}`, wishes: each.wishes };
          if (locks.request(made, true).type !== 'refused') live.push(made);
        }
        check();
      });
      while (live.length > 0) {
        const held = live.findIndex((each) => !locks.isWaiting(each));
        expect(held).toBeGreaterThanOrEqual(0);
        locks.release(live.splice(held, 1)[0]!);
        check();
      }
      expect(locks.holders()).toEqual([]);
    }),
    { numRuns: 500 },
  );
});
