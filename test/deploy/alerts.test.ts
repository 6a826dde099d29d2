/** The rules that Prometheus is given: they can be read, ask for what there is, and lead to a page that helps. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { MESH_FAULTS } from '../../services/coordinator/handlers/meter.ts';
import { RequestMeter } from '../../services/runtime/telemetry/metrics/requests.ts';
import { ETCD_METRICS } from '../../deploy/dashboards/known-metrics.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { methods } from './support/methods.ts';
import { readPromql } from './support/promql.ts';
import { ALERTS, problemsOf, PROMETHEUS_RULES, RECORDED, RULE_FILES } from './support/prometheus.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const pages = readdirSync(join(root, 'docs/runbooks')).filter((name) => name !== 'README.md');

test('Prometheus is given every file of rules, under names that it loads', () => {
  const { configMapGenerator } = parse(read('deploy/components/prometheus/kustomization.yaml')) as { configMapGenerator: { files: string[] }[] };
  const { rule_files } = parse(read('deploy/components/prometheus/config.yaml')) as { rule_files: string[] };
  expect(rule_files).toEqual(['/etc/prometheus/*.rules.yml']);
  expect(configMapGenerator[0]!.files.toSorted()).toEqual(['prometheus.yml=config.yaml', ...RULE_FILES].toSorted());
});

test('files of rules have what Prometheus knows and nothing else: it does not start with what it does not know', () => {
  for (const name of RULE_FILES) {
    const { groups, ...others } = parse(read(`deploy/components/prometheus/${name}`)) as { groups: { name: string; rules: object[] }[] };
    expect(Object.keys(others)).toEqual([]);
    expect(new Set(groups.map((group) => group.name)).size).toBe(groups.length);
    for (const group of groups) expect(['name', 'interval', 'rules']).toEqual(expect.arrayContaining(Object.keys(group)));
  }
  for (const rule of PROMETHEUS_RULES) {
    const keys = rule.alert === undefined ? ['record', 'expr'] : ['alert', 'expr', 'for', 'labels', 'annotations'];
    expect(keys).toEqual(expect.arrayContaining(Object.keys(rule)));
    expect(rule.for ?? '1m').toMatch(/^\d+[smhd]$/);
  }
  const functions = ALERTS.flatMap(({ annotations }) => [...Object.values(annotations!).join(' ').matchAll(/\{\{ \$value(?: \| (\w+))? \}\}/g)].flatMap(([, name]) => name ?? []));
  for (const name of new Set(functions)) expect(['humanize', 'humanizeDuration', 'humanizePercentage']).toContain(name);
});

test('every rule asks for metrics that there are, in PromQL', () => {
  expect(PROMETHEUS_RULES.length).toBeGreaterThan(0);
  expect(PROMETHEUS_RULES.flatMap(({ expr }) => problemsOf(expr))).toEqual([]);
});

test('a recorded series has one rule, and looks at the window that its name tells', () => {
  expect(new Set(RECORDED.map(({ record }) => record)).size).toBe(RECORDED.length);
  for (const { record, expr } of RECORDED) {
    expect(record).toMatch(/^[a-z_]+:[a-z_]+:\w+$/);
    const windows = new Set(readPromql(expr).selectors.flatMap(({ range }) => range ?? []));
    const told = /(\d+[mhd])$/.exec(record)?.[1];
    expect([...windows].filter((window) => window !== told), record).toEqual([]);
  }
});

test('the calls whose duration is not looked at are those that stream, and pulls, which wait', () => {
  const matcher = PROMETHEUS_RULES.flatMap(({ expr }) => readPromql(expr).selectors).flatMap(({ matchers }) => matchers.filter(({ operator }) => operator === '!~'));
  expect(new Set(matcher.map(({ label, value }) => `${label} ${value}`)).size).toBe(1);
  const leftOut = new RegExp(`^(?:${matcher[0]!.value})$`);
  expect(methods().length).toBeGreaterThan(70);
  for (const { path, streams } of methods().filter((method) => method.path.startsWith('txmesh.')))
    expect([path, leftOut.test(path)]).toEqual([path, streams || path.endsWith('/Pull')]);
});

test('what uses an error budget up begins at 0, so that a first burst of it has a rate', () => {
  const valuesOf = (label: string): string[][] =>
    RECORDED.flatMap(({ expr }) => readPromql(expr).selectors).flatMap(({ matchers }) => matchers.filter((each) => each.label === label && each.operator === '=~').map(({ value }) => value.split('|')));
  const meter = new RequestMeter('any');
  const begun: string[] = [];
  meter.read((_, attributes) => void begun.push(String(attributes['grpc.status'])));
  // Nothing of the mesh ends so; a proxy between may.
  for (const statuses of valuesOf('grpc_status')) expect(statuses.filter((status) => status !== 'DATA_LOSS').toSorted()).toEqual(begun.filter((status) => status !== 'OK').toSorted());
  for (const reasons of valuesOf('txmesh_reason')) expect(reasons).toEqual(MESH_FAULTS);
  expect(valuesOf('txmesh_reason').length * valuesOf('grpc_status').length).toBeGreaterThan(0);
});

describe('alerts', () => {
  test.each(ALERTS.map((alert) => [alert.alert, alert] as const))('%s says what happened, how bad it is, and where to read on', (name, { labels, annotations, expr }) => {
    expect(Object.keys(annotations ?? {}).toSorted()).toEqual(['description', 'runbook_url', 'summary']);
    expect(['critical', 'warning']).toContain(labels?.['severity']);
    expect(annotations!['runbook_url']).toBe(`docs/runbooks/${name}.md`);
    // A label in a text that the series does not have would come out empty.
    const { groupings, selectors } = readPromql(expr);
    const kept = new Set(groupings.length > 0 ? groupings.flatMap((each) => each.labels) : ['job', 'instance', 'component']);
    const isRecorded = selectors.some(({ metric }) => metric.startsWith('component:'));
    const used = [...Object.values(annotations!).join(' ').matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label!);
    for (const label of used) expect(isRecorded ? ['component'] : [...kept]).toContain(label);
  });

  test('have one rule and one page each, and every page is an alert\'s', () => {
    const names = ALERTS.map(({ alert }) => alert);
    expect(new Set(names).size).toBe(names.length);
    expect(pages.toSorted()).toEqual(names.map((name) => `${name}.md`).toSorted());
  });

  test('are all in the list of runbooks, with their severity', () => {
    const rows = [...read('docs/runbooks/README.md').matchAll(/^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|/gm)].map(([, name, file, severity]) => `${name} ${file} ${severity}`);
    expect(rows.toSorted()).toEqual(ALERTS.map(({ alert, labels }) => `${alert} ${alert} ${labels!['severity']}`).toSorted());
  });
});

test('etcd emits what is asked of it', async (context) => {
  const tools = await requireGoTools('etcd');
  if (tools === undefined) return context.skip('no etcd here');
  const cluster = await startEtcd(tools);
  try {
    const text = await (await fetch(`${cluster.endpoints[0]}/metrics`)).text();
    const emitted = new Set([...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name));
    expect(Object.keys(ETCD_METRICS).filter((name) => !emitted.has(name))).toEqual([]);
  } finally {
    await cluster.stop();
  }
});
