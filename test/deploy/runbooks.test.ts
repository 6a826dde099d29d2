/** What the pages for operators tell to type can be typed: queries, calls, commands, and links to follow. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { callsIn, requestOf, type Call } from './support/documented-calls.ts';
import { findKustomize, render } from './support/kustomize.ts';
import { problemsOf } from './support/prometheus.ts';
import { podsIn } from './support/resource.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const runbooks = readdirSync(join(root, 'docs/runbooks')).map((name) => `docs/runbooks/${name}`);
const pages = [...runbooks, 'docs/observe.md', 'docs/operate.md', 'docs/faults.md'];

/** Sections of a page, in order. */
const SECTIONS = ['What it means', 'Impact', 'Diagnose', 'Do', 'Verify'];

/** What is wrong with a call, in a sentence. */
function problemOf({ method, ...call }: Call): string | undefined {
  if (method === undefined) return undefined;
  try {
    requestOf({ ...call, method });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const called = (method: string, json: string): Call => ({ method, json, as: 'plaintext' });

test.each<[string, Call, RegExp]>([
  ['a method that does not exist', called('txmesh.queue.v1.QueueService/Peek', '{}'), /no method/],
  ['a field that does not exist', called('txmesh.queue.v1.QueueService/Pull', '{"subscripton":"a"}'), /does not take/],
  ['an enum\'s value that does not exist', called('txmesh.coordinator.v1.CoordinatorService/ListTransactions', '{"states":["COMMITTED"]}'), /does not take/],
  ['what is no JSON', called('txmesh.queue.v1.QueueService/Pull', '{"subscription":}'), /does not take/],
])('the check of calls sees %s', (_what, call, problem) => {
  expect(problemOf(call)).toMatch(problem);
});

describe.each(pages)('%s', (page) => {
  const text = read(page);

  test('has queries that Prometheus reads, for metrics that there are', () => {
    expect([...text.matchAll(/```promql\n([^`]+)```/g)].flatMap(([, query]) => problemsOf(query!))).toEqual([]);
  });

  test('calls the API as it is', () => {
    expect(callsIn(page).flatMap((call) => problemOf(call) ?? [])).toEqual([]);
  });

  test('leads to pages, and places in them, that are there', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!).filter((target) => !/^[a-z]+:/.test(target));
    for (const link of links) {
      const [path, anchor] = link.split('#');
      const file = path === '' ? page : join(dirname(page), path!);
      expect(existsSync(join(root, file)), `${page} leads to ${link}`).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(read(file)), `${page} leads to ${link}`).toContain(anchor);
    }
  });
});

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!.toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-'));
}

test.each(runbooks.filter((page) => !page.endsWith('README.md')))('%s says what it means, whom it hurts, how to find the cause, what to do, and how to see that it helped', (page) => {
  const text = read(page);
  expect([...text.matchAll(/^# (.+)$/gm)].map(([, title]) => `docs/runbooks/${title}.md`)).toEqual([page]);
  expect([...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title)).toEqual(SECTIONS);
  for (const section of text.split(/^## .+$/m).slice(1)) expect(section.trim()).not.toBe('');
  expect(text).toContain('```promql');
});

/** How kubectl calls kinds, on the pages. */
const KINDS: Readonly<Record<string, string>> = {
  service: 'Service',
  statefulset: 'StatefulSet',
  deployment: 'Deployment',
  cronjob: 'CronJob',
  hpa: 'HorizontalPodAutoscaler',
};
const BY_NAME = new RegExp(`\\b(${Object.keys(KINDS).join('|')})(?:/| )([a-z][a-z0-9-]*)`, 'g');

test('kubectl is told of nothing that is not deployed', async (context) => {
  const kustomize = await findKustomize();
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const resources = await render(kustomize.command, join(root, 'deploy/overlays/kind'));
  const deployed = new Set(resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`));
  const names = new Set(podsIn(resources).map(({ labels }) => labels['app.kubernetes.io/name']));
  let found = 0;
  for (const page of pages) {
    for (const [, line] of read(page).matchAll(/(kubectl [^`\n]*)/g)) {
      for (const [, kind, name] of line!.matchAll(BY_NAME)) {
        expect(deployed, `${page}: ${line}`).toContain(`${KINDS[kind!]} ${name}`);
        found++;
      }
      for (const [, name] of line!.matchAll(/app\.kubernetes\.io\/name=([a-z-]+)/g)) {
        expect(names, `${page}: ${line}`).toContain(name);
        found++;
      }
    }
  }
  expect(found).toBeGreaterThan(20);
});
