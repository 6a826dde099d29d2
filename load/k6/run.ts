/**
 * `npm run load -- SCENARIO [--address host:port] [--rate N] [--duration 1m] [--start]`: k6 against a
 * mesh that runs, `npm start` or a cluster; with --start against a server of its own. Ends with 0 when
 * the thresholds on latency, failures and correctness hold. The summary goes to .cache/load.
 * With --ca, --cert and --key, files in PEM, it speaks TLS. What follows `--` goes to k6.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { ServerProcess } from '../../deploy/local/server-process.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SCENARIOS = join(import.meta.dirname, 'scenarios');
const known = readdirSync(SCENARIOS).map((file) => file.replace('.js', ''));

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    address: { type: 'string', default: '127.0.0.1:50051' },
    rate: { type: 'string' },
    duration: { type: 'string' },
    start: { type: 'boolean', default: false },
    ca: { type: 'string' },
    cert: { type: 'string' },
    key: { type: 'string' },
  },
});

async function main([scenario = '', ...more]: readonly string[]): Promise<number> {
  if (!known.includes(scenario)) {
    console.error(`${scenario || 'No scenario'} given; known are ${known.join(', ')}.`);
    return 2;
  }
  const tools = await requireGoTools('k6');
  if (tools === undefined) return 1;
  if (!options.start) return k6(tools.k6, scenario, options.address, more);
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-load-'));
  const server = await ServerProcess.start({ args: ['--port', '0', '--data-dir', join(folder, 'data')], logFile: join(folder, 'server.log') });
  try {
    return await k6(tools.k6, scenario, server.address, more);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

async function k6(program: string, scenario: string, address: string, more: readonly string[]): Promise<number> {
  const results = join(ROOT, '.cache/load');
  mkdirSync(results, { recursive: true });
  const summary = join(results, `${scenario}.json`);
  const given = {
    MESH_ADDRESS: address,
    MESH_PROTOSET: join(ROOT, 'services/gen/descriptors.binpb'),
    RATE: options.rate,
    DURATION: options.duration,
    MESH_CA: options.ca && resolve(options.ca),
    MESH_CERT: options.cert && resolve(options.cert),
    MESH_KEY: options.key && resolve(options.key),
  };
  const settings = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : ['--env', `${name}=${value}`]));
  const args = ['run', '--no-usage-report', '--summary-export', summary, ...settings, ...more, join(SCENARIOS, `${scenario}.js`)];
  const child = spawn(program, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const [code] = (await once(child, 'exit')) as [number | null];
  if (existsSync(summary)) console.log(`summary: ${summary}`);
  return code ?? 1;
}

process.exitCode = await main(positionals);
