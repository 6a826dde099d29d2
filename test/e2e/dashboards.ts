/** Every query of every dashboard, asked of Prometheus as Grafana asks it. */

import { DASHBOARDS } from '../../deploy/dashboards/all.ts';
import type { Prometheus, Range } from './prometheus.ts';
import { STILL } from './still-panels.ts';

/** As Grafana fills them in: four scrapes, and all components. */
const VARIABLES: Readonly<Record<string, string>> = { $__rate_interval: '1m', $component: '.*' };

export interface PanelQuery {
  /** `dashboard: row: panel` */
  readonly panel: string;
  readonly legend: string;
  readonly expr: string;
}

export const PANEL_QUERIES: readonly PanelQuery[] = Object.entries(DASHBOARDS).flatMap(([name, { rows }]) =>
  rows.flatMap((row) =>
    row.panels.flatMap(({ title, queries }) => queries.map(({ expr, legend }) => ({ panel: `${name}: ${row.title}: ${title}`, legend, expr: filledIn(expr) }))),
  ),
);

function filledIn(expr: string): string {
  return Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expr);
}

/**
 * Asks them all.
 * @param after what was done meanwhile: faults move some that load alone leaves still
 * @returns what was found, in words. @throws with the queries that are refused, and those without the data that there must be
 */
export async function tryDashboards(prometheus: Prometheus, sinceMs: number, after: 'load' | 'faults'): Promise<string> {
  const missing: string[] = [];
  const still: string[] = [];
  for (const { panel, legend, expr } of PANEL_QUERIES) {
    const ranges = await prometheus.since(sinceMs, expr);
    if (moves(ranges)) continue;
    const allowed = STILL[panel];
    still.push(panel);
    const isFine = allowed !== undefined && allowed.until !== after && (allowed.shows === 'nothing' || ranges.length > 0);
    if (!isFine) missing.push(`${panel}, ${legend}: ${ranges.length === 0 ? 'nothing' : 'nothing but 0'} of ${expr}`);
  }
  if (missing.length > 0) throw new Error(`dashboards do not show what was done:\n${missing.join('\n')}`);
  return `${PANEL_QUERIES.length} queries of ${Object.keys(DASHBOARDS).length} dashboards are answered; ${PANEL_QUERIES.length - still.length} show what was done, and these nothing: ${[...new Set(still)].join('; ')}`;
}

/** A share of nothing is not a number. */
const moves = (ranges: readonly Range[]): boolean => ranges.some(({ values }) => values.some((value) => value > 0));
