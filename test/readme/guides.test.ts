/**
 * The commands of docs/settings.md, docs/queues.md and docs/counters.md are run as they stand, in order, each
 * page against servers of its own, and their output is held against what the page shows.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { ServerProcess } from '../../deploy/local/server-process.ts';
import { connect } from '../../services/client/index.ts';
import { readSettings } from '../../services/settings/read.ts';
import { parsed, startServer, startsServer } from '../support/guide-server.ts';
import { meet, outputOf, steps, substitute } from '../support/readme-commands.ts';

const page = (name: string): string => readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');

/** The commands of the page's sh blocks: shown, and not run as they stand. */
const shown = (name: string): string[] =>
  Array.from(page(name).matchAll(/```sh\n([\s\S]*?)```/g), ([, block]) => block!.trim().split('\n')).flat();

let folder = '';
let path: string | undefined;

beforeAll(async () => {
  const tools = await requireGoTools('grpcurl');
  folder = mkdtempSync(join(tmpdir(), 'txmesh-guides-'));
  if (tools === undefined) return;
  // The one that was built has its version in its name.
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  if (isAbsolute(tools.grpcurl)) symlinkSync(tools.grpcurl, join(bin, 'grpcurl'));
  path = [bin, dirname(process.execPath), process.env['PATH']].join(delimiter);
}, 180_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([['settings'], ['queues'], ['counters']])('docs/%s.md shows commands that work as shown, in this order', async (name) => {
  const own = join(folder, name);
  const known = new Map<string, string>();
  const all = steps(page(name));
  expect(all.length).toBeGreaterThan(5);
  let server: ServerProcess | string | undefined;
  const stop = async (): Promise<void> => {
    if (server instanceof ServerProcess) await server.stop();
    server = undefined;
  };
  try {
    if (name !== 'settings') server = await startServer('npm run txmesh', own);
    for (const { command, expected } of all) {
      let output: string;
      if (startsServer(command)) {
        await stop();
        server = await startServer(command, own);
        const refusal = typeof server === 'string' ? server : '';
        expect(typeof server === 'string', `${command}\nsaid ${refusal}`).toBe(expected.length > 0);
        output = refusal;
      } else {
        if (!(server instanceof ServerProcess)) throw new Error(`${command}\ncomes without a server: ${server}`);
        if (path === undefined) continue;
        const { stdout, stderr } = await outputOf(substitute(command, known, server.address), path, expected.includes('ERROR:'));
        output = `${stdout}\n${stderr}`;
      }
      const lines = output.split('\n').map((line) => line.trim());
      for (const line of expected) expect(meet(line, lines, known), `${command}\nwas to print ${line}\nbut printed\n${output}`).toBe(true);
    }
  } finally {
    await stop();
  }
}, 420_000);

describe('servers that the pages show and this test does not start as they stand', () => {
  test('have settings that fit together', async () => {
    const commands = [...shown('settings'), ...shown('counters')];
    expect(commands).toHaveLength(4);
    for (const command of commands) {
      expect(command).toMatch(/^txmesh --/);
      const { args, environment } = await parsed(command.replace(/^txmesh/, 'npm run txmesh --'));
      expect(readSettings(args, environment).type).toBe('settings');
    }
  });

  test('count together, as docs/counters.md says, where each is named to the other', async () => {
    const ports = await freePorts(2);
    const own = shown('counters').map((command) => command.replaceAll('50051', String(ports[0])).replaceAll('50061', String(ports[1])));
    const servers: ServerProcess[] = [];
    try {
      for (const command of own) {
        const { args } = await parsed(command.replace(/^txmesh/, 'npm run txmesh --'));
        const placed = args.map((arg, i) => (args[i - 1] === '--data-dir' ? join(folder, arg) : arg));
        servers.push(await ServerProcess.start({ args: placed, logFile: join(folder, 'clusters.log') }));
      }
      await using east = connect(servers[0]!.address);
      await using west = connect(servers[1]!.address);
      for (const mesh of [east, west]) await mesh.counter('visitors').create({ kind: 'REPLICATED' });
      await east.counter('visitors').add(2);
      await west.counter('visitors').add(3);
      await vi.waitUntil(
        async () => (await east.counter('visitors').get()).value === 5n && (await west.counter('visitors').get()).value === 5n,
        { timeout: 60_000, interval: 100 },
      );
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  });
});

/** Ports that nobody listens on: each server must know the other's before it starts. */
async function freePorts(count: number): Promise<number[]> {
  const listeners = await Promise.all(
    Array.from({ length: count }, async () => {
      const listener = createServer();
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
      return listener;
    }),
  );
  const ports = listeners.map((listener) => (listener.address() as AddressInfo).port);
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  return ports;
}
