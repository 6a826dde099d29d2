/** The environment of a container, as Kubernetes makes it. */

import type { Container, Resource } from './resource.ts';

/** Stands for what only the cluster knows, such as the name of a pod. */
export const FROM_THE_CLUSTER = 'from-the-cluster';

export function environmentOf({ env = [], envFrom = [] }: Container, resources: readonly Resource[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const { configMapRef } of envFrom) {
    const map = resources.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMapRef?.name);
    Object.assign(result, map?.data);
  }
  for (const { name, value = FROM_THE_CLUSTER } of env) {
    // A reference to a variable that is not there yet stays as it is, in Kubernetes too.
    result[name] = value.replaceAll(/\$\(([A-Z_]+)\)/g, (text, other: string) => result[other] ?? text);
  }
  return result;
}
