/**
 * A rolling update from the previous release under load: replica by replica, both versions of every service
 * serving side by side, and one of each taken back meanwhile, as docs/compatibility.md promises. In the end
 * every order is whole, none that was placed is lost, and nothing is in doubt. Prints the longest time without
 * an order.
 */

import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { connect } from 'txmesh/client';
import { LocalCluster, type Role } from '../../deploy/local/cluster.ts';
import { unfinished } from './support/in-doubt.ts';
import { Orders, ordersOf } from './support/orders.ts';
import { previousRelease, requireHistory } from './support/previous-release.ts';
import { folder } from './support/processes.ts';
import { until } from './support/until.ts';

const BOUND_MS = 60_000;
/** Every service by itself, as the manifests deploy them. Who holds what goes before who decides. */
const ROLES = ['participant', 'queue', 'counter', 'coordinator'] as const;
/** Long: who drains gives up what it has led, and four that start at once may be slow. */
const LEASE = '10s';
const WORKERS = 4;
/** Orders that are placed between two steps. */
const BETWEEN = 50;

/** The longest time without a placed order between two moments, by Date.now(). */
function longestGapMs({ placed }: Orders, fromMs: number, toMs: number): number {
  const times = [fromMs, ...[...placed.values()].filter((atMs) => atMs >= fromMs && atMs <= toMs).sort((a, b) => a - b), toMs];
  return Math.max(...times.slice(1).map((atMs, i) => atMs - times[i]!));
}

/** Waits for all, also when one fails, so that what they start is known and can be ended. */
async function together(acts: readonly Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(acts);
  await Promise.all(acts);
}

test('replicas of the previous release are replaced one by one under load, and back, and nothing is lost or in doubt', async (context) => {
  const old = await previousRelease();
  const cluster = await LocalCluster.start({ replicas: 2, roles: ROLES, lease: LEASE, members: 1, main: old });
  if (cluster === undefined) return context.skip('etcd is not there and could not be built');
  onTestFinished(() => cluster.stop());
  const mesh = connect({ addresses: cluster.addresses, timeoutMs: BOUND_MS });
  onTestFinished(() => mesh.close());
  const orders = new Orders(mesh);
  await orders.open();
  orders.run(WORKERS);
  await orders.goOn(BETWEEN);

  /** As a StatefulSet does: the old one drains and ends, and one of the other version takes its place. */
  const replace = async (name: string, role: Role, main: string | undefined): Promise<string> => {
    expect(await cluster.replicas.get(name)!.stop(), `${name} drains`).toBe(0);
    return cluster.add(role, main);
  };
  const step = async <T>(what: string, act: () => Promise<T>): Promise<T> => {
    const fromMs = Date.now();
    const result = await act();
    await orders.goOn(BETWEEN);
    console.log(`${what.padEnd(44)} longest time without an order ${longestGapMs(orders, fromMs, Date.now())} ms, all in ${Date.now() - fromMs} ms`);
    return result;
  };
  const first = (role: Role): string => [...cluster.replicas].find(([name, { running }]) => running && name.startsWith(role))![0];

  // One after the other, so that each service meets the others in both versions.
  const updated = new Map<Role, string>();
  for (const role of ROLES) updated.set(role, await step(`a ${role} to this version`, () => replace(first(role), role, undefined)));
  // All services at once, as the manifests are applied; of each one replica at a time. First it goes back.
  await step('one of each back to the previous one', () => together([...updated].map(([role, name]) => replace(name, role, old))));
  for (let i = 1; i <= 2; i++) await step(`number ${i} of each to this version`, () => together(ROLES.map((role) => replace(first(role), role, undefined))));
  await orders.stop();

  let left: string[] = [];
  const address = cluster.addresses[0]!;
  await until('everything is finished', BOUND_MS, async () => (left = await unfinished(mesh, address, undefined, ['queue', 'counter'])).length === 0, () => left);
  const { violations, placed, refused } = orders;
  const found = await ordersOf(mesh, violations);
  for (const id of placed.keys()) if (!found.has(id)) violations.push(`the order ${id} was placed, and is lost`);
  for (const id of found) if (!placed.has(id)) violations.push(`the order ${id} is there, and was told not to be placed`);
  console.log(`${placed.size} orders placed; refused, and not placed: ${[...refused].map(([reason, count]) => `${reason} ${count}`).join(', ') || 'none'}`);
  expect(violations).toEqual([]);
}, 10 * BOUND_MS);

test('without the history that the previous release is taken out of the update fails, and says what to do', async () => {
  const bare = folder();
  await expect(requireHistory(bare)).rejects.toThrow(/no git history .* test in a git clone/);
  const git = (...args: string[]) => execFileSync('git', args, { cwd: bare, stdio: 'ignore' });
  git('init', 'empty');
  await expect(requireHistory(join(bare, 'empty'))).rejects.toThrow(/lacks the previous release.* fetch the branch/);
  git('clone', '--no-checkout', '--depth', '1', `file://${resolve(import.meta.dirname, '../..')}`, 'shallow');
  await expect(requireHistory(join(bare, 'shallow'))).rejects.toThrow(/lacks the previous release.*shallow; "git fetch --unshallow"/);
});
