import { describe, expect, test } from 'vitest';
import { MAX_INT64, MIN_INT64 } from './int64.ts';
import { add, branch, create, Harness } from './testing/harness.ts';

const value = (h: Harness, name = 'c') => h.view(name)?.value;
const counted = (value?: bigint) => ({ type: 'counted', check: expect.any(Number) as unknown, value });
const failed = (reason: string) => expect.objectContaining({ type: 'failed', failure: expect.objectContaining({ reason }) as unknown });

function strong(minimum?: bigint, maximum?: bigint, options = {}): Harness {
  const h = new Harness(options);
  h.local([create('c', { bounds: { minimum, maximum } })]);
  return h;
}

describe('direct adds', () => {
  test('C2: answer the value after them, and a retry the same again, after a restart too', () => {
    const h = strong();
    expect(h.add('c', 5n, 1, 1)).toEqual(counted(5n));
    expect(h.add('c', -2n, 1, 2)).toEqual(counted(3n));
    h.restart();
    expect(h.add('c', 5n, 1, 1)).toEqual(counted(5n));
    expect(value(h)).toBe(3n);
  });

  test('a token of another amount or counter is refused', () => {
    const h = strong();
    h.local([create('d')]);
    h.add('c', 5n, 1, 1);
    expect(h.add('c', 6n, 1, 1)).toEqual(failed('TOKEN_REUSED'));
    expect(h.add('d', 5n, 1, 1)).toEqual(failed('TOKEN_REUSED'));
  });

  test('an unknown counter is not found', () => {
    expect(new Harness().add('c', 1n, 1, 1)).toEqual(failed('COUNTER_NOT_FOUND'));
  });

  test('many adds of a request make one record of the counter and one of the tokens', () => {
    const h = strong();
    const before = h.store.size;
    const adds = Array.from({ length: 1000 }, (_, i) => ({ counter: 0, amount: 1n, sequence: i + 1 }));
    h.request({ type: 'add', session: '018bcfe5-6800-7000-8000-000000000001', settledBelow: 1, names: ['c'], adds });
    expect(value(h)).toBe(1000n);
    expect(h.store.size).toBe(before + 1);
  });

  test('C1: what would pass 64 bits is refused', () => {
    const h = strong();
    h.add('c', MAX_INT64, 1, 1);
    expect(h.add('c', 1n, 1, 2)).toEqual(failed('COUNTER_OVERFLOW'));
    h.local([{ type: 'set', name: 'c', expected: undefined, value: MIN_INT64 }]);
    expect(h.add('c', -1n, 1, 3)).toEqual(failed('COUNTER_OVERFLOW'));
    expect(value(h)).toBe(MIN_INT64);
  });

  test('C2: a refused add stays refused when it is retried, though there is room meanwhile', () => {
    const h = strong(0n, 10n);
    expect(h.add('c', 11n, 1, 1)).toEqual(failed('BOUND_EXCEEDED'));
    h.local([{ type: 'update', name: 'c', bounds: { minimum: undefined, maximum: undefined }, shards: 0 }]);
    expect(h.add('c', 11n, 1, 1)).toEqual(failed('BOUND_EXCEEDED'));
    expect(h.add('c', 11n, 1, 2)).toEqual(counted(11n));
  });
});

describe('bounds', () => {
  test('C3: prepared adds reserve, and a refused add says how much is left', () => {
    const h = strong(0n, 100n);
    h.add('c', 10n, 1, 1);
    expect(h.prepare(branch(1), [add('c', -6n)])).toMatchObject({ vote: 'yes' });
    expect(h.prepare(branch(2), [add('c', -5n)])).toMatchObject({ vote: 'no', cause: { reason: 'BOUND_EXCEEDED', metadata: { left: '-4', reserved: '-6' } } });
    const outcome = h.add('c', -5n, 1, 2);
    expect(outcome).toMatchObject({ failure: { message: expect.stringContaining('at most 4 can be taken') as unknown } });
    // A prepared subtraction makes no room for an addition.
    expect(h.add('c', 91n, 1, 3)).toEqual(failed('BOUND_EXCEEDED'));
    h.restart();
    expect(h.add('c', -5n, 1, 4)).toEqual(failed('BOUND_EXCEEDED'));
    h.tell('abort', branch(1));
    expect(h.add('c', -5n, 1, 5)).toEqual(counted(5n));
  });

  test('C4: transactions that only add are prepared side by side, and commit in any order', () => {
    const h = strong(0n, 10n);
    for (let n = 1; n <= 5; n++) expect(h.prepare(branch(n), [add('c', 2n)])).toMatchObject({ vote: 'yes' });
    expect(h.prepare(branch(6), [add('c', 1n)])).toMatchObject({ vote: 'no' });
    for (const n of [3, 1, 5]) h.tell('commit', branch(n));
    for (const n of [2, 4]) h.tell('abort', branch(n));
    expect(value(h)).toBe(6n);
  });

  test('the adds of one branch are summed before they are checked', () => {
    const h = strong(0n, 10n);
    expect(h.prepare(branch(1), [add('c', -5n), add('c', 7n)])).toMatchObject({ vote: 'yes' });
    h.tell('commit', branch(1));
    expect(value(h)).toBe(2n);
  });

  test('the bounds of other kinds, a creation out of bounds, an update that the value breaks are refused', () => {
    const h = strong(0n, 10n);
    h.local([create('q', { kind: 'queued' })]);
    expect(h.local([create('d', { bounds: { minimum: 5n, maximum: undefined } })])).toMatchObject({ failure: { reason: 'BOUND_EXCEEDED' } });
    h.add('c', 7n, 1, 1);
    const update = (name: string, maximum: bigint) => h.local([{ type: 'update', name, bounds: { minimum: undefined, maximum }, shards: 0 }]);
    expect(update('c', 6n)).toMatchObject({ failure: { reason: 'BOUND_EXCEEDED' } });
    expect(update('c', 7n)).toMatchObject({ type: 'done' });
    expect(update('q', 7n)).toMatchObject({ failure: { reason: 'COUNTER_KIND' } });
  });

  test("'escrow-counts-committed-only' crosses a bound", () => {
    const h = strong(0n, 10n, { bugs: ['escrow-counts-committed-only'] });
    h.prepare(branch(1), [add('c', 6n)]);
    h.prepare(branch(2), [add('c', 6n)]);
    h.tell('commit', branch(1));
    h.tell('commit', branch(2));
    expect(value(h)).toBe(12n);
  });
});

describe('exclusive changes', () => {
  test('compare-and-set changes the expected value only', () => {
    const h = strong(0n, 10n);
    const set = (expected: bigint | undefined, to: bigint) => h.local([{ type: 'set', name: 'c', expected, value: to }]);
    expect(set(1n, 5n)).toMatchObject({ failure: { reason: 'PRECONDITION_FAILED', metadata: { value: '0' } } });
    expect(set(0n, 5n)).toMatchObject({ type: 'done' });
    expect(set(undefined, 11n)).toMatchObject({ failure: { reason: 'BOUND_EXCEEDED' } });
    expect(value(h)).toBe(5n);
  });

  test('C4: a compare-and-set and prepared adds exclude each other', () => {
    const h = strong();
    h.prepare(branch(1), [add('c', 1n)]);
    expect(h.local([{ type: 'set', name: 'c', expected: 0n, value: 5n }])).toMatchObject({ failure: { reason: 'LOCK_CONFLICT' } });
    h.tell('commit', branch(1));
    expect(value(h)).toBe(1n);
  });

  test('C4: while a transaction rests on the value, adds are told to try again', () => {
    const h = strong();
    h.prepare(branch(1), [{ type: 'check', name: 'c', value: 0n }, add('c', 2n)]);
    expect(h.add('c', 1n, 1, 1)).toEqual(failed('COUNTER_CHANGING'));
    h.restart();
    expect(h.add('c', 1n, 1, 1)).toEqual(failed('COUNTER_CHANGING'));
    h.tell('commit', branch(1));
    expect(h.add('c', 1n, 1, 1)).toEqual(counted(3n));
    expect(h.prepare(branch(2), [{ type: 'check', name: 'c', value: 0n }])).toMatchObject({ vote: 'no', cause: { reason: 'PRECONDITION_FAILED' } });
  });

  test('a counter is created once, and gone when it is deleted', () => {
    const h = strong();
    expect(h.local([create('c')])).toMatchObject({ failure: { reason: 'COUNTER_EXISTS' } });
    expect(h.local([{ type: 'delete', name: 'c' }])).toMatchObject({ type: 'done' });
    expect(h.view('c')).toBeUndefined();
    expect(h.stored('counter/')).toEqual([]);
    expect(h.local([{ type: 'delete', name: 'c' }])).toMatchObject({ failure: { reason: 'COUNTER_NOT_FOUND' } });
  });

  test('one branch can not change a counter in several ways', () => {
    const h = strong();
    expect(h.prepare(branch(1), [{ type: 'delete', name: 'c' }, add('c', 1n)])).toMatchObject({ vote: 'no', cause: { reason: 'INVALID_FIELD' } });
    const many = Array.from({ length: 65 }, (_, i) => add(`c${i}`, 1n));
    expect(h.prepare(branch(2), many)).toMatchObject({ vote: 'no', cause: { reason: 'LIMIT_EXCEEDED' } });
  });
});

describe('reads', () => {
  const query = { type: 'counters', names: ['c'] } as const;

  test('C5: a linearizable read waits for the adds that were prepared when it came', () => {
    const h = strong();
    h.prepare(branch(1), [add('c', 5n)]);
    expect(h.read(query, 'linearizable')).toBeUndefined();
    expect(value(h)).toBe(0n);
    h.prepare(branch(2), [add('c', 1n)]);
    h.tell('commit', branch(1));
    h.flush();
    expect(h.replies.at(-1)?.reply).toMatchObject({ type: 'read', answer: { views: [{ value: 5n }] } });
  });

  test('C5: while an add is prepared, direct adds are counted without a value', () => {
    const h = strong();
    h.prepare(branch(1), [add('c', 5n)]);
    expect(h.add('c', 1n, 1, 1)).toEqual(counted(undefined));
    h.tell('commit', branch(1));
    expect(h.add('c', 1n, 1, 2)).toEqual(counted(7n));
    expect(h.add('c', 1n, 1, 1)).toEqual(counted(undefined));
  });

  test("'read-misses-prepared-add' does not wait", () => {
    const h = strong(undefined, undefined, { bugs: ['read-misses-prepared-add'] });
    h.prepare(branch(1), [add('c', 5n)]);
    expect(h.read(query, 'linearizable')).toMatchObject({ type: 'read' });
  });

  test('a read within a transaction sees its own adds, and is checked when it commits', () => {
    const h = strong();
    h.add('c', 3n, 1, 1);
    h.view('c');
    expect(h.resource.answerStaged(query, [add('c', 2n)], h.nowMs)).toMatchObject({
      answer: { views: [{ value: 5n }] },
      checks: [{ type: 'check', name: 'c', value: 3n }],
    });
  });

  test('rates are of the last minute, hour and day, and last over a restart', () => {
    const h = strong();
    h.add('c', 3n, 1, 1);
    h.pass(30_000);
    h.add('c', -1n, 1, 2);
    h.restart();
    const rates = () => {
      const reply = h.read({ type: 'rates', name: 'c' });
      return reply?.type === 'read' && reply.answer.type === 'rates' && reply.answer.windows?.map(({ added, adds }) => [added, adds]);
    };
    expect(rates()).toEqual([[2n, 2], [2n, 2], [2n, 2]]);
    h.pass(45_000);
    expect(rates()).toEqual([[-1n, 1], [2n, 2], [2n, 2]]);
    h.pass(24 * 3600_000);
    expect(rates()).toEqual([[0n, 0], [0n, 0], [0n, 0]]);
  });

  test('who watches hears which counters a batch has changed', () => {
    const h = strong();
    h.events.length = 0;
    h.add('c', 1n, 1, 1);
    expect(h.events).toEqual([{ type: 'changes', names: ['c'], replicated: [], moving: false }]);
  });
});
