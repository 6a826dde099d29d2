import { describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { BoundedMap } from './bounded-map.ts';
import { Limits } from './limits.ts';
import type { LimitRule } from './policy.ts';

const rule = (limits: Partial<LimitRule>): LimitRule => ({ name: 'each', who: 'anybody', ...limits });

function limitsAt() {
  let nowMs = 1000;
  const limits = new Limits({ ...systemClock, monotonicMs: () => nowMs });
  return { limits, pass: (ms: number) => void (nowMs += ms) };
}

describe('limits of a caller', () => {
  test('refuse a call beyond those under way, until one is over', () => {
    const meter = limitsAt().limits.meterOf('a', rule({ inFlight: 2 }))!;
    expect(meter.enter()).toBeUndefined();
    expect(meter.enter()).toBeUndefined();
    expect(meter.enter()).toMatchObject({ reason: 'CALLER_LIMIT', metadata: { limit: 'in_flight', rule: 'each' }, retryAfterMs: 100 });
    meter.leave();
    expect(meter.enter()).toBeUndefined();
  });

  test('refuse calls beyond the rate, and say when there is room again', () => {
    const { limits, pass } = limitsAt();
    const meter = limits.meterOf('a', rule({ callsPerSecond: 10 }))!;
    for (let i = 0; i < 10; i++) expect(meter.take(1, 0)).toBeUndefined();
    const refused = meter.take(1, 0)!;
    expect(refused).toMatchObject({ reason: 'CALLER_LIMIT', metadata: { limit: 'calls_per_second' } });
    pass(refused.retryAfterMs!);
    expect(meter.take(1, 0)).toBeUndefined();
  });

  test('take a request that is larger than a second of bytes when there is any room, and make up for it after', () => {
    const { limits, pass } = limitsAt();
    const meter = limits.meterOf('a', rule({ bytesPerSecond: 1000 }))!;
    expect(meter.take(1, 5000)).toBeUndefined();
    expect(meter.take(1, 1)).toMatchObject({ metadata: { limit: 'bytes_per_second' }, retryAfterMs: 4001 });
    pass(3999);
    expect(meter.take(1, 1)).toBeDefined();
    pass(2);
    expect(meter.take(1, 1)).toBeUndefined();
  });

  test('slow a stream down instead', () => {
    const { limits, pass } = limitsAt();
    const meter = limits.meterOf('a', rule({ callsPerSecond: 100, bytesPerSecond: 1000 }))!;
    expect(meter.takeOrWait(50, 500)).toBe(0);
    expect(meter.takeOrWait(100, 100)).toBe(501);
    pass(501);
    expect(meter.takeOrWait(1, 1)).toBeGreaterThan(0);
  });

  test('are of each caller by itself, and follow the policy', () => {
    const { limits } = limitsAt();
    const one = limits.meterOf('a', rule({ inFlight: 1 }))!;
    one.enter();
    expect(limits.meterOf('b', rule({ inFlight: 1 }))!.enter()).toBeUndefined();
    expect(limits.meterOf('a', rule({ inFlight: 1 }))!.enter()).toBeDefined();
    expect(limits.meterOf('a', rule({ inFlight: 2 }))!.enter()).toBeUndefined();
  });

  test('are kept for a bounded number of callers, those with calls under way first', () => {
    const { limits } = limitsAt();
    const busy = limits.meterOf('busy', rule({ inFlight: 1 }))!;
    busy.enter();
    for (let i = 0; i < 20_000; i++) limits.meterOf(`caller ${i}`, rule({ inFlight: 1 }));
    expect(limits.meterOf('busy', rule({ inFlight: 1 }))).toBe(busy);
  });

  test('are kept for new callers, however many old ones have calls that last', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 1_000; i++) limits.meterOf(`busy ${i}`, rule({}))!.enter();
    for (let i = 0; i < 20_000; i++) expect(limits.meterOf(`caller ${i}`, rule({}))).toBeDefined();
  });
});

describe('a bounded map', () => {
  test('makes room by what was not used for longest', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.get('a');
    map.set('c', 3);
    expect([map.get('a'), map.get('b'), map.get('c'), map.size]).toEqual([1, undefined, 3, 2]);
  });

  test('has no room where nothing may go', () => {
    const map = new BoundedMap<string, number>(1);
    map.set('a', 1);
    expect(map.set('b', 2, () => true)).toBe(false);
    expect(map.set('a', 3, () => true)).toBe(true);
  });
});
