import { globSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { helpText, readOptions, UsageError, variablesOf, WORKLOADS } from '../../load/k6/options.ts';
import { PROFILES } from '../../load/k6/profiles/all.ts';
import { secondsOf } from '../../load/k6/profiles/profile.ts';
import { summarize, type Run, type Summary } from '../../load/k6/summary.ts';

const scripts = resolve(import.meta.dirname, '../../load/k6');
const namesIn = (folder: string, ending: string): string[] => globSync(`*${ending}`, { cwd: join(scripts, folder) }).map((file) => basename(file, ending));

test('every profile and every workload has a file of its own, and can be asked for', () => {
  expect(namesIn('profiles', '.ts').filter((name) => !['all', 'profile'].includes(name)).toSorted()).toEqual(Object.keys(PROFILES).toSorted());
  expect(namesIn('workloads', '.js').toSorted()).toEqual(Object.keys(WORKLOADS).toSorted());
  for (const profile of Object.keys(PROFILES)) for (const workload of Object.keys(WORKLOADS)) expect(readOptions([profile, workload])).toMatchObject({ profile, workload });
  for (const name of [...Object.keys(PROFILES), ...Object.keys(WORKLOADS)]) expect(helpText()).toContain(name);
});

test.each(Object.entries(PROFILES))('the stages of %s take as long as was asked for, and reach the rate', (_name, { stages, duration }) => {
  expect(stages(200).reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(200);
  expect(Math.max(...stages(200).map(({ share }) => share))).toBe(1);
  expect(secondsOf(duration)).toBeGreaterThan(0);
});

test('flags become variables of the script, and what follows -- goes to k6', () => {
  const options = readOptions(['stress', 'queue', '--rate', '50', '--duration=5m', '--', '--quiet', '--tag', 'a=b'])!;
  expect(variablesOf(options.values)).toEqual({ RATE: '50', DURATION: '5m' });
  expect(options.more).toEqual(['--quiet', '--tag', 'a=b']);
  expect(readOptions(['--help'])).toBeUndefined();
});

describe('a command that is wrong', () => {
  test.each([
    [[], /a profile is missing: one of smoke, average/],
    [['smoky'], /"smoky" is no profile/],
    [['smoke', 'queues'], /"queues" is no workload: one of transactions, queue/],
    [['smoke', 'queue', 'mixed'], /"mixed" is too much/],
    [['smoke', '--rate', '0'], /--rate must be a whole number from 1 to 100000, and not "0"/],
    [['smoke', '--rate', '1.5'], /--rate must be a whole number/],
    [['smoke', '--duration', '20'], /--duration must be a number with a unit, like 20s, 2m or 1h, and not "20"/],
    [['smoke', '--duration', '200h'], /--duration must be at most 168h/],
    [['smoke', '--failed', '2'], /--failed must be a number from 0 to 1/],
    [['smoke', '--bogus'], /--bogus/],
    [['smoke', '--start', '--address', 'a:1'], /--start and --address exclude one another/],
    [['smoke', '--cert', 'a'], /--cert and --key go together/],
    [['smoke', '--cert', 'a', '--key', 'b'], /--cert needs --ca/],
  ])('%j is told so', (args, message) => {
    expect(() => readOptions(args)).toThrow(UsageError);
    expect(() => readOptions(args)).toThrow(message);
  });
});

describe('the summary', () => {
  const run: Run = { profile: 'average', workload: 'queue', address: 'a:1', startMs: 0, endMs: 1000, exitCode: 0 };
  const totals = { audits: { count: 1, thresholds: { 'count==1': false } }, messages_missing: { count: 0, thresholds: { 'count<=0': false } } };
  const latency = { 'operation_duration{operation:publish}': { thresholds: { 'p(95)<1': true } } };

  test('passes where every threshold held', () => {
    expect(summarize(run, totals)).toMatchObject({ passed: true, totalsExact: true, startTime: '1970-01-01T00:00:00.000Z' });
  });

  test('passes not where a limit broke, though the totals are exact', () => {
    expect(summarize({ ...run, exitCode: 99 }, { ...totals, ...latency })).toMatchObject({ passed: false, totalsExact: true });
  });

  test('passes where a search found its limit, and says at which load', () => {
    const metrics = { ...totals, ...latency, offered_rate: { max: 812.4 } };
    expect(summarize({ ...run, profile: 'breakpoint', exitCode: 99 }, metrics)).toMatchObject({ passed: true, reachedRate: 812 });
  });

  test.each([
    ['something is missing', { ...totals, messages_missing: { count: 1, thresholds: { 'count<=0': true } } }],
    ['nobody looked', { ...totals, audits: { count: 0, thresholds: { 'count==1': true } } }],
    ['there is nothing to judge by', {}],
  ] satisfies [string, Summary['metrics']][])('passes never where %s', (_what, metrics) => {
    for (const profile of ['average', 'breakpoint'])
      expect(summarize({ ...run, profile, exitCode: 99 }, metrics)).toMatchObject({ passed: false, totalsExact: false });
  });

  test('passes not where k6 itself failed', () => {
    expect(summarize({ ...run, profile: 'breakpoint', exitCode: 107 }, totals).passed).toBe(false);
  });
});
