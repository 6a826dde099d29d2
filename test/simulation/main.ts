/**
 * `npm run simulate`: deterministic simulation of a mesh under faults.
 *
 *   --seeds N [--start S]   runs N seeds, prints what was run and found, exits 1 on any violation
 *   --seed S                replays one run, with a trace of its events
 *   --profile NAME          only seeds with this mix of faults and work
 *   --shape NAME            only seeds with these participants: "keys" or "all kinds"
 *   --bug NAME              with a deliberate bug switched on
 *   --list-bugs             names them
 */

import { parseArgs } from 'node:util';
import { BUGS, type Bug } from './bugs.ts';
import { runSeeds, type Seeds } from './pool.ts';
import { PROFILES } from './profiles.ts';
import { SHAPES } from './world/cluster.ts';
import { run, type Result } from './world/world.ts';

/** Violations that are shown of one run; the first one usually explains the others. */
const SHOWN = 3;
const LONGEST = 600;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      start: { type: 'string', default: '1' },
      seed: { type: 'string' },
      profile: { type: 'string' },
      shape: { type: 'string' },
      bug: { type: 'string' },
      workers: { type: 'string' },
      'stop-at-first': { type: 'boolean', default: false },
      counts: { type: 'boolean', default: false },
      'list-bugs': { type: 'boolean', default: false },
    },
  });
  if (values['list-bugs']) {
    for (const { name, sentence, seeds, profile } of BUGS) console.log(`${name.padEnd(24)} ${sentence} (within ${seeds} seeds${profile === undefined ? '' : ` of "${profile}"`})`);
    return 0;
  }
  if (values.profile !== undefined && !PROFILES.some(({ name }) => name === values.profile)) {
    return usage(`there is no profile "${values.profile}", but ${PROFILES.map(({ name }) => `"${name}"`).join(', ')}`);
  }
  const shape = SHAPES.find((one) => one === values.shape);
  if (values.shape !== undefined && shape === undefined) return usage(`there is no shape "${values.shape}", but ${SHAPES.map((one) => `"${one}"`).join(', ')}`);
  const bug = values.bug === undefined ? undefined : BUGS.find(({ name }) => name === values.bug);
  if (values.bug !== undefined && bug === undefined) return usage(`there is no bug "${values.bug}"; --list-bugs names them`);
  if (values.seed !== undefined) {
    const seed = wholeNumber(values.seed);
    return seed === undefined ? usage('--seed takes a whole number') : replay(seed, bug);
  }
  const [count, start] = [wholeNumber(values.seeds ?? '100'), wholeNumber(values.start)];
  if (!count || start === undefined) return usage('--seeds and --start take whole numbers, --seeds at least 1');
  const workers = values.workers === undefined ? undefined : wholeNumber(values.workers);
  return sweep({ start, count, profile: values.profile, shape, workers, stopAtFirst: values['stop-at-first'] }, bug, values.counts);
}

async function replay(seed: number, bug: Bug | undefined): Promise<number> {
  const result = await run({ seed, switches: bug?.switches ?? {}, traced: true });
  console.log(result.trace.join('\n'));
  console.log(`\nseed ${seed} (${result.profile}): ${result.events} events, ${result.violations.length} violations`);
  return result.violations.length > 0 ? 1 : 0;
}

async function sweep(seedsToRun: Seeds, bug: Bug | undefined, counts: boolean): Promise<number> {
  const begunMs = performance.now();
  const summary = await runSeeds({
    ...seedsToRun,
    switches: bug?.switches,
    onResult: (result) => {
      if (result.violations.length > 0) describe(result, bug);
    },
  });
  const seconds = ((performance.now() - begunMs) / 1000).toFixed(1);
  if (counts) {
    for (const what of Object.keys(summary.counts).sort()) console.log(`${String(summary.counts[what]).padStart(9)}  ${what}`);
  }
  const { seeds, events, failed } = summary;
  console.log(`${seeds} seeds run, ${events} events, ${failed.length} seeds with violations, ${seconds} s`);
  return failed.length > 0 ? 1 : 0;
}

function describe({ seed, profile, violations }: Result, bug: Bug | undefined): void {
  console.log(`seed ${seed} (${profile}): ${violations.length} violations`);
  for (const violation of violations.slice(0, SHOWN)) console.log(`  ${violation.slice(0, LONGEST)}`);
  console.log(`  replay: npm run simulate -- --seed ${seed}${bug === undefined ? '' : ` --bug ${bug.name}`}`);
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function usage(problem: string): number {
  console.error(`${problem}\nusage: npm run simulate -- --seeds N [--start S] | --seed S [--bug NAME] | --list-bugs`);
  return 2;
}

process.exitCode = await main();
