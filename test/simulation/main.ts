/** `npm run simulate`: deterministic simulation of a mesh under faults. */

import { endWrong, readFlags } from '../../deploy/local/flags.ts';
import { BUGS, type Bug } from './bugs.ts';
import { runSeeds, type Seeds } from './pool.ts';
import { PROFILES } from './profiles.ts';
import { SHAPES } from './world/cluster.ts';
import { run, type Result } from './world/world.ts';

const USAGE = `
npm run simulate -- [FLAG …]: the real protocol under crashes, lost messages, pauses and clock jumps, from seeds that replay

  --seeds N         runs N seeds (default 100), prints what was run and found, ends with 1 on any violation
  --start S         the first of them, default 1
  --seed S          replays one run, with a trace of its events
  --profile NAME    only seeds with this mix of faults and work
  --shape NAME      only seeds with these participants: "keys" or "all kinds"
  --bug NAME        with a deliberate bug switched on
  --list-bugs       names them
  --workers N       processes to share the seeds out to; default: one for each core
  --stop-at-first   ends at the first seed with a violation
  --counts          tells how often what happened in all runs
`;

/** Violations that are shown of one run; the first one usually explains the others. */
const SHOWN = 3;
const LONGEST = 600;

async function main(): Promise<number> {
  const values = readFlags(USAGE, {
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
  });
  if (values['list-bugs']) {
    for (const { name, sentence, seeds, profile } of BUGS) console.log(`${name.padEnd(24)} ${sentence} (within ${seeds} seeds${profile === undefined ? '' : ` of "${profile}"`})`);
    return 0;
  }
  if (values.profile !== undefined && !PROFILES.some(({ name }) => name === values.profile)) {
    return endWrong(`there is no profile "${values.profile}", but ${PROFILES.map(({ name }) => `"${name}"`).join(', ')}`, USAGE);
  }
  const shape = SHAPES.find((one) => one === values.shape);
  if (values.shape !== undefined && shape === undefined) return endWrong(`there is no shape "${values.shape}", but ${SHAPES.map((one) => `"${one}"`).join(', ')}`, USAGE);
  const bug = values.bug === undefined ? undefined : BUGS.find(({ name }) => name === values.bug);
  if (values.bug !== undefined && bug === undefined) return endWrong(`there is no bug "${values.bug}"; --list-bugs names them`, USAGE);
  if (values.seed !== undefined) {
    const seed = wholeNumber(values.seed);
    return seed === undefined ? endWrong('--seed takes a whole number', USAGE) : replay(seed, bug);
  }
  const [count, start] = [wholeNumber(values.seeds ?? '100'), wholeNumber(values.start)];
  if (!count || start === undefined) return endWrong('--seeds and --start take whole numbers, --seeds at least 1', USAGE);
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

process.exitCode = await main();
