/** Builds the image and brings it to where the cluster's nodes find it. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { chooseBase, pinnedBase } from './base-image.ts';
import { run } from './kubectl.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const DOCKERFILE = `${ROOT}/deploy/image/Dockerfile`;
const BUILD_BOUND_MS = 15 * 60_000;
const ASKING_BOUND_MS = 30_000;
/** Where clusters that don't take images as they are pull from. */
export const REGISTRY = process.env['E2E_REGISTRY'] ?? 'localhost:5000';
export const docker = process.env['DOCKER'] ?? 'docker';

/**
 * Another version makes another image, of the same programs: its labels differ.
 * @returns its name; shipImage tells which one pods are to use
 */
export async function buildImage(version: string): Promise<string> {
  const revision = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim();
  const dockerfile = readFileSync(DOCKERFILE, 'utf8');
  const base = await chooseBase(dockerfile, { isHere, canBePulled });
  if (base !== pinnedBase(dockerfile)) console.error(`!!! NOBODY HAS ${pinnedBase(dockerfile)}: THE IMAGE IS BUILT ON ${base}`);
  const metadata = { NODE_IMAGE: base, VERSION: version, REVISION: revision, CREATED: new Date().toISOString() };
  const name = `txmesh:e2e-${version}-${Date.now().toString(36)}`;
  const args = Object.entries(metadata).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`]);
  await run(docker, ['build', '--file', DOCKERFILE, '--tag', name, ...args, ROOT], { boundMs: BUILD_BOUND_MS });
  return name;
}

const isHere = (name: string): Promise<boolean> => run(docker, ['image', 'inspect', name]).then(() => true, () => false);

/** Whether its registry answers for it. */
export const canBePulled = (name: string): Promise<boolean> => run(docker, ['manifest', 'inspect', name], { boundMs: ASKING_BOUND_MS }).then(() => true, () => false);

/** Megabytes of the image, unpacked. */
export async function sizeMb(image: string): Promise<number> {
  return Math.round(Number(await run(docker, ['image', 'inspect', '--format', '{{.Size}}', image])) / 1e6);
}

/** By the context's name: kind and minikube have commands to load an image. */
export const takesImagesAsTheyAre = (context: string): boolean => context.startsWith('kind-') || context === 'minikube';

/**
 * Others than kind and minikube pull from the registry, where it is pushed.
 * @returns the name to use in pods
 */
export async function shipImage(image: string, context: string): Promise<string> {
  if (context.startsWith('kind-')) {
    await run('kind', ['load', 'docker-image', image, '--name', context.slice('kind-'.length)]);
    return image;
  }
  if (context === 'minikube') {
    await run('minikube', ['image', 'load', image]);
    return image;
  }
  const remote = `${REGISTRY}/${image}`;
  await run(docker, ['tag', image, remote]);
  await run(docker, ['push', remote]);
  return remote;
}

/** Takes the names away; what they share with other images stays. */
export async function removeImages(names: readonly string[]): Promise<void> {
  await run(docker, ['image', 'rm', ...names]);
}
