import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { conformanceTests, startConformanceMesh, type ConformanceMesh } from './conformance.ts';

const example = path.resolve(import.meta.dirname, '../../docs/examples/sqlite-participant.ts');
const AWARD_TYPE = 'type.googleapis.com/loyalty.Award';

let mesh: ConformanceMesh;
let folder: string;
let child: ChildProcess;
let address = '127.0.0.1:0';
const options = {
  participant: 'loyalty',
  operations: (number: number) => [{ typeUrl: AWARD_TYPE, value: Buffer.from(JSON.stringify({ customer: `customer ${number}`, points: 1 })) }],
  effects(number: number) {
    using db = new DatabaseSync(path.join(folder, 'loyalty.db'));
    const row = db.prepare('SELECT points FROM account WHERE customer = ?').get(`customer ${number}`);
    return Number(row?.['points'] ?? 0);
  },
  async restart() {
    child.kill('SIGKILL');
    await once(child, 'exit');
    await start();
  },
};

/** Starts the example as a process of its own; resolves when it is registered. */
async function start(): Promise<void> {
  child = spawn(process.execPath, ['--conditions=txmesh-source', example, mesh.address, address, path.join(folder, 'loyalty.db')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout!, 'data')) as [Buffer];
  address = /serves at (\S+)/.exec(line.toString())![1]!;
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'txmesh-loyalty-'));
  mesh = await startConformanceMesh();
  await start();
});
afterAll(async () => {
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  await mesh[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
  expect(code).toBe(0);
});

// The names are known before the participant runs; its address and cluster only then.
const tests = conformanceTests({ ...options, address, clusterId: '' });
let bound: typeof tests | undefined;
test.each(tests.map(({ name }, index) => [name, index] as const))('the SQLite example: %s', async (_, index) => {
  bound ??= conformanceTests({ ...options, address, clusterId: mesh.clusterId });
  await bound[index]!.run();
});

test('the suite sees a participant that breaks a rule', async () => {
  const broken = conformanceTests({ ...options, address, clusterId: mesh.clusterId, effects: () => 7, epoch: Date.now() });
  await expect(broken[0]!.run()).rejects.toThrow(/taken effect 0 times, not 7/);
  const foreign = conformanceTests({ ...options, address, clusterId: 'another', epoch: Date.now() });
  await expect(foreign[0]!.run()).rejects.toThrow(/votes yes, not FAILED_PRECONDITION/);
});
