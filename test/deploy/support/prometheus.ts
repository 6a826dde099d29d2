/** The rules that Prometheus is given, and whether an expression fits the metrics that there are. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { KNOWN_METRICS, SCRAPE_LABELS } from '../../../deploy/dashboards/known-metrics.ts';
import { knownValues } from '../../../deploy/dashboards/known-values.ts';
import { methods } from './methods.ts';
import { readPromql, type Matcher, type Selector } from './promql.ts';

export interface PrometheusRule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}
export type Recorded = PrometheusRule & { readonly record: string };
export type Alert = PrometheusRule & { readonly alert: string };

const folder = resolve(import.meta.dirname, '../../../deploy/components/prometheus');

export const RULE_FILES = readdirSync(folder).filter((name) => name.endsWith('.rules.yml'));
export const PROMETHEUS_RULES = RULE_FILES.flatMap((name) =>
  (parse(readFileSync(join(folder, name), 'utf8')) as { groups: { rules: PrometheusRule[] }[] }).groups.flatMap(({ rules }) => rules),
);
export const RECORDED = PROMETHEUS_RULES.filter((rule): rule is Recorded => rule.record !== undefined);
export const ALERTS = PROMETHEUS_RULES.filter((rule): rule is Alert => rule.alert !== undefined);

/** What a recorded series is called by: the labels that its rule sums by first. */
const RECORDED_LABELS = new Map(RECORDED.map(({ record, expr }) => [record, readPromql(expr).groupings[0]?.labels ?? []]));

const { scrape_configs: scraped } = parse(readFileSync(join(folder, 'config.yaml'), 'utf8')) as { scrape_configs: { job_name: string }[] };
const FROM_FILES: Readonly<Record<string, readonly string[]>> = {
  job: scraped.map(({ job_name: name }) => name),
  grpc_method: methods().map(({ path }) => path),
};
/** Grafana puts what the viewer has chosen in place of it. */
const VARIABLE = /^\$\w+$/;

const HISTOGRAM_PART = /_(bucket|sum|count)$/;
const OVER_TIME = ['rate', 'increase'];

interface Known {
  readonly kind: 'counter' | 'gauge' | 'recorded';
  readonly labels: readonly string[];
}

function known(metric: string): Known | undefined {
  const recorded = RECORDED_LABELS.get(metric);
  if (recorded !== undefined) return { kind: 'recorded', labels: recorded };
  const whole = KNOWN_METRICS[metric];
  if (whole !== undefined && whole.kind !== 'histogram') return { kind: whole.kind, labels: [...whole.labels, ...SCRAPE_LABELS] };
  const part = HISTOGRAM_PART.exec(metric)?.[1];
  const histogram = KNOWN_METRICS[metric.replace(HISTOGRAM_PART, '')];
  if (part === undefined || histogram?.kind !== 'histogram') return undefined;
  return { kind: 'counter', labels: [...histogram.labels, ...SCRAPE_LABELS, ...(part === 'bucket' ? ['le'] : [])] };
}

/** One sentence for each thing that is wrong with an expression. */
export function problemsOf(text: string): string[] {
  const { errors, selectors, groupings } = readPromql(text);
  const grouped = groupings.flatMap(({ labels, metrics }) =>
    labels.flatMap((label) =>
      metrics.filter((metric) => known(metric)?.labels.includes(label) === false).map((metric) => `${metric} has no label ${label} to group by`),
    ),
  );
  const problems = [...errors.map((error) => `no PromQL ${error}`), ...selectors.flatMap(problemsOfSelector), ...grouped];
  return problems.map((problem) => `${problem}, in ${text.trim()}`);
}

/** Values, or alternatives of a pattern, that the label never has. */
function strangers(metric: string, { label, operator, value }: Matcher): string[] {
  const values = metric.startsWith('etcd_') || metric.startsWith('grpc_server_handled') ? undefined : (FROM_FILES[label] ?? knownValues(metric, label));
  if (values === undefined || value === '' || VARIABLE.test(value)) return [];
  if (operator === '=' || operator === '!=') return values.includes(value) ? [] : [value];
  const alternatives = /^[\w|]+$/.test(value) ? value.split('|') : [value];
  return alternatives.filter((pattern) => !values.some((each) => new RegExp(`^(?:${pattern})$`).test(each)));
}

function problemsOfSelector({ metric, matchers, range, function: called, unless }: Selector): string[] {
  const found = known(metric);
  if (found === undefined) return [`nobody emits ${metric}`];
  const labels = matchers.map(({ label }) => label);
  const overTime = called !== undefined && OVER_TIME.includes(called);
  return [
    ...labels.filter((label) => !found.labels.includes(label)).map((label) => `${metric} has no label ${label}`),
    ...matchers.flatMap((matcher) => strangers(metric, matcher).map((value) => `${matcher.label} is never "${value}" in ${metric}`)),
    ...(found.kind === 'counter' && !overTime && !unless ? [`${metric} only grows: take its rate or increase`] : []),
    ...(found.kind !== 'counter' && overTime ? [`${metric} is no counter, so it has no ${called}`] : []),
    ...(overTime && range === undefined ? [`${called} needs a range of ${metric}`] : []),
    ...(range !== undefined && called === undefined ? [`a range of ${metric} is the argument of nothing`] : []),
  ];
}
