/** The cases as `promtool test rules` reads them. */

import type { Alert } from '../support/prometheus.ts';
import type { AlertCase, AlertCases, Firing, Labels, Series } from './alert-case.ts';

const STEP = '1m';

/** A file of tests, as an object. @param ruleFiles paths of all files of rules */
export function promtoolTests(cases: AlertCases, alerts: readonly Alert[], ruleFiles: readonly string[]): object {
  const tests = alerts.flatMap((alert) => (cases[alert.alert] ?? []).map((each) => toTest(alert, each)));
  return { rule_files: ruleFiles, evaluation_interval: STEP, tests };
}

const toTest = (alert: Alert, { what, series, at, fires }: AlertCase): object => ({
  name: `${alert.alert} ${what}`,
  interval: STEP,
  input_series: series.map((each) => ({ series: inPromql(each), values: each.values })),
  alert_rule_test: [{ eval_time: at, alertname: alert.alert, exp_alerts: fires.map((firing) => expected(alert, firing)) }],
});

/** The series as PromQL selects it. */
export const inPromql = ({ metric, labels }: Series): string =>
  `${metric}{${Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(', ')}}`;

function expected({ alert, labels, annotations }: Alert, firing: Firing): object {
  return {
    exp_labels: { ...firing.labels, ...labels },
    exp_annotations: Object.fromEntries(Object.entries(annotations ?? {}).map(([name, text]) => [name, filledIn(alert, text, firing)])),
  };
}

/** A text of an alert as whoever is woken reads it. */
function filledIn(alert: string, text: string, { labels, value }: { readonly labels: Labels; readonly value?: string }): string {
  return text.replaceAll(/\{\{ \$(labels\.(\w+)|value)(?: \| \w+)? \}\}/g, (_, what: string, label: string) => {
    const known = what === 'value' ? value : labels[label];
    if (known === undefined) throw new Error(`the texts of ${alert} name its ${what}: say in its cases what that is`);
    return known;
  });
}
