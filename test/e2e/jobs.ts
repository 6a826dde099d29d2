/** Jobs of the cluster: load by k6, and what runs by schedule, run once now. */

import { join } from 'node:path';
import { apply, kubectl, run, waitFor } from './kubectl.ts';

/** Of the load's Job, all its scenarios together. */
const LOAD_BOUND_SECONDS = 600;
const MAINTENANCE_BOUND_SECONDS = 180;

/**
 * The Job of deploy/components/load.
 * @param named gives a manifest the names of the images
 * @returns what k6 says at the end
 * @throws where a threshold does not hold
 */
export async function runLoad(named: (manifest: string) => string): Promise<string> {
  await apply(named(await run('kubectl', ['kustomize', join(import.meta.dirname, 'load')])));
  return finished('load', LOAD_BOUND_SECONDS);
}

/** A CronJob's job, now. @param job its name @returns what it printed */
export async function runNow(cronJob: string, job = `${cronJob}-now`): Promise<string> {
  await kubectl('create', 'job', job, `--from=cronjob/${cronJob}`);
  return finished(job, MAINTENANCE_BOUND_SECONDS);
}

async function finished(job: string, seconds: number): Promise<string> {
  const outcome = await waitFor(`job/${job}`, ['Complete', 'Failed'], seconds);
  // Of a container that has not begun there is nothing to tell, which is an error beside what the others said.
  const said = await kubectl('logs', `job/${job}`, '--all-containers', '--prefix', '--tail=60').catch((error: Error) => error.message);
  if (outcome === 'Failed') throw new Error(`the job ${job} failed:\n${said}`);
  return said.trim();
}
