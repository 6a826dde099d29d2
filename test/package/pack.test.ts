import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
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

describe.runIf(examples.length > 0)('in a project that has installed the package', () => {
  let mesh: ChildProcess | undefined;
  let address: string;

  beforeAll(async () => {
    const user = path.join(folder, 'user');
    for (const file of examples) cpSync(path.join(root, 'docs/examples', file), path.join(user, file));
    // What a user who writes for Node has installed: Node's types as they are today.
    const types = path.join(user, 'node_modules/@types/node');
    mkdirSync(path.dirname(types), { recursive: true });
    rmSync(types, { recursive: true, force: true });
    symlinkSync(path.join(root, 'node_modules/@types/node'), types);

    const port = await freePort();
    address = `127.0.0.1:${port}`;
    mesh = spawn(path.join(user, 'node_modules/.bin/txmesh'), ['--port', String(port), '--data-dir', path.join(folder, 'data')], {
      stdio: 'ignore',
      env: cleanEnv(),
    });
    await listening(port, mesh);
  });
  afterAll(async () => {
    if (mesh === undefined || mesh.exitCode !== null || mesh.signalCode !== null) return;
    mesh.kill('SIGTERM');
    await once(mesh, 'exit');
  });

  test('the examples type-check, with strict settings of their own', () => {
    const user = path.join(folder, 'user');
    const compilerOptions = {
      target: 'es2024',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: ['node'],
      skipLibCheck: false,
    };
    writeFileSync(path.join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: examples }));
    const { stdout } = spawnSync(path.join(root, 'node_modules/.bin/tsc'), ['--project', user], { cwd: user, encoding: 'utf8' });
    // Declarations of other packages are not ours to judge; ours and the examples are.
    const ours = stdout.split('\n').filter((line) => /error TS/.test(line) && (!line.includes('node_modules/') || line.includes('node_modules/txmesh/')));
    expect(ours).toEqual([]);
  });

  test.each(examples)('%s runs to its end', (file) => {
    const user = path.join(folder, 'user');
    const env = { ...cleanEnv(), TXMESH_ADDRESS: address };
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: user, encoding: 'utf8', env, timeout: 60_000 });
    expect(status, stdout + stderr).toBe(0);
  });
});

/** A port that nobody listens on at the moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Resolves when something accepts connections on the port; rejects when the process has ended first. */
async function listening(port: number, owner: ChildProcess): Promise<void> {
  while (owner.exitCode === null && owner.signalCode === null) {
    const socket = connect(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(() => true, () => false);
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`txmesh ended (${owner.exitCode ?? owner.signalCode}) before it served`);
}
