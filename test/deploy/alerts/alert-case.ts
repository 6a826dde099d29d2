/** What an alert rule is shown, and what it is to say to it. */

/** The labels of a series, or of an alert. */
export type Labels = Readonly<Record<string, string>>;

export interface Series {
  readonly metric: string;
  readonly labels: Labels;
  /**
   * One value a minute from the beginning on, in promtool's notation: `0x5 1+2x3` is six
   * times 0, then 1 3 5 7; `_` is a scrape without it, and `stale` the first scrape after it went.
   */
  readonly values: string;
}

export interface Firing {
  /** Without those that the rule adds. */
  readonly labels: Labels;
  /** The alert's value as its texts have it, `8m 20s`; where they do not name it, it is not looked at. */
  readonly value?: string;
}

export interface AlertCase {
  /** Goes on where the alert's name ends: `fires when …`, `is quiet while …`. */
  readonly what: string;
  readonly series: readonly Series[];
  /** When is looked, from the beginning on: `8m`. */
  readonly at: string;
  /** All that fires then under the alert's name. */
  readonly fires: readonly Firing[];
}

export type AlertCases = Readonly<Record<string, readonly AlertCase[]>>;

export const series = (metric: string, labels: Labels, values: string): Series => ({ metric, labels, values });

/** The labels of what is scraped of a pod of the mesh, `queue-0`. */
export const pod = (name: string, labels: Labels = {}): Labels => ({ job: 'txmesh', component: name.replace(/-\d+$/, ''), instance: name, ...labels });

/** The labels of what is scraped of a member of etcd. */
export const member = (number: number, labels: Labels = {}): Labels => ({ job: 'etcd', instance: `etcd-${number}`, ...labels });

/** How many values a minute fall in each bucket, which is named by its upper bound; in ascending order, up to `+Inf`. */
export type PerMinute = readonly (readonly [le: string, count: number])[];

export function buckets(metric: string, labels: Labels, perMinute: PerMinute, minutes: number): Series[] {
  let below = 0;
  return perMinute.map(([le, count]) => series(`${metric}_bucket`, { ...labels, le }, `0+${(below += count)}x${minutes}`));
}
