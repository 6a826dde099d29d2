import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');

/** A small project with the bootstrap, this project's protos and packages, and a main program of the test's own. */
let project: string;

beforeEach(() => {
  project = mkdtempSync(path.join(tmpdir(), 'txmesh-bootstrap-'));
  for (const file of ['deploy/local/bootstrap.cjs', 'package.json', 'package-lock.json', 'buf.yaml', 'buf.gen.yaml', 'proto']) {
    cpSync(path.join(root, file), path.join(project, file), { recursive: true });
  }
  mkdirSync(path.join(project, 'node_modules'));
  mkdirSync(path.join(project, 'services'));
  for (const name of readdirSync(path.join(root, 'node_modules'))) {
    if (name === '.package-lock.json') continue;
    symlinkSync(path.join(root, 'node_modules', name), path.join(project, 'node_modules', name));
  }
  cpSync(path.join(root, 'node_modules/.package-lock.json'), path.join(project, 'node_modules/.package-lock.json'));
  writeProgram('');
});
afterEach(() => rmSync(project, { recursive: true }));

const at = (file: string) => path.join(project, file);
/** What `npm start` runs. */
function writeProgram(source: string): void {
  writeFileSync(at('deploy/local/start.ts'), source);
}

interface Run {
  readonly child: ChildProcess;
  output: string;
  errors: string;
  /** Resolves when the program's output holds the text. */
  saying(text: string): Promise<void>;
  /** Exit code and signal, once the output is closed too. */
  readonly end: Promise<[number | null, NodeJS.Signals | null]>;
}

/** Starts the bootstrap in a process group of its own, as a shell does. */
function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Run {
  const child = spawn(process.execPath, [at('deploy/local/bootstrap.cjs'), ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const run: Run = {
    child,
    output: '',
    errors: '',
    end: once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    async saying(text) {
      while (!run.output.includes(text)) await once(child.stdout!, 'data');
    },
  };
  child.stdout!.on('data', (chunk) => (run.output += chunk));
  child.stderr!.on('data', (chunk) => (run.errors += chunk));
  return run;
}

const timesGenerated = (...runs: Run[]) => runs.map((run) => run.errors.split('generating code').length - 1).reduce((a, b) => a + b);

test('the program gets the arguments, and its exit code is the exit code', async () => {
  writeProgram('console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;');
  const run = start(['start', '--once', 'two words']);
  expect(await run.end).toEqual([7, null]);
  expect(run.output).toBe('["--once","two words"]\n');
});

test('an interrupt that a terminal sends to everybody and npm sends again reaches the program once', async () => {
  writeProgram(`
    let interrupts = 0;
    process.on('SIGINT', () => { if (interrupts++ === 0) console.log('interrupted'); });
    process.on('SIGTERM', () => { console.log('interrupts', interrupts); process.exit(0); });
    setInterval(() => undefined, 1000);
    console.log('ready');
  `);
  const run = start(['start']);
  await run.saying('ready');
  process.kill(-run.child.pid!, 'SIGINT');
  process.kill(run.child.pid!, 'SIGINT');
  await run.saying('interrupted');
  process.kill(run.child.pid!, 'SIGTERM');
  expect(await run.end).toEqual([0, null]);
  expect(run.output).toContain('interrupts 1\n');
});

test('the bootstrap ends by the signal that ended the program', async () => {
  writeProgram("console.log('ready'); setInterval(() => undefined, 1000);");
  const run = start(['start']);
  await run.saying('ready');
  process.kill(run.child.pid!, 'SIGTERM');
  expect(await run.end).toEqual([null, 'SIGTERM']);
});

test('the program ends, with a chance to clean up, when the bootstrap is killed', async () => {
  writeProgram(`
    process.on('SIGTERM', () => { console.log('cleaned up'); process.exit(0); });
    setInterval(() => undefined, 1000);
    console.log('ready');
  `);
  const run = start(['start']);
  await run.saying('ready');
  process.kill(run.child.pid!, 'SIGKILL');
  await run.end;
  expect(run.output).toContain('cleaned up');
});

test('two that start at the same time generate the code once', async () => {
  writeProgram("import { readFileSync } from 'node:fs'; console.log(readFileSync('services/gen/.inputs', 'utf8').length);");
  const runs = [start(['start']), start(['start'])];
  for (const run of runs) {
    expect(await run.end).toEqual([0, null]);
    expect(run.output).toBe('64\n');
  }
  expect(timesGenerated(...runs)).toBe(1);
});

test('a lock whose holder is gone is taken over', async () => {
  const gone = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(gone, 'exit');
  mkdirSync(at('.cache'));
  writeFileSync(at('.cache/bootstrap.lock'), String(gone.pid));
  expect(await start(['start']).end).toEqual([0, null]);
  expect(readdirSync(at('.cache'))).toEqual([]);
});

test('code is generated again when a proto changed, and only then', async () => {
  expect(await start(['start']).end).toEqual([0, null]);
  const unchanged = start(['start']);
  await unchanged.end;
  expect(timesGenerated(unchanged)).toBe(0);

  appendFileSync(at('proto/txmesh/common/v1/common.proto'), '\n// Added by a test.\nmessage Added {}\n');
  const changed = start(['start']);
  await changed.end;
  expect(timesGenerated(changed)).toBe(1);
  expect(readFileSync(at('services/gen/txmesh/common/v1/common.ts'), 'utf8')).toContain('Added');
});

test('a proto that does not compile ends the start with what buf says, and leaves the generated code alone', async () => {
  await start(['start']).end;
  appendFileSync(at('proto/txmesh/common/v1/common.proto'), 'mistake');
  const run = start(['start']);
  expect((await run.end)[0]).not.toBe(0);
  expect(run.errors + run.output).toContain('common.proto');
  expect(existsSync(at('services/gen/txmesh/common/v1/common.ts'))).toBe(true);
});

test('dependencies are installed when the lock file names another version than is there', async () => {
  // Stands in for npm: notes how it was called, and leaves the list that an installation leaves.
  mkdirSync(at('bin'));
  const script = `#!/bin/sh\necho "$@" >> npm-calls\ncp package-lock.json node_modules/.package-lock.json\n`;
  writeFileSync(at('bin/npm'), script, { mode: 0o755 });
  const env = { PATH: `${at('bin')}${path.delimiter}${process.env['PATH']}` };

  expect(await start(['start'], env).end).toEqual([0, null]);
  expect(existsSync(at('npm-calls'))).toBe(false);

  const lock = JSON.parse(readFileSync(at('package-lock.json'), 'utf8'));
  lock.packages['node_modules/pino'].version = '99.0.0';
  writeFileSync(at('package-lock.json'), JSON.stringify(lock));
  expect(await start(['start'], env).end).toEqual([0, null]);
  expect(readFileSync(at('npm-calls'), 'utf8')).toMatch(/^ci /);
});
