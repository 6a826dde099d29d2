/** The overlay dev: one replica of everything, which is to bear load within the memory that it is given. */

import { rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { apply, forwardPort, run } from './kubectl.ts';

export const DEV_NAMESPACE = 'txmesh-e2e-dev';
const ROOT = resolve(import.meta.dirname, '../..');
const LOAD_BOUND_MS = 5 * 60_000;
/** How fast it is on a machine that does other things besides is not looked at. */
const LOAD = ['--rate', '10', '--duration', '20s', '--p95', '10000', '--p99', '30000', '--dropped', '1'];
/** The most memory that the process has had, in kB. */
const PEAK = "process.stdout.write(/VmHWM:\\s*(\\d+)/.exec(fs.readFileSync('/proc/1/status', 'utf8'))[1])";

const kubectl = (...args: string[]): Promise<string> => run('kubectl', ['--namespace', DEV_NAMESPACE, ...args]);

const remove = (...flags: string[]): Promise<string> => run('kubectl', ['delete', 'namespace', DEV_NAMESPACE, '--ignore-not-found', ...flags]);

/** @returns what was found, in words. @throws where a threshold does not hold, or the server did not live through it */
export async function trySmall(named: (manifest: string) => string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-dev-'));
  try {
    await remove();
    await apply(named(await run('kubectl', ['kustomize', join(import.meta.dirname, 'dev')])));
    await kubectl('rollout', 'status', 'statefulset/coordinator', '--timeout=120s');
    const forward = await forwardPort('service/coordinator', 50051, DEV_NAMESPACE);
    try {
      const args = ['--conditions=txmesh-source', 'load/k6/run.ts', 'smoke', 'mixed', ...LOAD, '--address', forward.address, '--summary', join(folder, 'summary.json')];
      await run(process.execPath, args, { cwd: ROOT, boundMs: LOAD_BOUND_MS });
    } finally {
      forward.close();
    }
    const restarts = await kubectl('get', 'pod', 'coordinator-0', '-o', 'jsonpath={.status.containerStatuses[0].restartCount}');
    if (restarts !== '0') throw new Error(`the one server of the overlay dev was restarted under load:\n${await kubectl('describe', 'pod', 'coordinator-0')}`);
    const limit = await kubectl('get', 'pod', 'coordinator-0', '-o', 'jsonpath={.spec.containers[0].resources.limits.memory}');
    const peakKb = Number(await kubectl('exec', 'coordinator-0', '--', '/usr/local/bin/node', '--eval', PEAK));
    return `the overlay dev bears the load smoke of mixed, totals exact, with ${Math.round(peakKb / 1024)} MiB of the ${limit} that it may have`;
  } finally {
    await remove('--wait=false');
    rmSync(folder, { recursive: true });
  }
}
