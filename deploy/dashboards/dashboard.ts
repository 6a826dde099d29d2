/** A dashboard as we think of it, and as Grafana 12 reads it. */

/** Names of Grafana's units that are in use: seconds, bytes, shares of 1, numbers, and things a second. */
export type Unit = 's' | 'bytes' | 'percentunit' | 'none' | 'short' | 'reqps' | 'ops' | 'wps' | 'mps' | 'cps';

export interface Query {
  /** PromQL. */
  readonly expr: string;
  /** How a series is called, with its labels in double braces. */
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  /** What one sees, and what to think of it. */
  readonly description: string;
  readonly unit: Unit;
  readonly queries: readonly Query[];
  /** One number instead of a line over time. */
  readonly stat?: true;
  /** Series are parts of a whole. */
  readonly stacked?: true;
  /** From here on it is red: where an alert begins. */
  readonly redFrom?: number;
}

export interface Row {
  readonly title: string;
  /** Side by side: one, two, three, four or six. */
  readonly panels: readonly Panel[];
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly Row[];
  /** Lets the viewer choose among the components of the mesh: `$component` in queries. */
  readonly choosesComponent?: true;
}

const COLUMNS = 24;
const HEIGHT = 8;
const STAT_HEIGHT = 4;
const PROMETHEUS = { type: 'prometheus', uid: 'prometheus' };
const DASHBOARD_SCHEMA = 41;

/** What Grafana's provisioning takes, as an object for JSON. */
export function toGrafana({ uid, title, description, rows, choosesComponent }: Dashboard): object {
  const panels: object[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({ id: panels.length + 1, type: 'row', title: row.title, collapsed: false, gridPos: { x: 0, y, w: COLUMNS, h: 1 }, panels: [] });
    y += 1;
    const w = COLUMNS / row.panels.length;
    const h = row.panels.every(({ stat }) => stat) ? STAT_HEIGHT : HEIGHT;
    row.panels.forEach((panel, index) => panels.push({ id: panels.length + 1, ...shown(panel), gridPos: { x: index * w, y, w, h } }));
    y += h;
  }
  return {
    uid,
    title,
    description,
    tags: ['txmesh'],
    timezone: 'browser',
    editable: false,
    // A crosshair at the same time on every panel.
    graphTooltip: 1,
    schemaVersion: DASHBOARD_SCHEMA,
    version: 1,
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    templating: { list: choosesComponent ? [COMPONENT] : [] },
    annotations: { list: [] },
    links: [{ type: 'dashboards', title: 'txmesh', tags: ['txmesh'], asDropdown: true, keepTime: true }],
    panels,
  };
}

function shown({ title, description, unit, queries, stat, stacked, redFrom }: Panel): object {
  const steps = [{ color: 'green', value: null }, ...(redFrom === undefined ? [] : [{ color: 'red', value: redFrom }])];
  const lines = {
    lineWidth: 1,
    fillOpacity: stacked ? 30 : 5,
    showPoints: 'never',
    stacking: { mode: stacked ? 'normal' : 'none' },
    thresholdsStyle: { mode: redFrom === undefined ? 'off' : 'dashed' },
  };
  return {
    type: stat ? 'stat' : 'timeseries',
    title,
    description,
    datasource: PROMETHEUS,
    fieldConfig: {
      // Beside the largest values small ones are to be seen too; nothing here is below 0.
      defaults: { unit, min: 0, thresholds: { mode: 'absolute', steps }, ...(stat ? {} : { custom: lines }) },
      overrides: [],
    },
    options: stat
      ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'value', graphMode: 'area', textMode: 'auto' }
      : { legend: { displayMode: 'list', placement: 'bottom', showLegend: true }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: queries.map(({ expr, legend }, index) => ({ refId: String.fromCharCode('A'.charCodeAt(0) + index), expr, legendFormat: legend, range: true })),
  };
}

const COMPONENT = {
  name: 'component',
  label: 'component',
  type: 'query',
  datasource: PROMETHEUS,
  query: { query: 'label_values(up{job="txmesh"}, component)', refId: 'component' },
  refresh: 2,
  multi: true,
  includeAll: true,
  current: { text: 'All', value: '$__all' },
};
