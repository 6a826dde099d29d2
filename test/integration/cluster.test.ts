/** A cluster of real processes on loopback: the command that brings one up, who leads what, who answers what. */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { connect, json, put, type Mesh } from 'txmesh/client';
import { LocalCluster } from '../../deploy/local/cluster.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { Bank } from './support/bank.ts';
import { unfinished } from './support/in-doubt.ts';
import { leadersOf } from './support/leaders.ts';
import { until } from './support/until.ts';

const NO_ETCD = 'etcd is not there and could not be built';
const PARTITIONS = 4;
/** From the moment a replica is asked to stop until what it led is led elsewhere. */
const HANDED_OVER_WITHIN_MS = 3_000;
const SERVICES = ['coordinator', 'inventory', 'payments'] as const;

describe('npm run cluster', () => {
  test('starts, lists, adds, kills and quits by what is typed', async (context) => {
    if ((await requireGoTools('etcd')) === undefined) return context.skip(NO_ETCD);
    const bootstrap = fileURLToPath(new URL('../../deploy/local/bootstrap.cjs', import.meta.url));
    const child = spawn(process.execPath, [bootstrap, 'cluster'], { stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    onTestFinished(async () => {
      child.kill('SIGTERM');
      await exited;
    });
    /** Types a line; resolves with what is said until the pattern is met. */
    const type = async (line: string, answer: RegExp): Promise<RegExpExecArray> => {
      const from = output.length;
      if (line !== '') child.stdin.write(`${line}\n`);
      return until(`"${line}" is answered by ${answer}`, 60_000, () => answer.exec(output.slice(from)) ?? undefined, () => output);
    };
    await until('it has started', 60_000, () => output.includes('type: list'), () => output);
    for (const name of ['etcd-1', 'etcd-2', 'etcd-3', 'coordinator-1', 'participant-2', 'coordinator-3', 'participant-4']) expect(output).toContain(name);
    const [, added, address] = await type('add participant', /(participant-5) serves at (\S+)/);
    const mesh = connect(address!);
    onTestFinished(() => mesh.close());
    await mesh.keyValue('inventory').collection('c').put('k', 'v');
    const pids = [...(await type('list', /participant-5 +\S+ +pid \d+ +log \S+\n/)).input!.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid));
    await type('kill coordinator-1', /coordinator-1: kill, done/);
    await type('list', /coordinator-1 +ended/);
    await type(`stop ${added!}`, /participant-5: stop, done/);
    await type('dance', /there is no such name; type: list/);
    expect((await mesh.keyValue('inventory').collection('c').get('k'))?.text()).toBe('v');
    mesh.close();
    child.stdin.write('quit\n');
    expect(await exited).toBe(0);
    for (const pid of pids) expect(() => process.kill(pid, 0), `process ${pid} is gone`).toThrow('ESRCH');
  }, 120_000);
});

describe('a cluster', () => {
  let cluster: LocalCluster | undefined;
  let mesh: Mesh;

  beforeAll(async () => {
    cluster = await LocalCluster.start({ replicas: 2, lease: '3s' });
    if (cluster === undefined) return;
    mesh = connect({ addresses: cluster.addresses });
    await until('partitions are shared out', 10_000, async () => isShared(await leaders(), 2));
  });
  afterAll(async () => {
    mesh?.close();
    await cluster?.stop();
  });

  const names = (role: string): string[] => [...cluster!.replicas].filter(([name, { running }]) => running && name.startsWith(role)).map(([name]) => name);

  const leaders = (address = cluster!.addresses[0]!): Promise<Map<string, string[]>> => leadersOf(address);

  /** Whether every partition is led, and each service's by so many replicas, none with more than its share. */
  function isShared(map: Map<string, string[]>, replicas: number, services: readonly string[] = SERVICES): boolean {
    return services.every((service) => {
      const addresses = map.get(service) ?? [];
      const counts = [...new Set(addresses)].map((address) => addresses.filter((each) => each === address).length);
      return addresses.length === PARTITIONS && !addresses.includes('') && counts.length === replicas && Math.max(...counts) <= Math.ceil(PARTITIONS / replicas);
    });
  }

  test('spreads the partitions of each service over its replicas, and every replica tells the same', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const maps = await Promise.all(cluster.addresses.map((address) => leaders(address)));
    for (const map of maps) expect(isShared(map, 2)).toBe(true);
    for (const map of maps) expect(map).toEqual(maps[0]);
  });

  test('any replica answers any call, also for a service that it does not run', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    for (const [name, { address }] of cluster.replicas) {
      // What a client without a map does: everything goes to this one address.
      await using one = connect({ addresses: [address] });
      Reflect.set(Reflect.get(one, 'rpc').map, 'route', () => address);
      for (let i = 0; i < 2 * PARTITIONS; i++) {
        const key = `${name}/${i}`;
        const outcome = await one.execute({ operations: [put('inventory', 'any', key, json(i)), put('payments', 'any', key, json(i))] });
        expect(outcome.committed).toBe(true);
        expect((await one.keyValue('inventory').collection('any').get(key))?.json()).toBe(i);
        expect((await one.get(outcome.transactionId)).state).toMatch(/COMMITT/);
        await using tx = await one.begin();
        await tx.put('payments', 'any', key, 'changed');
        await tx.commit();
      }
      const keys: string[] = [];
      for await (const entry of one.keyValue('payments').collection('any').scan({ prefix: `${name}/` })) keys.push(entry.key);
      expect(keys).toHaveLength(2 * PARTITIONS);
      expect((await one.keyValue('payments').collection('any').batchGet(keys)).every((entry) => entry?.text() === 'changed')).toBe(true);
      expect(await unfinishedSoon(one, address)).toEqual([]);
    }
  });

  async function unfinishedSoon(one: Mesh, address: string): Promise<string[]> {
    let left: string[] = [];
    await until('everything is finished', 10_000, async () => (left = await unfinished(one, address)).length === 0, () => left);
    return left;
  }

  test('a replica that joins takes its share, one that leaves gives its share up at once, and transfers go on', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const bank = new Bank(mesh);
    await bank.open();
    bank.run(4);
    onTestFinished(() => bank.stop());
    const rows: string[] = [];
    const step = async (what: string, services: readonly string[], replicas: number, act: () => Promise<unknown>): Promise<number> => {
      await until('transfers run', 10_000, () => bank.rate(performance.now() - 1_000) > 0);
      const startMs = performance.now();
      const acting = act();
      await until(what, 15_000, async () => isShared(await leaders(addressThatStays), replicas, services));
      const tookMs = performance.now() - startMs;
      await acting;
      await until('transfers go on', 10_000, () => bank.rate(performance.now() - 500) > 0);
      rows.push(`  ${what.padEnd(40)} new leaders after ${Math.round(tookMs)} ms, longest gap in transfers ${Math.round(bank.longestGapMs(startMs, performance.now()))} ms`);
      return tookMs;
    };
    const addressThatStays = cluster.replicas.get(names('coordinator')[0]!)!.address;
    await step('a participant joins', ['inventory', 'payments'], 3, () => cluster!.add('participant'));
    const leaving = cluster.replicas.get(names('participant')[0]!)!;
    const participantMs = await step('a participant leaves', ['inventory', 'payments'], 2, async () => expect(await leaving.stop()).toBe(0));
    await step('a coordinator joins', ['coordinator'], 3, () => cluster!.add('coordinator'));
    const other = cluster.replicas.get(names('coordinator')[1]!)!;
    const coordinatorMs = await step('a coordinator leaves', ['coordinator'], 2, async () => expect(await other.stop()).toBe(0));
    await bank.stop();
    await unfinishedSoon(mesh, addressThatStays);
    await bank.check();
    console.log(`${bank.acknowledged.size} transfers, ${bank.unknown} of unknown outcome, all settled\n${rows.join('\n')}`);
    expect(bank.violations).toEqual([]);
    expect(participantMs).toBeLessThan(HANDED_OVER_WITHIN_MS);
    expect(coordinatorMs).toBeLessThan(HANDED_OVER_WITHIN_MS);
  });

  test('scaling down with branches in doubt loses nothing (WildFly operator #61, #100)', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const [first] = names('coordinator');
    const stays = cluster.replicas.get(first!)!;
    const accounts = Array.from({ length: 16 }, (_, i) => `scaled/${i}`);
    // All replicas but one of each service leave while transactions are between their phases.
    const executing = accounts.map((key) => mesh.execute({ operations: [put('inventory', 'down', key, 'in'), put('payments', 'down', key, 'in')] }));
    const leaving = [...names('coordinator').slice(1), ...names('participant').slice(1)].map((name) => cluster!.replicas.get(name)!.stop());
    expect(new Set(await Promise.all(leaving))).toEqual(new Set([0]));
    for (const outcome of await Promise.all(executing)) expect(outcome.committed).toBe(true);
    expect(await unfinishedSoon(mesh, stays.address)).toEqual([]);
    for (const participant of ['inventory', 'payments'])
      expect((await mesh.keyValue(participant).collection('down').batchGet(accounts)).every((entry) => entry?.text() === 'in')).toBe(true);
  });

  test('replicas that are added take over the load of clients that are connected (grpc-node #2265, #2455)', async (context) => {
    if (cluster === undefined) return context.skip(NO_ETCD);
    const added = cluster.replicas.get(await cluster.add('coordinator'))!;
    await until('the new replica has its share', 15_000, async () => isShared(await leaders(added.address), 2, ['coordinator']));
    const map = Reflect.get(mesh, 'rpc').map as { route(service: string, key: string): string };
    await until('the client sends to the new replica by itself', 5_000, () =>
      Array.from({ length: 64 }, (_, i) => map.route('coordinator', `id-${i}`)).includes(added.address));
    const outcomes = await Promise.all(
      Array.from({ length: 32 }, (_, i) => mesh.execute({ operations: [put('inventory', 'spread', `${i}`, ''), put('payments', 'spread', `${i}`, '')] })),
    );
    expect(outcomes.every(({ committed }) => committed)).toBe(true);
    expect(new Set(Reflect.get(mesh, 'executor').addresses)).toContain(added.address);
  });
});
