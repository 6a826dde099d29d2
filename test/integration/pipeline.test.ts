/**
 * Orders through two queues, with handlers in transactions over keys, messages and counters, on real
 * processes and a real etcd, while replicas and consumers are killed and paused: in the end there are
 * exactly as many results as orders, in order, and the counters are exact. 10,000 orders; 100,000 in
 * `npm run test:full`. Prints throughput and gaps.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Mesh } from 'txmesh/client';
import { LocalCluster, type Role } from '../../deploy/local/cluster.ts';
import { unfinished } from './support/in-doubt.ts';
import { Pipeline } from './support/pipeline/pipeline.ts';
import { Worker } from './support/pipeline/workers.ts';
import { until } from './support/until.ts';

const IS_FULL = process.env['FULL_TESTS'] === 'true';
const ORDERS = IS_FULL ? 100_000 : 10_000;
/** Most that the whole may take; bounded, not timed: what the machine gives is printed. */
const BOUND_MS = IS_FULL ? 60 * 60_000 : 10 * 60_000;
const LEASE_MS = 2_000;
const WORKERS = 2;
const NO_ETCD = 'etcd is not there and could not be built';

let cluster: LocalCluster | undefined;
let mesh: Mesh;
let pipeline: Pipeline;
let workers: Worker[] = [];
/** What handlers and their transactions failed with; every message of these came again. */
const errors = new Map<string, number>();

beforeAll(async () => {
  cluster = await LocalCluster.start({ replicas: 2, lease: `${LEASE_MS}ms`, members: 1 });
  if (cluster === undefined) return;
  mesh = connect({ addresses: cluster.addresses, timeoutMs: 60_000 });
  pipeline = new Pipeline(mesh, ORDERS);
  await pipeline.open();
  workers = await Promise.all(Array.from({ length: WORKERS }, () => Worker.start(cluster!.addresses, errors)));
});

afterAll(async () => {
  pipeline?.close();
  await Promise.all(workers.map((worker) => worker.stop()));
  mesh?.close();
  await cluster?.stop();
});

interface Fault {
  readonly name: string;
  strike(): Promise<void>;
  /** When orders are being settled again. */
  heal(): Promise<void>;
}

/** The first replica of a role that runs. */
function replicaOf(role: Role) {
  return [...cluster!.replicas].find(([name, { running }]) => name.startsWith(role) && running)![1];
}

const kill = (role: Role): Fault => ({
  name: `kill -9 of a ${role}`,
  strike: () => replicaOf(role).kill(),
  heal: async () => void (await cluster!.add(role)),
});

function pause(role: Role): Fault {
  let victim: ReturnType<typeof replicaOf>;
  return {
    name: `a ${role} that is paused beyond its lease`,
    strike: async () => (victim = replicaOf(role)).pause(),
    heal: async () => victim.resume(),
  };
}

const FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of a consumer',
    strike: () => workers.shift()!.kill(),
    heal: async () => void workers.push(await Worker.start(cluster!.addresses, errors)),
  },
  kill('participant'),
  {
    name: 'a consumer that is paused beyond its messages’ deadlines',
    strike: async () => workers[0]!.pause(),
    heal: async () => workers[0]!.resume(),
  },
  pause('participant'),
  kill('coordinator'),
  pause('coordinator'),
];

/** Of the orders of one part, so many are settled before the fault strikes, and before it is healed. */
const STRIKE_AT = 0.3;
const HEAL_AT = 0.8;
const PART = ORDERS / (FAULTS.length + 1);

describe(`${ORDERS.toLocaleString('en-US')} orders go through two queues exactly once`, () => {
  test(
    'while replicas and consumers are killed and paused',
    async (context) => {
      if (cluster === undefined) return context.skip(NO_ETCD);
      const startMs = performance.now();
      const lines: string[] = [];
      let publishing = Promise.resolve();
      let due = 0;
      const settledUpTo = (orders: number) =>
        Promise.race([
          until(`${orders} orders are settled`, BOUND_MS, () => pipeline.settled >= orders, () => `${pipeline.settled} are; given back: ${describeErrors()}`),
          // It never ends the race by success, and ends it at once by failure.
          publishing.then(() => new Promise<never>(() => undefined)),
        ]);
      const settled = (share: number) => settledUpTo(Math.floor((lines.length + share) * PART));
      const publishUpTo = (orders: number): void => {
        const count = orders - due;
        due = orders;
        publishing = publishing.then(() => pipeline.publish(count));
        publishing.catch(() => undefined); // It is thrown where it is waited for what is settled.
      };
      for (const { name, strike, heal } of FAULTS) {
        publishUpTo(Math.floor((lines.length + 1) * PART));
        await settled(STRIKE_AT);
        const struckMs = performance.now();
        await strike();
        await settled(HEAL_AT);
        const gapMs = pipeline.longestGapMs(struckMs, performance.now());
        lines.push(`${name.padEnd(56)} longest gap ${Math.round(gapMs)} ms`);
        console.log(lines.at(-1));
        await heal();
      }
      publishUpTo(ORDERS);
      await settledUpTo(ORDERS);
      const endMs = performance.now();
      console.log(
        [
          `${ORDERS} orders in ${((endMs - startMs) / 1000).toFixed(1)} s, ${Math.round((ORDERS * 1000) / (endMs - startMs))}/s, two transactions each; faults included`,
          ...lines.map((line) => `  ${line}`),
          `  given back and handled again: ${describeErrors()}`,
        ].join('\n'),
      );
    },
    BOUND_MS,
  );

  test('and there are as many results as orders, in order, exact counters, and nothing in doubt', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const codes = await Promise.all(workers.map((worker) => worker.stop()));
    expect(codes).toEqual(Array.from({ length: WORKERS }, () => 0));
    let left: string[] = [];
    await until('everything is finished', 60_000, async () => (left = await unfinished(mesh, cluster!.addresses[0]!, undefined, ['queue', 'counter'])).length === 0, () => left);
    expect(await pipeline.check()).toEqual([]);
  });
});

function describeErrors(): string {
  return [...errors].map(([words, count]) => `${count} × ${words}`).join('; ') || 'nothing';
}
