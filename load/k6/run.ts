/**
 * `npm run load -- PROFILE [WORKLOAD] [FLAG …]`: k6 against a mesh that runs, `npm start` or a cluster;
 * with --start against a server of its own. Ends with 0 when the limits held and the totals are exact.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { ServerProcess } from '../../deploy/local/server-process.ts';
import { FILE_FLAGS, helpText, readOptions, UsageError, variablesOf, type LoadOptions } from './options.ts';
import { summarize, type Summary } from './summary.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const DEFAULT_ADDRESS = '127.0.0.1:50051';

async function main(args: readonly string[]): Promise<number> {
  let options: LoadOptions | undefined;
  try {
    options = readOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n"npm run load -- --help" tells more.`);
    return 2;
  }
  if (options === undefined) {
    console.log(helpText());
    return 0;
  }
  const tools = await requireGoTools('k6');
  if (tools === undefined) return 1;
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-load-'));
  try {
    if (!options.values.start) return await load(tools.k6, options, String(options.values.address ?? DEFAULT_ADDRESS), folder);
    const server = await ServerProcess.start({ args: ['--port', '0', '--data-dir', join(folder, 'data')], logFile: join(folder, 'server.log') });
    try {
      return await load(tools.k6, options, server.address, folder);
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function load(program: string, options: LoadOptions, address: string, folder: string): Promise<number> {
  const { profile, workload, values, more } = options;
  const exported = join(folder, 'exported.json');
  const startMs = Date.now();
  const exitCode = await runK6(program, [...argumentsOf(options, address, exported), ...more], values.telemetry);
  if (!existsSync(exported)) return exitCode === 0 ? 1 : exitCode;
  const { metrics } = JSON.parse(readFileSync(exported, 'utf8')) as { metrics: Summary['metrics'] };
  const summary = summarize({ profile, workload, address, startMs, endMs: Date.now(), exitCode }, metrics);
  const file = resolve(typeof values.summary === 'string' ? values.summary : join(ROOT, '.cache/load', `${profile}-${workload}.json`));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(summary, undefined, 2)}\n`);
  if (summary.reachedRate !== undefined) console.log(`\nthe load grew to ${summary.reachedRate} operations a second`);
  console.log(`totals: ${summary.totalsExact ? 'exact' : 'NOT EXACT, see the thresholds above'}\nsummary: ${file}`);
  if (summary.passed) return 0;
  return exitCode === 0 ? 1 : exitCode;
}

function argumentsOf({ profile, workload, values, more }: LoadOptions, address: string, exported: string): string[] {
  const variables: Record<string, string> = {
    ...variablesOf({ ...values, ...Object.fromEntries(FILE_FLAGS.flatMap((flag) => (values[flag] === undefined ? [] : [[flag, resolve(String(values[flag]))]]))) }),
    PROFILE: profile,
    WORKLOAD: workload,
    MESH_ADDRESS: address,
    MESH_PROTOSET: join(ROOT, 'services/gen/descriptors.binpb'),
  };
  return [
    'run',
    '--no-usage-report',
    ...(process.stdout.isTTY || more.includes('--quiet') ? [] : ['--quiet']),
    ...['--summary-export', exported],
    ...(values.telemetry === undefined ? [] : ['--out', 'opentelemetry']),
    ...Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    join(import.meta.dirname, 'main.js'),
  ];
}

async function runK6(program: string, args: readonly string[], telemetry: string | boolean | undefined): Promise<number> {
  const environment =
    telemetry === undefined
      ? {}
      : {
          K6_OTEL_EXPORTER_PROTOCOL: 'grpc',
          K6_OTEL_GRPC_EXPORTER_ENDPOINT: String(telemetry),
          K6_OTEL_GRPC_EXPORTER_INSECURE: 'true',
          K6_OTEL_SERVICE_NAME: 'txmesh-load',
          K6_OTEL_METRIC_PREFIX: 'k6_',
          K6_OTEL_FLUSH_INTERVAL: '1s',
          K6_OTEL_EXPORT_INTERVAL: '5s',
        };
  const child = spawn(program, args, { stdio: 'inherit', env: { ...environment, ...process.env } });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

process.exitCode = await main(process.argv.slice(2));
