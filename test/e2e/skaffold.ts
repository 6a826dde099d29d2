/** `skaffold run`, where skaffold is installed: its profile dev, which needs no certificates, comes up and goes again. */

import { resolve } from 'node:path';
import { REGISTRY, takesImagesAsTheyAre } from './image.ts';
import { run } from './kubectl.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** The overlay's own. */
const NAMESPACE = 'txmesh';
const RUN_BOUND_MS = 10 * 60_000;

/** @returns what was done, in words */
export async function trySkaffold(context: string): Promise<string> {
  const installed = await run('skaffold', ['version']).then(() => true, () => false);
  if (!installed) return '!!! skaffold IS NOT INSTALLED: `skaffold run` WAS NOT TRIED';
  const inUse = await run('kubectl', ['get', 'namespace', NAMESPACE, '--ignore-not-found', '-o', 'name']);
  if (inUse !== '') return `!!! THE NAMESPACE ${NAMESPACE} IS IN USE: \`skaffold run\` WAS NOT TRIED`;
  const repository = takesImagesAsTheyAre(context) ? [] : ['--default-repo', REGISTRY];
  const args = ['--filename', `${ROOT}/skaffold.yaml`, '--profile', 'dev', '--kube-context', context, ...repository];
  try {
    await run('skaffold', ['run', ...args, '--port-forward=off', '--status-check=true'], { boundMs: RUN_BOUND_MS, cwd: ROOT });
    await run('kubectl', ['--namespace', NAMESPACE, 'rollout', 'status', 'statefulset/coordinator', '--timeout=120s']);
    return 'skaffold run -p dev brings up a server that is ready';
  } finally {
    await run('kubectl', ['delete', 'namespace', NAMESPACE, '--ignore-not-found']);
  }
}
