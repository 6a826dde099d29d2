/**
 * The few forms of PromQL that the dashboards are made of. All of them look at what Prometheus scrapes
 * of the servers themselves (job="txmesh"), so that a server that also pushes its metrics counts once.
 */

import type { Query } from './dashboard.ts';

/** Further conditions, as in PromQL: `component="queue"`. */
type Matchers = readonly string[];

/** As much as Grafana thinks right for the resolution, and never less than four scrapes. */
const WINDOW = '$__rate_interval';

const select = (metric: string, matchers: Matchers = []): string => `${metric}{${['job="txmesh"', ...matchers].join(',')}}`;
const legendOf = (by: readonly string[], word = ''): string => [word, ...by.map((label) => `{{${label}}}`)].filter((part) => part !== '').join(' ');
const over = (operator: string, by: readonly string[]): string => (by.length === 0 ? operator : `${operator} by (${by.join(', ')})`);

/** Of counters: how many a second. */
export const perSecond = (metric: string, by: readonly string[], matchers?: Matchers, word?: string): Query => ({
  expr: `${over('sum', by)} (rate(${select(metric, matchers)}[${WINDOW}]))`,
  legend: legendOf(by, word),
});

/** Of gauges: all replicas together. */
export const total = (metric: string, by: readonly string[], matchers?: Matchers, word?: string): Query => ({
  expr: `${over('sum', by)} (${select(metric, matchers)})`,
  legend: legendOf(by, word),
});

/** Of gauges: the replica where it is worst. */
export const worst = (metric: string, by: readonly string[], matchers?: Matchers, word?: string): Query => ({
  expr: `${over('max', by)} (${select(metric, matchers)})`,
  legend: legendOf(by, word),
});

/** Of histograms: what a share of the measurements stays below. */
export const quantile = (share: number, metric: string, by: readonly string[], matchers?: Matchers): Query => ({
  expr: `histogram_quantile(${share}, sum by (${['le', ...by].join(', ')}) (rate(${select(`${metric}_bucket`, matchers)}[${WINDOW}])))`,
  legend: legendOf(by, `p${share * 100}`),
});

/** Of histograms: the mean. */
export const mean = (metric: string, by: readonly string[], matchers?: Matchers): Query => ({
  expr: `${perSecond(`${metric}_sum`, by, matchers).expr} / ${perSecond(`${metric}_count`, by, matchers).expr}`,
  legend: legendOf(by),
});

/** One query by another. Where the second has no series, or is 0, there is nothing to see. */
export const divided = (dividend: Query, divisor: Query, legend: string): Query => ({ expr: `${dividend.expr} / ${divisor.expr}`, legend });

/** The highest series alone, where there may be many. */
export const highest = (count: number, { expr, legend }: Query): Query => ({ expr: `topk(${count}, ${expr})`, legend });
