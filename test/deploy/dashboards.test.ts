/** Grafana is given the dashboards that deploy/dashboards describes, and they ask for what there is. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { DASHBOARDS, fileOf } from '../../deploy/dashboards/all.ts';
import { PANEL_QUERIES } from '../e2e/dashboards.ts';
import { STILL } from '../e2e/still-panels.ts';
import { readPromql } from './support/promql.ts';
import { problemsOf } from './support/prometheus.ts';

const component = resolve(import.meta.dirname, '../../deploy/components/grafana');
const read = (file: string): string => readFileSync(join(component, file), 'utf8');
const files = Object.keys(DASHBOARDS).map((name) => `dashboards/${name}.json`);

/** As many columns as Grafana's grid has. */
const COLUMNS = 24;
/** An aggregation that keeps no label. */
const ALL_IN_ONE = /^(sum|max|count)\(/;
/** `kubectl apply` keeps a copy of what it applied in an annotation, which may not be larger. */
const MOST_BYTES_OF_ANNOTATIONS = 256 * 1024;

test('there is a file for every dashboard, no other, and kustomize loads them all', () => {
  expect(readdirSync(join(component, 'dashboards')).map((name) => `dashboards/${name}`).toSorted()).toEqual(files.toSorted());
  const { configMapGenerator } = parse(read('kustomization.yaml')) as { configMapGenerator: { name: string; files: string[] }[] };
  expect(configMapGenerator.find(({ name }) => name === 'grafana-dashboards')!.files).toEqual(files);
});

test('together they fit what kubectl can apply', () => {
  const data = Object.fromEntries(files.map((file) => [file, read(file)]));
  expect(Buffer.byteLength(JSON.stringify(data))).toBeLessThan(MOST_BYTES_OF_ANNOTATIONS * 0.8);
});

test('each has an address of its own, and the data source that is provisioned', () => {
  const all = Object.values(DASHBOARDS);
  expect(new Set(all.map(({ uid }) => uid)).size).toBe(all.length);
  const { datasources } = parse(read('datasources.yaml')) as { datasources: { uid: string }[] };
  const used = [...files.map(read).join('').matchAll(/"datasource":\s*\{"type":"prometheus","uid":"(\w+)"\}/g)].map(([, uid]) => uid);
  expect(used.length).toBeGreaterThan(0);
  for (const uid of new Set(used)) expect(datasources.map((source) => source.uid)).toContain(uid);
});

test('panels that need not show what a load did are panels, each with its reason', () => {
  const panels = new Set(PANEL_QUERIES.map(({ panel }) => panel));
  expect(Object.keys(STILL).filter((panel) => !panels.has(panel))).toEqual([]);
  for (const { because } of Object.values(STILL)) expect(because).toMatch(/^\S.{10,}$/);
  // Most of them show something, or else the list says little.
  expect(Object.keys(STILL).length).toBeLessThan(panels.size / 2);
});

describe.each(Object.entries(DASHBOARDS))('the dashboard %s', (name, dashboard) => {
  const panels = dashboard.rows.flatMap((row) => row.panels);

  test('is in its file as it is described (else: npm run dashboards)', () => {
    expect(read(`dashboards/${name}.json`)).toBe(fileOf(dashboard));
    expect(JSON.parse(fileOf(dashboard))).toMatchObject({ uid: dashboard.uid });
  });

  test('asks for metrics that there are, in PromQL', () => {
    expect(panels.flatMap(({ queries }) => queries.flatMap(({ expr }) => problemsOf(expr)))).toEqual([]);
  });

  test('has panels that say what they show, each in a place of its own', () => {
    for (const { title, description, queries } of panels) {
      expect(title).not.toBe('');
      expect(description, title).toMatch(/^\S.*\.$/);
      expect(queries.length, title).toBeGreaterThan(0);
    }
    for (const { panels: row } of dashboard.rows) expect(COLUMNS % row.length).toBe(0);
    for (const row of dashboard.rows) expect(new Set(row.panels.map(({ title }) => title)).size).toBe(row.panels.length);
  });

  test('has legends that tell the series apart', () => {
    for (const { title, queries } of panels) {
      for (const { expr, legend } of queries) {
        expect(legend, title).not.toBe('');
        const shown = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
        // What is summed by a label is called by it, unless all of it becomes one number.
        const by = ALL_IN_ONE.test(expr) ? [] : readPromql(expr).groupings.flatMap(({ labels }) => labels).filter((label) => label !== 'le');
        expect(shown, `${title}: ${expr}`).toEqual(expect.arrayContaining([...new Set(by)]));
      }
      expect(new Set(queries.map(({ legend }) => legend)).size, title).toBe(queries.length);
    }
  });
});
