/** Jobs of the cluster: load by k6, and what runs by schedule, run once now. */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { apply, kubectl, run, waitFor } from './kubectl.ts';

const SCENARIOS = resolve(import.meta.dirname, '../../load/k6/scenarios');
const LOAD_BOUND_SECONDS = 300;
const MAINTENANCE_BOUND_SECONDS = 180;

interface Job {
  readonly kind: string;
  readonly metadata: { name: string };
  readonly spec: { readonly template: { readonly spec: { readonly containers: { args: string[] }[] } } };
}

export const isScenario = (name: string): boolean => existsSync(join(SCENARIOS, `${name}.js`));

/**
 * A scenario of load/k6 by deploy/components/load, in a Job of its own.
 * @param named gives a manifest the names of the images
 * @returns what k6 says at the end
 * @throws where a threshold does not hold
 */
export async function runScenario(scenario: string, named: (manifest: string) => string): Promise<string> {
  const rendered = named(await run('kubectl', ['kustomize', join(import.meta.dirname, 'load')]));
  const resources = parseAllDocuments(rendered).map((document) => document.toJS() as Job);
  const job = resources.find(({ kind }) => kind === 'Job')!;
  job.metadata.name = `load-${scenario}`;
  const [k6] = job.spec.template.spec.containers;
  k6!.args = k6!.args.map((arg) => arg.replace(/[^/]+\.js$/, `${scenario}.js`));
  await apply(resources.map((resource) => stringify(resource)).join('---\n'));
  return finished(job.metadata.name, LOAD_BOUND_SECONDS);
}

/** A CronJob's job, now. @returns what it printed */
export async function runNow(cronJob: string): Promise<string> {
  const job = `${cronJob}-now`;
  await kubectl('create', 'job', job, `--from=cronjob/${cronJob}`);
  return finished(job, MAINTENANCE_BOUND_SECONDS);
}

async function finished(job: string, seconds: number): Promise<string> {
  const outcome = await waitFor(`job/${job}`, ['Complete', 'Failed'], seconds);
  const said = await kubectl('logs', `job/${job}`, '--all-containers', '--tail=60');
  if (outcome === 'Failed') throw new Error(`the job ${job} failed:\n${said}`);
  return said.trim();
}
