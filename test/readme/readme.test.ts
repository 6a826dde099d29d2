/**
 * Every command of README.md is run as it stands, in order, against a fresh server, and its output is
 * held against the output that README.md shows, as test/support/readme-commands.ts says.
 */

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { ServerProcess } from '../../deploy/local/server-process.ts';
import { meet, outputOf, README, steps, substitute } from '../support/readme-commands.ts';

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../..');

const all = steps(README);
const grpc = all.filter(({ command }) => command.startsWith('grpcurl'));
const rest = all.filter(({ command }) => !command.startsWith('grpcurl'));

/** What the README has a reader run next: its program, then the examples, in a checkout, on the data of two tours. */
async function tryPrograms(data: string, folder: string): Promise<void> {
  const server = await ServerProcess.start({ args: ['--port', '0', '--data-dir', data], logFile: join(folder, 'toured.log') });
  try {
    const { address } = server;
    const [, program] = /```ts\n([\s\S]*?)```/.exec(README)!;
    const evaluate = ['--conditions=txmesh-source', '--input-type=module-typescript', '--eval', program!.replace('127.0.0.1:50051', address)];
    await run(process.execPath, evaluate, { cwd: ROOT, timeout: 60_000 });
    const example = async (name: string, ...args: string[]): Promise<string> => {
      const { stdout } = await run(process.execPath, [join(ROOT, 'deploy/local/bootstrap.cjs'), 'example', name, address, ...args], { timeout: 60_000 });
      return stdout;
    };
    // Of 200, two orders of the tours took 40 each, and the README's program another 40.
    expect(await example('transfer', 'alice', 'bob', '10')).toBe('moved 10 from alice to bob: alice has 70, bob has 110\n');
    expect(await example('orders', '5')).toBe('5 orders, 5 invoices, sales of 9\n');
    expect(await example('watch', '2')).toMatch(/^(\S+ \S+ (COMMIT|ABORT)\w+.*\n){2}$/);
  } finally {
    await server.stop();
  }
}

describe('README.md', () => {
  let folder = '';
  let server: ServerProcess | undefined;
  let path: string | undefined;

  beforeAll(async () => {
    const tools = await requireGoTools('grpcurl');
    folder = mkdtempSync(join(tmpdir(), 'txmesh-readme-'));
    if (tools !== undefined) {
      // The one that was built has its version in its name.
      const bin = join(folder, 'bin');
      mkdirSync(bin);
      if (isAbsolute(tools.grpcurl)) symlinkSync(tools.grpcurl, join(bin, 'grpcurl'));
      path = `${bin}${delimiter}${process.env['PATH']}`;
    }
    const args = ['--port', '0', '--data-dir', join(folder, 'data')];
    server = await ServerProcess.start({ args, logFile: join(folder, 'server.log') });
  }, 180_000);

  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('shows at least one command of each kind', () => {
    expect(grpc.length).toBeGreaterThan(10);
    expect(rest.map(({ command }) => command)).toContain('npm start');
  });

  it('shows grpcurl commands that work as shown, in this order', async (context) => {
    if (path === undefined) return context.skip('grpcurl is not there and could not be built');
    const known = new Map<string, string>();
    for (const { command, expected } of grpc) {
      const real = substitute(command, known, server!.address);
      const { stdout, stderr } = await outputOf(real, path, expected.includes('ERROR:'));
      const output = `${stdout}\n${stderr}`.split('\n').map((line) => line.trim());
      for (const shown of expected)
        expect(meet(shown, output, known), `${real}\nwas to print ${shown}\nbut printed\n${stdout}${stderr}`).toBe(true);
    }
  }, 120_000);

  it('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { scripts: Record<string, string> };
    for (const [, name] of README.matchAll(/npm run ([a-z:]+)/g)) expect(Object.keys(scripts)).toContain(name);
  });

  it('takes the tour with npm start -- --once, twice, and finds the first data the second time; its program and the examples go on from there', async () => {
    const args = ['--conditions=txmesh-source', join(ROOT, 'deploy/local/start.ts'), '--once', '--port', '0', '--data-dir', join(folder, 'tour')];
    const first = await run(process.execPath, args, { timeout: 120_000 });
    expect(first.stdout).toMatch(/1\. An order: .*\n +committed .*\n +counter +teapots +10 → 9\n/);
    expect(first.stdout).toMatch(/2\. An order of more than there is\n +aborted .*\n.*at most 9 .*\n( +\w.* \(unchanged\)\n){4}/);
    expect(first.stdout).toMatch(/kill -9 .*of the consumer and of the server.*\n +committed .*\n.*orders to ship +1 → 0\n.*shipments +0 → 1\n.*shipped +0 → 1\n/);
    const second = await run(process.execPath, args, { timeout: 120_000 });
    expect(second.stdout).toContain('The data of earlier starts is here: 1 order.');
    await tryPrograms(join(folder, 'tour'), folder);
  }, 400_000);
});
