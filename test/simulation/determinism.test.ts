import { expect, test } from 'vitest';
import { PROFILES } from './profiles.ts';
import { BUGS } from './bugs.ts';
import { Random } from './world/random.ts';
import { run } from './world/world.ts';

test('the same seed gives the same trace, event by event', async () => {
  for (let seed = 0; seed < PROFILES.length; seed++) {
    const first = await run({ seed, traced: true });
    const second = await run({ seed, traced: true });
    expect(second).toEqual(first);
    expect(first.trace.length).toBeGreaterThan(10);
  }
});

test('different seeds give different runs', async () => {
  const traces = await Promise.all([1, 1 + PROFILES.length].map(async (seed) => (await run({ seed, traced: true })).trace.join('\n')));
  expect(traces[0]).not.toBe(traces[1]);
});

test('a trace tells what happened at what time', async () => {
  const { trace } = await run({ seed: 0, traced: true });
  const text = trace.join('\n');
  expect(text).toMatch(/ms {2}r1\.1: starts/);
  expect(text).toMatch(/ms {2}r\d\.\d+: leading coordinator 0/);
  expect(text).toMatch(/ms {2}client-\d: .* told COMMITTED/);
  expect(text).toMatch(/ms {2}the faults end/);
});

test('random numbers are in their range and spread over it', () => {
  const random = new Random(7);
  const counts = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 10_000; i++) counts[random.below(10)]! += 1;
  for (const count of counts) expect(count).toBeGreaterThan(850);
  expect(new Set(random.sample([1, 2, 3, 4, 5], 5))).toEqual(new Set([1, 2, 3, 4, 5]));
});

test('there are twenty-eight deliberate bugs, each with a name and a sentence of its own', () => {
  expect(BUGS.length).toBe(28);
  expect(new Set(BUGS.map(({ name }) => name)).size).toBe(28);
  expect(new Set(BUGS.map(({ sentence }) => sentence)).size).toBe(28);
});
