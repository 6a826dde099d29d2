/** What Prometheus has seen of it all: by targets, rules, dashboards and alerts. */

import { SERVICES } from '../../deploy/certificates/needed.ts';
import { until } from '../integration/support/until.ts';
import { tryDashboards } from './dashboards.ts';
import type { FiringAlert, Prometheus } from './prometheus.ts';

/** How many of what deploy/components/prometheus/config.yaml names are in the overlay. */
const TARGETS = { prometheus: 1, txmesh: 2 * SERVICES.length, etcd: 3, 'opentelemetry-collector': 1, otlp: 1 };
/** Some rules are evaluated every five minutes. */
const EVALUATED_WITHIN_MS = 330_000;
/** They look back for half an hour and more, at what was broken on purpose. */
const LOOKS_BACK = /BudgetBurns/;
/** For a minute nobody answers, and Prometheus has looked at that twice. */
const FIRES_WITHIN_MS = 150_000;
const CALMS_WITHIN_MS = 300_000;
const POLL_MS = 1_000;

/** @returns what was found after the load, in words */
export async function observeLoad(prometheus: Prometheus, sinceMs: number): Promise<string> {
  await prometheus.scrapes(TARGETS);
  const rules = await prometheus.rules();
  const firing = await prometheus.firing();
  if (firing.some(({ severity }) => severity === 'critical')) throw new Error(`nothing is broken, and yet there fire: ${named(firing)}`);
  return `Prometheus reaches ${JSON.stringify(TARGETS)}, has ${rules.length} rules, and alerts of ${named(firing) || 'nothing'}; ${await tryDashboards(prometheus, sinceMs, 'load')}`;
}

/** While no server runs, somebody is to be woken. */
export async function servesNobody(prometheus: Prometheus): Promise<void> {
  let firing: readonly FiringAlert[] = [];
  const fires = async (): Promise<boolean> => (firing = await prometheus.firing()).some(({ alertname }) => alertname === 'ComponentDown');
  await until('ComponentDown fires where no server is', FIRES_WITHIN_MS, fires, () => `there fire: ${named(firing)}`, POLL_MS);
}

/** @returns what was found at the end, in words. @throws where somebody would still be woken */
export async function observeEnd(prometheus: Prometheus, sinceMs: number): Promise<string> {
  await prometheus.scrapes(TARGETS);
  let late: readonly string[] = [];
  const evaluated = async (): Promise<boolean> => (late = (await prometheus.rules()).filter(({ health }) => health !== 'ok').map(({ name }) => name)).length === 0;
  await until('every rule was evaluated', EVALUATED_WITHIN_MS, evaluated, () => late.join(', '), POLL_MS);
  let critical: readonly FiringAlert[] = [];
  const calm = async (): Promise<boolean> => (critical = (await prometheus.firing()).filter(({ alertname, severity }) => severity === 'critical' && !LOOKS_BACK.test(alertname))).length === 0;
  await until('no critical alert fires any more', CALMS_WITHIN_MS, calm, () => `there fire: ${named(critical)}`, POLL_MS);
  const fired = (await prometheus.since(sinceMs, 'ALERTS{alertstate="firing"}')).map(({ metric }) => metric as unknown as FiringAlert);
  const still = named(await prometheus.firing());
  return `alerts that fired: ${named(fired) || 'none'}; still do: ${still || 'none'}; ${await tryDashboards(prometheus, sinceMs, 'faults')}`;
}

const named = (alerts: readonly FiringAlert[]): string => [...new Set(alerts.map(({ alertname }) => alertname))].sort().join(', ');
