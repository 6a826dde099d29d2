import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const examples = globSync('docs/examples/*.ts', { cwd: root }).map((file) => path.basename(file)).sort();
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };

/** Holds the packed package, and `user/`, a project of somebody else that has installed it. */
let folder: string;
let packed: readonly string[];

/** Nothing of how this test was started may reach the installed package. */
const cleanEnv = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS|VITEST|TXMESH_)/.test(name)));

function run(program: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', env: cleanEnv() });
  if (error) throw error;
  expect(status, `${program} ${args.join(' ')}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

beforeAll(() => {
  folder = mkdtempSync(path.join(realpathSync(tmpdir()), 'txmesh-package-'));
  const output = run('npm', ['pack', '--json', '--silent', '--pack-destination', folder], root);
  const [report] = Object.values(JSON.parse(output)) as { filename: string; files: { path: string }[] }[];
  packed = report!.files.map((file) => file.path);

  const user = path.join(folder, 'user');
  mkdirSync(user);
  writeFileSync(path.join(user, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', path.join(folder, report!.filename)], user);
});
afterAll(() => rmSync(folder, { recursive: true }));

test('the package holds the files that expected-files.txt names, and no others', () => {
  const patterns = readFileSync(path.join(import.meta.dirname, 'expected-files.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [place, ...endings] = line.split(' ') as [string, ...string[]];
      const matches = (file: string) =>
        place.endsWith('/') ? file.startsWith(place) && endings.some((ending) => file.endsWith(ending)) : file === place;
      return { line, matches };
    });
  expect(packed.filter((file) => !patterns.some(({ matches }) => matches(file)))).toEqual([]);
  expect(patterns.filter(({ matches }) => !packed.some(matches)).map(({ line }) => line)).toEqual([]);
  expect(packed.filter((file) => /\.test\.|\/testing\//.test(file))).toEqual([]);
});

test('the installed program tells the version of the package', () => {
  expect(run(path.join(folder, 'user/node_modules/.bin/txmesh'), ['--version'], folder).trim()).toContain(manifest.version);
});

describe('in a project that has installed the package', () => {
  let user: string;
  let mesh: Program;
  let address: string;

  beforeAll(async () => {
    user = path.join(folder, 'user');
    for (const file of examples) cpSync(path.join(root, 'docs/examples', file), path.join(user, file));
    writeFileSync(path.join(user, 'readme.ts'), readmeProgram());
    writeFileSync(path.join(user, 'consumer.ts'), consumerProgram());
    // What a user who writes for Node has installed: Node's types as they are today.
    const types = path.join(user, 'node_modules/@types/node');
    mkdirSync(path.dirname(types), { recursive: true });
    rmSync(types, { recursive: true, force: true });
    symlinkSync(path.join(root, 'node_modules/@types/node'), types);

    mesh = new Program(path.join(user, 'node_modules/.bin/txmesh'), ['--port', '0', '--data-dir', path.join(folder, 'data')], folder);
    const [, found] = await mesh.saying(/"address":"([^"]+)".*"message":"serving"/);
    address = found!;
  });
  afterAll(() => mesh.stop());

  test('the examples, the programs of the README and docs/sdk.md, and the conformance suite type-check, with strict settings of their own', () => {
    const compilerOptions = {
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable'],
      module: 'nodenext',
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: ['node'],
      skipLibCheck: false,
    };
    writeFileSync(path.join(user, 'suite.ts'), SUITE);
    const files = [...examples, 'readme.ts', 'consumer.ts', 'suite.ts'];
    writeFileSync(path.join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    const { stdout } = spawnSync(path.join(root, 'node_modules/.bin/tsc'), ['--project', user], { cwd: user, encoding: 'utf8' });
    // Declarations of other packages are not ours to judge; ours and the examples are.
    const ours = stdout.split('\n').filter((line) => /error TS/.test(line) && (!line.includes('node_modules/') || line.includes('node_modules/txmesh/')));
    expect(ours).toEqual([]);
  });

  test('transfer.ts moves money through the installed server, and watch.ts shows it', () => {
    const node = (...args: string[]): string => run(process.execPath, args, user);
    expect(node('transfer.ts', address, 'alice', 'bob', '10')).toBe('moved 10 from alice to bob: alice has 90, bob has 110\n');
    expect(node('transfer.ts', address, 'bob', 'alice', '30')).toBe('moved 30 from bob to alice: bob has 80, alice has 120\n');
    expect(node('watch.ts', address, '2')).toMatch(/^(\S+ \S+ COMMIT\w+\n){2}$/);
  });

  test('orders.ts bills every order exactly once, also when it is run again', () => {
    for (const count of [30, 60]) {
      const output = run(process.execPath, ['orders.ts', address, String(count)], user);
      expect(output).toBe(`${count} orders, ${count} invoices, sales of ${2 * count}\n`);
    }
  });

  test('the program in README.md runs', () => {
    const program = path.join(user, 'readme.ts');
    writeFileSync(program, readFileSync(program, 'utf8').replace('127.0.0.1:50051', address));
    run(process.execPath, [program], user);
    expect(run(process.execPath, ['transfer.ts', address, 'alice', 'bob', '1'], user)).toContain('alice has 79,');
  });

  test('sqlite-participant.ts takes part in transactions of the installed server', async () => {
    const loyalty = new Program(process.execPath, ['sqlite-participant.ts', address, '127.0.0.1:0', 'loyalty.db'], user);
    try {
      await loyalty.saying(/loyalty serves at/);
      writeFileSync(path.join(user, 'award.ts'), AWARD);
      expect(run(process.execPath, ['award.ts', address], user)).toBe('true\nalice does not have 13 points\n');
    } finally {
      expect(await loyalty.stop()).toBe(0);
    }
    const points = "console.log((await import('./sqlite-participant.ts')).openLoyalty('loyalty.db').points('alice'))";
    expect(run(process.execPath, ['--input-type=module', '--eval', points], user)).toBe('12\n');
  });
});

/** The TypeScript that README.md shows. */
function readmeProgram(): string {
  const [, program] = /```ts\n([\s\S]*?)```/.exec(readFileSync(path.join(root, 'README.md'), 'utf8'))!;
  return program!;
}

/** The whole consumer that docs/sdk.md shows. */
function consumerProgram(): string {
  const [, program] = /\nA whole consumer[^\n]*\n\n```ts\n([\s\S]*?)```/.exec(readFileSync(path.join(root, 'docs/sdk.md'), 'utf8'))!;
  return program!;
}

const SUITE = `
  import { conformanceTests, startConformanceMesh } from 'txmesh/participant/conformance';
  await using mesh = await startConformanceMesh();
  const operations = () => [{ typeUrl: 'a/b', value: new Uint8Array() }];
  for (const { name, run } of conformanceTests({ address: 'a:1', participant: 'a', clusterId: mesh.clusterId, operations })) console.log(name, run);
`;

const AWARD = `
  import { connect, json, put, type Operation } from 'txmesh/client';
  import { AWARD_TYPE } from './sqlite-participant.ts';
  await using mesh = connect(process.argv[2]!);
  const award = (points: number): Operation => ({
    participant: 'loyalty',
    routingKey: 'alice',
    operation: { typeUrl: AWARD_TYPE, value: new TextEncoder().encode(JSON.stringify({ customer: 'alice', points })) },
  });
  const sold = put('payments', 'sales', 'one', json({ of: 'alice' }));
  console.log((await mesh.execute({ operations: [award(12), sold] })).committed);
  const outcome = await mesh.execute({ operations: [award(-13), sold] });
  console.log(outcome.committed ? 'committed' : outcome.cause.message);
`;

/** A program that runs until it is stopped. */
class Program {
  private readonly child: ChildProcess;
  private output = '';

  constructor(program: string, args: readonly string[], cwd: string) {
    this.child = spawn(program, args, { cwd, env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on('data', (chunk) => (this.output += chunk));
  }

  async saying(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output);
      if (match !== null) return match;
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}: ${this.output}`);
      await Promise.race([once(this.child.stdout!, 'data'), once(this.child.stderr!, 'data'), once(this.child, 'exit')]);
    }
  }

  /** Resolves with the exit code. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.kill('SIGTERM')) await once(this.child, 'exit');
    return this.child.exitCode;
  }
}
