/**
 * Every alert is shown what it is there for, and what it must not wake anybody for. Here that there are such cases, of
 * series as they are scraped; what Prometheus' own tool says to them is seen at the beginning of `npm run e2e:k8s`.
 */

import { describe, expect, test } from 'vitest';
import { ALERT_CASES } from './alerts/all.ts';
import type { AlertCases } from './alerts/alert-case.ts';
import { inPromql, promtoolTests } from './alerts/promtool.ts';
import { ALERTS, problemsOf, RULE_FILES } from './support/prometheus.ts';

/** A series is looked at here, and may be a counter's. */
const problemsOfSeries = (text: string): string[] => problemsOf(text).filter((problem) => !problem.includes('only grows'));

test('there are cases of all alerts, and of nothing else', () => {
  expect(Object.keys(ALERT_CASES).toSorted()).toEqual(ALERTS.map(({ alert }) => alert).toSorted());
});

describe.each(ALERTS.map((alert) => [alert.alert, alert] as const))('%s', (name, alert) => {
  const cases = ALERT_CASES[name] ?? [];

  test('fires in one case and is quiet in another', () => {
    expect(cases.some(({ fires }) => fires.length > 0)).toBe(true);
    // Quiet, where nothing is there, says nothing.
    expect(cases.some(({ fires, series }) => fires.length === 0 && series.length > 0)).toBe(true);
    expect(new Set(cases.map(({ what }) => what)).size).toBe(cases.length);
    for (const { what, fires } of cases) expect(what).toMatch(fires.length > 0 ? /^fires / : /^is quiet /);
  });

  test('is shown series that there are, with the labels that they have', () => {
    for (const { series } of cases) {
      expect(series.flatMap((each) => problemsOfSeries(inPromql(each)))).toEqual([]);
      expect(new Set(series.map(inPromql)).size).toBe(series.length);
    }
  });

  test('says something that is whole to whoever is woken', () => {
    const text = JSON.stringify(promtoolTests({ [name]: cases }, [alert], RULE_FILES));
    expect(text).not.toMatch(/\{\{|undefined/);
  });
});

test('a series that is not scraped so is seen', () => {
  expect(problemsOfSeries('txmesh_store_writes_total{job="txmesh", txmesh_topic="x"}')).toEqual([expect.stringMatching(/no label txmesh_topic/)]);
  expect(problemsOfSeries('txmesh_store_reads_total')).toEqual([expect.stringMatching(/nobody emits/)]);
});

test('a text that names what a case does not tell is refused', () => {
  const untold: AlertCases = { HeapNearLimit: [{ what: 'fires', series: [], at: '1m', fires: [{ labels: { instance: 'queue-0' } }] }] };
  expect(() => promtoolTests(untold, ALERTS, RULE_FILES)).toThrow(/HeapNearLimit name its value/);
});
