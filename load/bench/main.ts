/** `npm run bench`: what transactions, queues and counters do, beside what the machine can do at most. */

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { readFlags } from '../../deploy/local/flags.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { openStore } from '../../services/runtime/store/open.ts';
import { COUNTERS } from './counter/rows.ts';
import { fsyncsPerSecond, streamMessagesPerSecond, writesPerSecond } from './limits.ts';
import { startEcho } from './processes.ts';
import { BACKLOGS } from './queue/backlog.ts';
import { QUEUES } from './queue/rows.ts';
import { header, line, remarks, type Row } from './rows.ts';
import { etcdPath, RETENTION } from './servers.ts';
import { comparePairs } from './transactions/pairs.ts';
import { PLAIN, TRANSACTIONS, WITH_METRICS, WITH_TRACES } from './transactions/rows.ts';
import { soak } from './transactions/soak.ts';
import { nameOf, type Conditions, type Workload } from './workload.ts';

const USAGE = `
npm run bench -- [FLAG …]: measures by client processes of their own over real gRPC, with durable storage

  --only WORKLOAD/STORE/IN_FLIGHT   one row, or all that begin so: transaction/embedded, queue-disk
  --json FILE                       the rows as JSON
  --seconds N                       measured time of each row (default 8)
  --soak N                          N transactions with a short retention, memory and store size over time
  --pairs N                         N pairs of rows without and with traces, in turns, and the medians of their ratios
  --with metrics                    such pairs without and with metrics instead
  --profile FOLDER                  CPU profiles of the servers go there

Rows on etcd need etcd on PATH, or Go to build it.
`;

const options = readFlags(USAGE, {
  only: { type: 'string' },
  json: { type: 'string' },
  seconds: { type: 'string', default: '8' },
  soak: { type: 'string' },
  pairs: { type: 'string' },
  with: { type: 'string', default: 'traces' },
  profile: { type: 'string' },
});

const CONDITIONS: Conditions = {
  warmUpSeconds: 3,
  seconds: Number(options.seconds),
  flags: options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`],
};
const WORKLOADS: readonly Workload[] = [...TRANSACTIONS, ...QUEUES, ...BACKLOGS, ...COUNTERS];

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
        for (const [writers, keys, bytes] of [[1, 1, 200], [64, 1, 200], [4, 100, 200], [2, 1, 256 * 1024]] as const) {
          const { perSecond, p50Ms } = await writesPerSecond(store, writers, keys, bytes, 1.5);
          console.log(`${name} writes of ${keys} × ${bytes} bytes, ${writers} at a time: ${Math.round(perSecond)}/s, median ${p50Ms.toFixed(2)} ms`);
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

/** What the rows of each kind have in common. */
const EXPLANATIONS = [
  `Every row: retention ${RETENTION}, ${CONDITIONS.seconds} s after ${CONDITIONS.warmUpSeconds} s of warm-up. embedded: all services in one process on lmdb.`,
  'etcd: coordinator and each service a process of its own, one etcd with its default flags. 1 partition of each service.',
  'CPU is of servers and client together, without etcd. RSS is of the servers.',
  'transaction: one 100-byte key at each of two participants, under 10,240 keys, no contention.',
  'queue: messages of 1 KiB, published, delivered and acknowledged, by so many producers and as many consumers, 2,048 messages',
  '  under way; tx is a message; p50 to p99.9 from publishing to delivery, publish ms the median until the publish is answered.',
  'queue-backlog: so many messages are published and wait; a kill -9 and a new start; then all are taken. p50 to p99.9 of publishing.',
  'counter: so many adds in flight on one stream to one counter; tx is an add; sharded: 8 shards, 4 partitions, on etcd two replicas.',
];

async function main(): Promise<void> {
  if (options.soak !== undefined) return soak(Number(options.soak));
  if (options.pairs !== undefined) {
    const second = new Map([['traces', WITH_TRACES], ['metrics', WITH_METRICS]]).get(options.with);
    if (second === undefined) throw new Error(`--with ${options.with} must be traces or metrics`);
    return comparePairs(options.with, Number(options.pairs), () => PLAIN.measure(CONDITIONS), () => second.measure(CONDITIONS));
  }
  const wanted = WORKLOADS.filter((each) => options.only === undefined || `${nameOf(each)}/`.startsWith(`${options.only}/`));
  if (wanted.length === 0) throw new Error(`--only ${options.only} names no row; rows are WORKLOAD/STORE/IN_FLIGHT: ${WORKLOADS.map(nameOf).join(', ')}`);
  if (options.json !== undefined) statSync(join(options.json, '..'));
  await limits(new Set(wanted.map(({ store }) => store)));
  console.log(`\n${EXPLANATIONS.join('\n')}\n\n${header()}`);
  const rows: Row[] = [];
  for (const each of wanted) {
    const row = await each.measure(CONDITIONS);
    rows.push(row);
    console.log([line(row), ...remarks(row)].join('\n'));
  }
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
}

await main();
