/** What the image is built on. */

/** What docker can tell of an image's name. */
export interface Docker {
  isHere(name: string): Promise<boolean>;
  canBePulled(name: string): Promise<boolean>;
}

/** The base that the Dockerfile pins. */
export function pinnedBase(dockerfile: string): string {
  const [, name] = /^ARG NODE_IMAGE=(\S+)$/m.exec(dockerfile) ?? [];
  if (name === undefined) throw new Error('the Dockerfile has no line ARG NODE_IMAGE=…');
  return name;
}

/**
 * The pinned base; where no registry answers for it, whatever release of the same major version of Node is here.
 * @throws where there is neither
 */
export async function chooseBase(dockerfile: string, docker: Docker): Promise<string> {
  const pinned = pinnedBase(dockerfile);
  if ((await docker.isHere(pinned)) || (await docker.canBePulled(pinned))) return pinned;
  const anyRelease = pinned.replace(/:(\d+)[.\d]*-/, ':$1-');
  if (await docker.isHere(anyRelease)) return anyRelease;
  throw new Error(`${pinned}, which the image is built on, is not here, and no registry answers for it; nor is ${anyRelease} here`);
}
