/**
 * `npm run bench`: transactions that write one key at each of two participants, by a client process of
 * its own over real gRPC, with durable storage; beside what the machine can do at most.
 *
 *   --only WORKLOAD/STORE/IN_FLIGHT   one row, or all that begin so: transaction/embedded
 *   --json FILE                       the rows as JSON
 *   --seconds N                       measured time of each row (default 8)
 *   --soak N                          N transactions with a short retention, memory and store size over time
 *   --pairs N                     N pairs of rows without and with traces, in turns, and the medians of their ratios
 *   --profile FOLDER                  CPU profiles of the servers go there
 */

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { openStore } from '../../services/runtime/store/open.ts';
import { fsyncsPerSecond, streamMessagesPerSecond, writesPerSecond } from './limits.ts';
import { BenchServer, load, startEcho } from './processes.ts';
import { header, line, type Row } from './rows.ts';
import { comparePairs } from './pairs.ts';
import { soak } from './soak.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    json: { type: 'string' },
    seconds: { type: 'string', default: '8' },
    soak: { type: 'string' },
    pairs: { type: 'string' },
    profile: { type: 'string' },
  },
});

const IN_FLIGHT = [1, 16, 64, 256, 1024];
const SECONDS = Number(options.seconds);
const WARM_UP_SECONDS = 3;
const RETENTION = '30s';
const flags = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];

interface Setting {
  readonly workload: string;
  readonly store: 'embedded' | 'etcd';
  readonly inFlight: number;
  readonly environment: Record<string, string>;
}

/** Sampling at 1 %, exported to nobody: the cost of the traces themselves. */
const TRACED = {
  OTEL_TRACES_EXPORTER: 'otlp',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
  OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
  OTEL_TRACES_SAMPLER_ARG: '0.01',
};

const settings: Setting[] = [
  ...(['embedded', 'etcd'] as const).flatMap((store) =>
    IN_FLIGHT.map((inFlight) => ({ workload: 'transaction', store, inFlight, environment: {} })),
  ),
  { workload: 'transaction-traced', store: 'embedded', inFlight: 64, environment: TRACED },
];

const PLAIN = settings.find(({ workload, store, inFlight }) => workload === 'transaction' && store === 'embedded' && inFlight === 64)!;
const WITH_TRACES = settings.at(-1)!;

/** Measures one row with servers and a store of its own. */
async function measure(setting: Setting): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-bench-'));
  const etcd = setting.store === 'etcd' ? await startEtcd({ etcd: await etcdPath() }) : undefined;
  const servers: BenchServer[] = [];
  try {
    const common = ['--retention', RETENTION, '--partitions', '1'];
    const start = (args: readonly string[]) => BenchServer.start([...common, ...args], setting.environment, flags);
    if (etcd === undefined) servers.push(await start(['--data-dir', folder]));
    else {
      const at = ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(',')];
      servers.push(await start([...at, '--participants', '']));
      servers.push(await start([...at, '--coordinator', 'false', '--participants', 'inventory']));
      servers.push(await start([...at, '--coordinator', 'false', '--participants', 'payments']));
    }
    const usage = async () => {
      const all = await Promise.all(servers.map((server) => server.usage()));
      const sum = (pick: (u: (typeof all)[number]) => number): number => all.reduce((total, u) => total + pick(u), 0);
      return { writes: sum((u) => u.writes), cpuSeconds: sum((u) => u.cpuSeconds), rssMiB: sum((u) => u.rssMiB) };
    };
    let before = await usage();
    const report = await load(
      { address: servers[0]!.address, inFlight: setting.inFlight, warmUpSeconds: WARM_UP_SECONDS, seconds: SECONDS },
      async () => void (before = await usage()),
      setting.environment,
    );
    const after = await usage();
    if (report.aborted > 0) throw new Error(`${report.aborted} transactions were aborted`);
    return {
      workload: setting.workload,
      store: setting.store,
      inFlight: setting.inFlight,
      perSecond: report.committed / report.seconds,
      p50Ms: report.p50Ms,
      p99Ms: report.p99Ms,
      p999Ms: report.p999Ms,
      storeWritesPerTransaction: (after.writes - before.writes) / report.committed,
      cpuMsPerTransaction: ((after.cpuSeconds - before.cpuSeconds + report.cpuSeconds) * 1000) / report.committed,
      rssMiB: after.rssMiB,
    };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await etcd?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function etcdPath(): Promise<string> {
  const tools = await requireGoTools('etcd');
  if (tools === undefined) throw new Error('the bench on etcd needs etcd on PATH, or Go to build it; --only transaction/embedded runs without');
  return tools.etcd;
}

/** Prints what the machine can do, with the median of one durable write alone for each store. */
async function limits(stores: ReadonlySet<string>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-bench-'));
  try {
    console.log(`machine: ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`);
    console.log(`fdatasync: ${Math.round(await fsyncsPerSecond(folder, 1))}/s, one at a time`);
    const echo = await startEcho();
    console.log(`raw stream messages of 200 bytes, 64 to a frame, there and back: ${Math.round(await streamMessagesPerSecond(echo.port, 2))}/s`);
    echo.stop();
    for (const name of ['embedded', 'etcd'] as const) {
      if (!stores.has(name)) continue;
      const etcd = name === 'etcd' ? await startEtcd({ etcd: await etcdPath() }) : undefined;
      const store = await openStore({ store: name, clock: systemClock, dataDir: join(folder, 'lmdb'), ...(etcd && { etcdEndpoints: etcd.endpoints }) });
      try {
        for (const [writers, keys] of [[1, 1], [64, 1], [4, 100]] as const) {
          const { perSecond, p50Ms } = await writesPerSecond(store, writers, keys, 1.5);
          console.log(`${name} writes of ${keys} × 200 bytes, ${writers} at a time: ${Math.round(perSecond)}/s, median ${p50Ms.toFixed(2)} ms`);
        }
      } finally {
        await store.close();
        await etcd?.stop();
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  if (options.soak !== undefined) return soak(Number(options.soak));
  if (options.pairs !== undefined) return comparePairs(Number(options.pairs), () => measure(PLAIN), () => measure(WITH_TRACES));
  const wanted = settings.filter(({ workload, store, inFlight }) => {
    const name = `${workload}/${store}/${inFlight}`;
    return options.only === undefined || name === options.only || name.startsWith(`${options.only}/`);
  });
  if (wanted.length === 0) throw new Error(`--only ${options.only} names no row; rows are WORKLOAD/STORE/IN_FLIGHT, like transaction/embedded/64`);
  if (options.json !== undefined) statSync(join(options.json, '..'));
  await limits(new Set(wanted.map(({ store }) => store)));
  console.log(
    `\nEvery row: 1 partition of each service, retention ${RETENTION}, ${SECONDS} s after ${WARM_UP_SECONDS} s of warm-up, 100-byte values under 10,240 keys, no contention.\n` +
      'embedded: all services in one process on lmdb. etcd: coordinator and each participant a process of its own,\n' +
      'one etcd with its default flags. CPU is of servers and client together, without etcd. RSS is of the servers.\n',
  );
  console.log(header());
  const rows: Row[] = [];
  for (const setting of wanted) {
    rows.push(await measure(setting));
    console.log(line(rows.at(-1)!));
  }
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
}

await main();
