import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { readSettings } from '../../services/settings/read.ts';
import { RULES } from './rules/all.ts';
import { replicasOf } from './rules/operation.ts';
import { findKustomize, render, renderWith, type Kustomize } from './support/kustomize.ts';
import { containersOf, podsIn, serverOf, type Resource } from './support/resource.ts';
import { findSchemaErrors } from './support/schema.ts';

const root = resolve(import.meta.dirname, '../..');
const deploy = join(root, 'deploy');
const overlays = readdirSync(join(deploy, 'overlays'));

let kustomize: Kustomize;
beforeAll(async () => {
  kustomize = await findKustomize();
}, 600_000);

const violations = (resources: readonly Resource[]): string[] => RULES.flatMap((rule) => rule.check(resources));

/**
 * What differs from the rules on purpose: the overlay `live` copies sources into the container, which a restart
 * would lose, and the overlay `faults` is there to fail.
 */
const ON_PURPOSE: Readonly<Record<string, readonly string[]>> = {
  faults: ['coordinator', 'counter', 'participant', 'queue'].map((name) => `StatefulSet ${name}: it injects faults`),
  live: ['StatefulSet coordinator: container server may write to its root file system', 'StatefulSet coordinator: container server has no livenessProbe'],
};

describe.each(overlays)('the overlay %s', (overlay) => {
  let resources: readonly Resource[] | undefined;
  beforeAll(async () => {
    if (kustomize.command !== undefined) resources = await render(kustomize.command, join(deploy, 'overlays', overlay));
  });
  const rendered = (skip: (reason: string) => never): readonly Resource[] =>
    resources ?? skip(kustomize.command === undefined ? `no kustomize: ${kustomize.reason}` : 'it was not rendered');

  test('is what the API of Kubernetes takes', (context) => {
    expect(rendered(context.skip).flatMap(findSchemaErrors)).toEqual([]);
  });

  test('keeps the rules of the house', (context) => {
    expect(violations(rendered(context.skip))).toEqual(ON_PURPOSE[overlay] ?? []);
  });

  test('runs the version of this repository, in one namespace', (context) => {
    const all = rendered(context.skip);
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const images = podsIn(all).flatMap((pods) => containersOf(pods).map(({ image }) => image));
    expect(new Set(images.filter((image) => image.startsWith('txmesh')))).toEqual(new Set([`txmesh:${version}`]));
    expect(new Set(all.filter(({ kind }) => kind !== 'Namespace').map(({ metadata }) => metadata.namespace))).toEqual(new Set(['txmesh']));
  });
});

test('the overlay dev fits a laptop: one pod, in less than 1 GiB', async (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const resources = await render(kustomize.command, join(deploy, 'overlays/dev'));
  const [only, ...others] = podsIn(resources);
  expect(others).toEqual([]);
  expect(replicasOf(only!.owner, resources)).toBe(1);
  expect(only!.spec.containers.map((container) => container.resources!.limits!['memory'])).toEqual(['512Mi']);
});

test('what the end-to-end test deploys keeps the rules, but that it scales by itself', async (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const folder = join(root, 'test/e2e');
  const [resources, load] = [await render(kustomize.command, join(folder, 'overlay')), await render(kustomize.command, join(folder, 'load'))];
  expect([...resources, ...load].flatMap(findSchemaErrors)).toEqual([]);
  expect(violations(resources).filter((violation) => !violation.includes('HorizontalPodAutoscaler'))).toEqual([]);
});

test('the component faults is in the overlay faults alone, and would be seen in production', async (context) => {
  const using = globSync(['deploy/**/kustomization.yaml', 'test/e2e/**/kustomization.yaml'], { cwd: root }).filter((file) => /^ *- .*(components\/faults|overlays\/faults|\.\.\/faults)$/m.test(readFileSync(join(root, file), 'utf8')));
  expect(using).toEqual(['deploy/overlays/faults/kustomization.yaml']);
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const resources = await renderWith(kustomize.command, join(deploy, 'overlays/production'), [join(deploy, 'components/faults')]);
  expect(violations(resources)).toEqual(ON_PURPOSE['faults']);
});

test('production has three or more replicas of each service, and etcd members that fail apart', async (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const resources = await render(kustomize.command, join(deploy, 'overlays/production'));
  for (const pods of podsIn(resources).filter((each) => serverOf(each) !== undefined)) expect(replicasOf(pods.owner, resources)).toBeGreaterThanOrEqual(3);
  const etcd = podsIn(resources).find(({ owner }) => owner.metadata.name === 'etcd')!;
  expect(etcd.spec['topologySpreadConstraints'].map((each: { whenUnsatisfiable: string }) => each.whenUnsatisfiable)).toEqual(['DoNotSchedule', 'DoNotSchedule']);
});

test('traces of production go nowhere until somebody is named, and then as docs/observe.md says', async (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const resources = await render(kustomize.command, join(deploy, 'overlays/production'));
  const [, example, policy] = /### Traces in production.*?```yaml\n(.*?)```.*?```yaml\n(.*?)```/s.exec(readFileSync(join(root, 'docs/observe.md'), 'utf8'))!;
  const named = structuredClone(resources).map((resource) =>
    resource.kind === 'ConfigMap' && resource.metadata.name.startsWith('opentelemetry-collector') ? { ...resource, data: { ...resource.data, 'traces.yaml': example! } } : resource,
  );
  expect(violations(named)).toEqual(['collector: no policy lets it send to tempo.tracing.svc:4317']);
  const letOut = parse(policy!) as Resource;
  expect(findSchemaErrors(letOut)).toEqual([]);
  expect(violations([...named, letOut])).toEqual([]);
});

test('every service has pods of its own, and runs nothing that is another one\'s', async (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const resources = await render(kustomize.command, join(deploy, 'overlays/kind'));
  const hosted = podsIn(resources).flatMap((pods) => {
    const parsed = serverOf(pods) && readSettings(serverOf(pods)!.args ?? [], {});
    if (parsed?.type !== 'settings') return [];
    const { coordinator, participants, queues, counters } = parsed.settings;
    return [[pods.owner.metadata.name, coordinator, participants, queues, counters]];
  });
  expect(hosted.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1))).toEqual([
    ['coordinator', 'true', [], [], []],
    ['counter', 'false', [], [], ['counter']],
    ['participant', 'false', ['inventory', 'payments'], [], []],
    ['queue', 'false', [], ['queue'], []],
  ]);
});
