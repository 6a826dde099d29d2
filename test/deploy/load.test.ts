/** What puts load on a mesh in Kubernetes runs the scripts of load/k6, all of them. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { GO_TOOLS } from '../../deploy/local/go-tool.ts';
import { findKustomize, render, type Kustomize } from './support/kustomize.ts';
import type { Resource } from './support/resource.ts';
import { findSchemaErrors } from './support/schema.ts';

const root = resolve(import.meta.dirname, '../..');
const AWAIT = join(root, 'load/k6/await.mjs');
const SCRIPTS = globSync(['main.js', '{lib,profiles,workloads}/*.{js,ts}'], { cwd: join(root, 'load/k6') }).toSorted();

let kustomize: Kustomize;
let job: any;
let testRun: any;
let maps: readonly Resource[] = [];
let services: readonly Resource[] = [];
beforeAll(async () => {
  kustomize = await findKustomize();
  if (kustomize.command === undefined) return;
  const rendered = await Promise.all(['load', 'load-operator'].map((overlay) => render(kustomize.command!, join(root, 'deploy/overlays', overlay))));
  const all = rendered.flat();
  job = all.find(({ kind, metadata }) => kind === 'Job' && metadata.name === 'load');
  testRun = all.find(({ kind }) => kind === 'TestRun');
  maps = all.filter(({ kind }) => kind === 'ConfigMap');
  services = rendered[0]!.filter(({ kind }) => kind === 'Service');
}, 600_000);

const scriptsOf = (volumes: readonly any[]): { name: string; items: { key: string; path: string }[] } => volumes.find(({ name }) => name === 'scripts').configMap;

test.for(['Job', 'TestRun'])('a %s puts every script back into its folder', (kind, context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const { name, items } = scriptsOf(kind === 'Job' ? job.spec.template.spec.volumes : testRun.spec.runner.volumes);
  const map = maps.find(({ metadata }) => metadata.name === name)!;
  expect(items.map(({ path }) => path).toSorted()).toEqual(SCRIPTS);
  for (const { key, path } of items) expect(map.data![key], path).toBe(readFileSync(join(root, 'load/k6', path), 'utf8'));
});

test.for(['Job', 'TestRun'])('a %s first waits for every service of the mesh, for less time than it has', (kind, context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const spec = kind === 'Job' ? job.spec.template.spec : testRun.spec.runner;
  const [{ command, args = [], volumeMounts }] = spec.initContainers;
  const [program, script, seconds, ...addresses] = [...command, ...args] as string[];
  expect(program).toBe('/usr/local/bin/node');
  const [{ name: volume, mountPath }] = volumeMounts;
  const { name, items } = spec.volumes.find((each: { name: string }) => each.name === volume).configMap;
  expect(script).toBe(`${mountPath}/${items[0].path}`);
  expect(maps.find(({ metadata }) => metadata.name === name)!.data![items[0].key]).toBe(readFileSync(AWAIT, 'utf8'));
  const mesh = services.filter(({ spec: { clusterIP }, metadata }) => metadata.labels?.['app.kubernetes.io/name'] === 'txmesh' && clusterIP !== 'None');
  expect(addresses.toSorted()).toEqual(mesh.map(({ metadata, spec: { ports } }) => `${metadata.name}:${ports[0].port}`).toSorted());
  expect(Number(seconds)).toBeLessThan(job.spec.activeDeadlineSeconds);
});

describe('what waits for the mesh', () => {
  /** An address where nobody listens, and what makes somebody listen there. */
  async function free(): Promise<{ address: string; listen(): void }> {
    const server = createServer((socket) => socket.destroy());
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((closed) => server.close(closed));
    return { address: `127.0.0.1:${port}`, listen: () => void server.listen(port, '127.0.0.1') };
  }
  function run(...args: string[]) {
    const child = spawn(process.execPath, [AWAIT, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
    return { said: () => said, code: once(child, 'close').then(([code]) => code as number) };
  }

  test('ends well when the last of them takes connections', async () => {
    const [first, last] = [await free(), await free()];
    first.listen();
    const { said, code } = run('60', first.address, last.address);
    await vi.waitUntil(() => said().includes(`${first.address} takes connections`), { timeout: 20_000 });
    last.listen();
    expect(await code, said()).toBe(0);
  });

  test('ends badly in bounded time, and says who did not', async () => {
    const { address } = await free();
    const { said, code } = run('0', address);
    expect(await code).toBe(1);
    expect(said()).toMatch(`${address} took no connection within 0 s: `);
  });
});

test('a TestRun has the settings of the Job, and images of the same versions', (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const [settings] = maps.filter(({ metadata }) => metadata.name.startsWith('load-settings'));
  const env = Object.fromEntries(testRun.spec.runner.env.map(({ name, value }: { name: string; value: string }) => [name, value]));
  expect(env).toMatchObject(settings!.data!);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  expect([testRun.spec.runner.image, testRun.spec.runner.initContainers[0].image]).toEqual([`grafana/k6:${GO_TOOLS.k6.version.slice(1)}`, `txmesh:${version}`]);
  expect(job.spec.template.spec.containers[0].image).toBe(testRun.spec.runner.image);
});

test.for<[string, (spec: any) => void]>([
  ['a field that does not exist', (spec) => (spec.runner.volume = [])],
  ['a field of another type', (spec) => (spec.parallelism = 'one')],
  ['a field that is missing', (spec) => delete spec.script],
])('the schema of a TestRun sees %s', ([, change], context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const changed = structuredClone(testRun);
  change(changed.spec);
  expect(findSchemaErrors(changed)).toHaveLength(1);
});
