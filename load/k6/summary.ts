/** The outcome of a run, out of what k6 exports. */

import type { LoadOptions } from './options.ts';
import { PROFILES } from './profiles/all.ts';

/** A metric in k6's export: its values, and for each threshold whether it is broken. */
interface Exported {
  readonly [value: string]: number | Readonly<Record<string, boolean>> | undefined;
  readonly thresholds?: Readonly<Record<string, boolean>>;
}

export interface Summary {
  readonly profile: string;
  readonly workload: string;
  readonly address: string;
  /** ISO 8601. */
  readonly startTime: string;
  readonly endTime: string;
  /** Whether every total is exact: nothing that was confirmed is lost, and nothing is there twice. */
  readonly totalsExact: boolean;
  /** Whether the run is content: the totals are exact, and the limits held, unless a search was for their end. */
  readonly passed: boolean;
  /** Of a search: the load at which it ended, operations a second. */
  readonly reachedRate?: number;
  readonly thresholds: readonly { readonly metric: string; readonly threshold: string; readonly held: boolean }[];
  readonly metrics: Readonly<Record<string, Exported>>;
}

/** k6 ends with it when a threshold is broken, and with others when something else is wrong. */
const THRESHOLD_BROKEN = 99;
const IS_ABOUT_TOTALS = /^(audits|wrong_totals|.+_missing|.+_surplus)$/;

export interface Run extends Pick<LoadOptions, 'profile' | 'workload'> {
  readonly address: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly exitCode: number;
}

export function summarize({ exitCode, startMs, endMs, ...run }: Run, metrics: Summary['metrics']): Summary {
  const thresholds = Object.entries(metrics).flatMap(([metric, exported]) =>
    Object.entries(exported.thresholds ?? {}).map(([threshold, isBroken]) => ({ metric, threshold, held: !isBroken })),
  );
  const aboutTotals = thresholds.filter(({ metric }) => IS_ABOUT_TOTALS.test(metric));
  const totalsExact = aboutTotals.length > 0 && aboutTotals.every(({ held }) => held);
  const { isSearch = false } = PROFILES[run.profile]!;
  const reachedRate = metrics['offered_rate']?.['max'];
  return {
    ...run,
    startTime: new Date(startMs).toISOString(),
    endTime: new Date(endMs).toISOString(),
    totalsExact,
    passed: totalsExact && (exitCode === 0 || (isSearch && exitCode === THRESHOLD_BROKEN)),
    ...(isSearch && typeof reachedRate === 'number' && { reachedRate: Math.round(reachedRate) }),
    thresholds,
    metrics,
  };
}
