/**
 * Real processes under real faults: three etcd members, two replicas of each service, and money that
 * is moved between two participants while they are killed and paused. After each fault transfers must be
 * back at half of their former rate within BACK_WITHIN_MS; the test prints how long it took.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Mesh } from 'txmesh/client';
import { LocalCluster, type Role } from '../../deploy/local/cluster.ts';
import type { EtcdMember } from '../../deploy/local/etcd.ts';
import { Bank } from './support/bank.ts';
import { unfinished } from './support/in-doubt.ts';
import { until } from './support/until.ts';

const LEASE_MS = 2_000;
/** The stated time: the lease, etcd's own delay in ending it, the campaign, and the clients' retries. */
const BACK_WITHIN_MS = 10_000;
const WORKERS = 8;
/** Over so long the rate is looked at. */
const WINDOW_MS = 1_000;
const STEADY_MS = 1_500;

interface Recovery {
  readonly fault: string;
  readonly backMs: number;
  readonly longestGapMs: number;
}

let cluster: LocalCluster | undefined;
let mesh: Mesh;
let bank: Bank;
const recoveries: Recovery[] = [];

beforeAll(async () => {
  cluster = await LocalCluster.start({ replicas: 2, lease: `${LEASE_MS}ms` });
  if (cluster === undefined) return;
  mesh = connect({ addresses: cluster.addresses, timeoutMs: 20_000 });
  bank = new Bank(mesh);
  await bank.open();
  bank.run(WORKERS);
});

afterAll(async () => {
  await bank?.stop();
  mesh?.close();
  await cluster?.stop();
});

/** What is repaired shows at once. Until then the transfers have just been seen to recover. */
function heal(repair: string, blow: () => void | Promise<void>): Promise<void> {
  return recover(repair, blow, bank.rate(performance.now() - WINDOW_MS), WINDOW_MS);
}

async function strike(fault: string, blow: () => void | Promise<void>): Promise<void> {
  const steadyMs = performance.now();
  const before = await until('transfers run', BACK_WITHIN_MS, async () => {
    await pause(STEADY_MS);
    return bank.rate(Math.max(steadyMs, performance.now() - STEADY_MS)) || undefined;
  });
  await recover(fault, blow, before, LEASE_MS + 2 * WINDOW_MS);
}

/** Strikes, waits until the transfers are back at half of their rate of before, and notes how long that took. */
async function recover(fault: string, blow: () => void | Promise<void>, before: number, showsAfterMs: number): Promise<void> {
  const startMs = performance.now();
  await blow();
  const backMs = await recovered(startMs, before / 2, showsAfterMs);
  const recovery = { fault, backMs, longestGapMs: bank.longestGapMs(startMs, performance.now()) };
  recoveries.push(recovery);
  console.log(
    `${fault}: back at ${Math.round(before / 2)}/s after ${Math.round(backMs)} ms; longest gap in acknowledged transfers ${Math.round(recovery.longestGapMs)} ms`,
  );
  expect(bank.violations).toEqual([]);
  expect(backMs, `${fault}: time until transfers were back`).toBeLessThan(BACK_WITHIN_MS);
}

/** Milliseconds until the start of a second in which the rate was reached, after the fault has shown. */
async function recovered(startMs: number, rate: number, showsAfterMs: number): Promise<number> {
  return until('transfers are back', 60_000, () => {
    const nowMs = performance.now();
    // A fault may show only when leases end, so what is seen before is not recovery.
    if (nowMs - startMs < showsAfterMs || bank.rate(nowMs - WINDOW_MS) < rate) return undefined;
    let backMs = nowMs - WINDOW_MS;
    while (backMs > startMs && bank.rate(backMs - WINDOW_MS / 2, backMs) >= rate / 2) backMs -= WINDOW_MS / 4;
    return Math.max(1, backMs - startMs);
  });
}

async function etcdMember(part: 'leader' | 'follower'): Promise<EtcdMember> {
  return until(`there is an etcd ${part}`, BACK_WITHIN_MS, async () => {
    for (const member of cluster!.etcd.members) if ((await member.isLeader()) === (part === 'leader')) return member;
    return undefined;
  });
}

/** The first replica of a role that runs. */
function replicaOf(role: Role): string {
  return [...cluster!.replicas].find(([name, { running }]) => name.startsWith(role) && running)![0];
}

describe('a bank whose accounts lie at two participants keeps its money and its receipts', () => {
  for (const role of ['coordinator', 'participant'] as const) {
    test(`while a ${role} replica is killed and replaced`, async (context) => {
      if (cluster === undefined) return context.skip('etcd is not there and could not be built');
      const victim = replicaOf(role);
      await strike(`kill -9 of a ${role}`, () => cluster!.replicas.get(victim)!.kill());
      await heal(`a new ${role} takes its share`, async () => void (await cluster!.add(role)));
    });

    test(`while a ${role} replica is paused beyond its lease, and when it goes on`, async (context) => {
      if (cluster === undefined) return context.skip('etcd is not there and could not be built');
      const victim = cluster.replicas.get(replicaOf(role))!;
      await strike(`a ${role} that is paused`, () => victim.pause());
      await heal(`the ${role} goes on, not knowing that it was paused`, () => victim.resume());
      expect(victim.running).toBe(true);
    });
  }

  for (const part of ['leader', 'follower'] as const) {
    test(`while an etcd ${part} is killed and started again`, async (context) => {
      if (cluster === undefined) return context.skip('etcd is not there and could not be built');
      const member = await etcdMember(part);
      await strike(`kill -9 of an etcd ${part}`, () => member.kill());
      await heal('the etcd member starts again', () => member.start());
      await until('the etcd member is healthy again', BACK_WITHIN_MS, () => member.isHealthy());
    });

    test(`while an etcd ${part} is paused, and when it goes on`, async (context) => {
      if (cluster === undefined) return context.skip('etcd is not there and could not be built');
      const member = await etcdMember(part);
      await strike(`an etcd ${part} that is paused`, () => member.pause());
      await heal('the etcd member goes on', () => member.resume());
      await until('the etcd member is healthy again', BACK_WITHIN_MS, () => member.isHealthy());
    });
  }

  test('and nothing stays in doubt', async (context) => {
    if (cluster === undefined) return context.skip('etcd is not there and could not be built');
    await bank.stop();
    let left: string[] = [];
    await until('everything is finished', 30_000, async () => (left = await unfinished(mesh, cluster!.addresses[0]!)).length === 0, () => left);
    await bank.check();
    const { acknowledged, refused, unknown, audits, errors } = bank;
    console.log(
      [
        `${acknowledged.size} transfers acknowledged, ${refused.size} refused (${[...errors].map(([reason, n]) => `${reason} ${n}`).join(', ')}),`,
        `${unknown} of unknown outcome, all settled; ${audits} audits meanwhile`,
        ...recoveries.map((r) => `  ${r.fault.padEnd(48)} back after ${Math.round(r.backMs)} ms, longest gap ${Math.round(r.longestGapMs)} ms`),
      ].join('\n'),
    );
    expect(bank.violations).toEqual([]);
    expect(acknowledged.size).toBeGreaterThan(100);
    expect(audits).toBeGreaterThan(10);
  });
});
