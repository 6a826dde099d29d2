/** Prometheus in the cluster, by its API: what it scrapes, what its rules say, and what a query gives. */

import { until } from '../integration/support/until.ts';
import { forwardPort, type PortForward } from './kubectl.ts';

const ANSWER_BOUND_MS = 30_000;
const POLL_MS = 1_000;
/** Two scrapes, and the names of pods that have come or gone since. */
const SCRAPED_WITHIN_MS = 90_000;
/** As Prometheus scrapes. */
const STEP_SECONDS = 15;

interface Target {
  readonly health: string;
  readonly scrapeUrl: string;
  readonly lastError: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface Rule {
  readonly name: string;
  /** unknown: not evaluated yet. */
  readonly health: 'ok' | 'err' | 'unknown';
  readonly lastError?: string;
}

export interface FiringAlert {
  readonly alertname: string;
  readonly severity: string;
}

/** What a series was, one value a step. */
export interface Range {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly number[];
}

export class Prometheus {
  private readonly forward: PortForward;

  private constructor(forward: PortForward) {
    this.forward = forward;
  }

  static async reach(): Promise<Prometheus> {
    return new Prometheus(await forwardPort('service/prometheus', 9090));
  }

  close(): void {
    this.forward.close();
  }

  /**
   * Resolves when it scrapes as many targets of each job as there are to be, and no other.
   * @throws with those that do not answer
   */
  async scrapes(expected: Readonly<Record<string, number>>): Promise<void> {
    let wrong: string[] = [];
    await until(
      'Prometheus reaches all that it is to scrape',
      SCRAPED_WITHIN_MS,
      async () => {
        const { activeTargets } = await this.ask<{ activeTargets: readonly Target[] }>('targets', { state: 'active' });
        const down = activeTargets.filter(({ health }) => health !== 'up').map(({ health, scrapeUrl, lastError }) => `${scrapeUrl} is ${health}: ${lastError}`);
        const found = Object.groupBy(activeTargets, ({ labels }) => labels['job']!);
        const jobs = new Set([...Object.keys(expected), ...Object.keys(found)]);
        const others = [...jobs].filter((job) => (found[job]?.length ?? 0) !== (expected[job] ?? 0));
        wrong = [...down, ...others.map((job) => `${found[job]?.length ?? 0} of ${job}, where ${expected[job] ?? 0} are to be`)];
        return wrong.length === 0;
      },
      () => wrong.join('; '),
      POLL_MS,
    );
  }

  /** All that it was given. @throws with those that can't be evaluated */
  async rules(): Promise<readonly Rule[]> {
    const { groups } = await this.ask<{ groups: readonly { rules: Rule[] }[] }>('rules');
    const rules = groups.flatMap((group) => group.rules);
    const failed = rules.filter(({ health }) => health === 'err').map(({ name, lastError }) => `${name}: ${lastError}`);
    if (rules.length === 0 || failed.length > 0) throw new Error(`of ${rules.length} rules Prometheus can't evaluate ${failed.join('; ')}`);
    return rules;
  }

  /** What a query has given since the moment. @throws where it is refused, or answered with a warning */
  async since(ms: number, query: string): Promise<Range[]> {
    const { result } = await this.ask<{ result: readonly { metric: Record<string, string>; values: readonly (readonly [number, string])[] }[] }>('query_range', {
      query,
      start: String(ms / 1000),
      end: String(Date.now() / 1000),
      step: String(STEP_SECONDS),
    });
    return result.map(({ metric, values }) => ({ metric, values: values.map(([, value]) => Number(value.replace('Inf', 'Infinity'))) }));
  }

  async firing(): Promise<FiringAlert[]> {
    const { alerts } = await this.ask<{ alerts: readonly { state: string; labels: FiringAlert }[] }>('alerts');
    return alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels);
  }

  private async ask<Data>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<Data> {
    const response = await fetch(`http://${this.forward.address}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`, { signal: AbortSignal.timeout(ANSWER_BOUND_MS) });
    const text = await response.text();
    const failed = (why: string): Error => new Error(`Prometheus ${why} ${path} ${JSON.stringify(parameters)}: ${text}`);
    if (!response.ok) throw failed(`answered ${response.status} to`);
    const { data, warnings = [] } = JSON.parse(text) as { data: Data; warnings?: readonly string[] };
    if (warnings.length > 0) throw failed('warns of');
    return data;
  }
}
