/** What puts load on a mesh in Kubernetes runs the scripts of load/k6, all of them. */

import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { GO_TOOLS } from '../../deploy/local/go-tool.ts';
import { findKustomize, render, type Kustomize } from './support/kustomize.ts';
import type { Resource } from './support/resource.ts';
import { findSchemaErrors } from './support/schema.ts';

const root = resolve(import.meta.dirname, '../..');
const SCRIPTS = globSync(['main.js', '{lib,profiles,workloads}/*.{js,ts}'], { cwd: join(root, 'load/k6') }).toSorted();

let kustomize: Kustomize;
let job: any;
let testRun: any;
let maps: readonly Resource[] = [];
beforeAll(async () => {
  kustomize = await findKustomize();
  if (kustomize.command === undefined) return;
  const rendered = await Promise.all(['load', 'load-operator'].map((overlay) => render(kustomize.command!, join(root, 'deploy/overlays', overlay))));
  const all = rendered.flat();
  job = all.find(({ kind, metadata }) => kind === 'Job' && metadata.name === 'load');
  testRun = all.find(({ kind }) => kind === 'TestRun');
  maps = all.filter(({ kind }) => kind === 'ConfigMap');
}, 600_000);

const scriptsOf = (volumes: readonly any[]): { name: string; items: { key: string; path: string }[] } => volumes.find(({ name }) => name === 'scripts').configMap;

test.for(['Job', 'TestRun'])('a %s puts every script back into its folder', (kind, context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const { name, items } = scriptsOf(kind === 'Job' ? job.spec.template.spec.volumes : testRun.spec.runner.volumes);
  const map = maps.find(({ metadata }) => metadata.name === name)!;
  expect(items.map(({ path }) => path).toSorted()).toEqual(SCRIPTS);
  for (const { key, path } of items) expect(map.data![key], path).toBe(readFileSync(join(root, 'load/k6', path), 'utf8'));
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
