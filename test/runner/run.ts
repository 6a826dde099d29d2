/**
 * `npm test`: the suites one after the other, the time of each, and at the end one line
 * `N passed, N failed`. With `--full` in front, as `npm run test:full` has it, tests that can do more do all
 * of it (FULL_TESTS: variables that begin with TXMESH_ are settings, and servers refuse one that they don't know).
 *
 * A test that can't run here is skipped by `context.skip(reason)` and told at the end; with CI=true
 * it counts as failed, since a machine that guards the project must be able to run all of it.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { answerHelp } from '../../deploy/local/flags.ts';
import { CHECKS } from './checks.ts';
import type { Report } from './reporter.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** Tests start hundreds of processes: Node keeps what it has compiled, for one run, so that it does not pile up. */
const COMPILE_CACHE = path.join(ROOT, '.cache', 'compiled');
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Suite {
  readonly name: string;
  /** Its tests; a suite that has none yet is left out. */
  readonly tests: string;
  readonly run: (args: readonly string[]) => Promise<Report>;
}

/** In the order in which they run: what fails fast comes first. */
const SUITES: readonly Suite[] = [
  { name: 'check', tests: 'test/rules/**/*.test.ts', run: check },
  { name: 'unit', tests: 'services/**/*.test.ts', run: (args) => vitest('unit', args) },
  ...['simulation', 'package', 'deploy', 'integration', 'load', 'readme'].map((name) => ({
    name,
    tests: `test/${name}/**/*.test.ts`,
    run: (args: readonly string[]) => vitest(name, args),
  })),
];

const USAGE = `
npm test -- [SUITE …]               all suites, or these: ${SUITES.map(({ name }) => name).join(', ')}
npm test -- SUITE ARGUMENT …        hands what follows one suite's name to vitest: files that match, -t and a name
npm run test:full -- [SUITE …]      the same with the long runs
npm run check                       the suite check
`;

async function main([first, ...others]: readonly string[]): Promise<number> {
  const isFull = first === '--full';
  if (isFull) process.env['FULL_TESTS'] = 'true';
  const args = isFull || first === undefined ? others : [first, ...others];
  const split = args.findIndex((argument) => !SUITES.some((suite) => suite.name === argument));
  const selected = split === -1 ? args : args.slice(0, split);
  const rest = split === -1 ? [] : args.slice(split);
  if (rest.length > 0 && selected.length !== 1) {
    const names = SUITES.map((suite) => suite.name).join(', ');
    console.error(`"${rest[0]}" is no suite. Suites: ${names}. Arguments for vitest follow the name of one suite.`);
    return 2;
  }

  rmSync(COMPILE_CACHE, { recursive: true, force: true });
  const results: { name: string; seconds: number; report: Report }[] = [];
  for (const { name, tests, run } of SUITES) {
    if (selected.length > 0 && !selected.includes(name)) continue;
    if (selected.length === 0 && globSync(tests, { cwd: ROOT }).length === 0) continue;
    heading(name);
    const started = performance.now();
    const report = refuseEmptiness(name, await run(rest));
    const seconds = (performance.now() - started) / 1000;
    results.push({ name, seconds, report });
    console.log(`\n${name} took ${seconds.toFixed(1)} s: ${summary(report)}`);
  }
  return conclude(results);
}

/** A suite that ran nothing proves nothing. */
function refuseEmptiness(name: string, report: Report): Report {
  if (report.passed + report.failed.length + report.skipped.length > 0) return report;
  return { ...report, failed: [`${name}: no test ran, and a suite without tests proves nothing`] };
}

function conclude(results: readonly { name: string; seconds: number; report: Report }[]): number {
  heading('summary');
  for (const { name, seconds, report } of results) {
    console.log(`${name.padEnd(12)} ${seconds.toFixed(1).padStart(7)} s   ${summary(report)}`);
  }
  const failed = results.flatMap(({ report }) => report.failed);
  for (const name of failed) console.log(`\n*** FAILED: ${name}`);
  const skipped = results.flatMap(({ report }) => report.skipped);
  const strict = process.env['CI'] === 'true';
  for (const { name, reason } of skipped) {
    console.log(`\n*** SKIPPED${strict ? ', WHICH FAILS WITH CI=true' : ''}: ${name}\n*** because ${reason}`);
  }
  const passed = results.reduce((sum, { report }) => sum + report.passed, 0);
  const all = strict ? { failed: [...failed, ...skipped.map(({ name }) => name)], skipped: [] } : { failed, skipped };
  console.log(`\n${summary({ passed, ...all })}`);
  return all.failed.length === 0 && passed > 0 ? 0 : 1;
}

function summary({ passed, failed, skipped }: Report): string {
  return `${passed} passed, ${failed.length} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`;
}

const heading = (text: string) => console.log(`\n--- ${text} ${'-'.repeat(Math.max(3, 74 - text.length))}\n`);

/** The checks that are not tests count as one each; then the tests of the rules. */
async function check(args: readonly string[]): Promise<Report> {
  let passed = 0;
  const failed: string[] = [];
  for (const [name, [program, ...programArgs]] of Object.entries(CHECKS)) {
    const ok = (await run(path.join(ROOT, 'node_modules/.bin', program), programArgs)) === 0;
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name}`);
    if (ok) passed++;
    else failed.push(`check: ${name}`);
  }
  const tests = await vitest('rules', args);
  return { passed: passed + tests.passed, failed: [...failed, ...tests.failed], skipped: tests.skipped };
}

/** Runs one project of vitest.config.ts. A run that ends badly has failed, whatever it reported. */
async function vitest(project: string, args: readonly string[]): Promise<Report> {
  const folder = mkdtempSync(path.join(tmpdir(), 'txmesh-test-'));
  const file = path.join(folder, 'report.json');
  try {
    const reporters = ['--reporter=default', `--reporter=${path.join(ROOT, 'test/runner/reporter.ts')}`];
    const script = path.join(ROOT, 'node_modules/vitest/vitest.mjs');
    const command = [script, 'run', '--project', project, '--passWithNoTests', ...reporters, ...args];
    const code = await run(process.execPath, command, { TEST_REPORT_FILE: file });
    const report: Report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { passed: 0, failed: [], skipped: [] };
    return code === 0 || report.failed.length > 0 ? report : { ...report, failed: [`${project}: vitest ended with ${code}`] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs a program to its end; a signal to this process ends it, and then this process too. */
function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit', env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env, ...env } });
  let interrupted: NodeJS.Signals | undefined;
  const interrupt = (signal: NodeJS.Signals) => {
    interrupted = signal;
    child.kill('SIGTERM');
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => {
      for (const signal of SIGNALS) process.off(signal, interrupt);
      if (interrupted) process.kill(process.pid, interrupted);
      else resolve(code ?? 1);
    });
  });
}

answerHelp(USAGE);
process.exitCode = await main(process.argv.slice(2));
