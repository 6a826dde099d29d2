/**
 * Writes kubernetes.json, the part of the schema of Kubernetes' API that deploy/ needs, from what a
 * running cluster publishes:
 *
 *   node --conditions=txmesh-source test/deploy/schema/update.ts
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const KINDS: Readonly<Record<string, readonly string[]>> = {
  'api/v1': ['ConfigMap', 'Namespace', 'PersistentVolumeClaim', 'Secret', 'Service', 'ServiceAccount'],
  'apis/apps/v1': ['Deployment', 'StatefulSet'],
  'apis/autoscaling/v2': ['HorizontalPodAutoscaler'],
  'apis/batch/v1': ['CronJob', 'Job'],
  'apis/networking.k8s.io/v1': ['NetworkPolicy'],
  'apis/policy/v1': ['PodDisruptionBudget'],
};

interface Node {
  readonly [key: string]: unknown;
}
interface Definition extends Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly kind: string }[];
}

const REFERENCE = /^#\/components\/schemas\/(.+)$/;
const kubectl = (path: string): unknown => JSON.parse(execFileSync('kubectl', ['get', '--raw', path], { maxBuffer: 2 ** 28 }).toString());

/** What the server fills in, and what nobody writes into a manifest. */
const LEFT_OUT = new Set(['description', 'default', 'format']);
const isLeftOut = (key: string): boolean => LEFT_OUT.has(key) || key.startsWith('x-kubernetes-');

/** As JSON schema: references to definitions beside it, and no field that is not named. */
function convert(value: unknown, isNames: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => convert(item, false));
  if (typeof value !== 'object' || value === null) return value;
  const source = value as Node;
  if (typeof source['$ref'] === 'string') return { $ref: `#/definitions/${REFERENCE.exec(source['$ref'])![1]}` };
  // A reference with a default is wrapped.
  if (Array.isArray(source['allOf']) && source['allOf'].length === 1) return convert(source['allOf'][0], false);
  const result: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(source)) if (isNames || !isLeftOut(key)) result[key] = convert(inner, !isNames && key === 'properties');
  if (!isNames && 'properties' in source) result['additionalProperties'] = false;
  return result;
}

const kinds: Record<string, string> = {};
const definitions: Record<string, unknown> = {};
for (const [path, wanted] of Object.entries(KINDS)) {
  const { components } = kubectl(`/openapi/v3/${path}`) as { components: { schemas: Record<string, Definition> } };
  const take = (name: string): void => {
    if (name in definitions) return;
    const definition = (definitions[name] = convert(components.schemas[name]!, false));
    for (const [, other] of JSON.stringify(definition).matchAll(/"#\/definitions\/([^"]+)"/g)) take(other!);
  };
  for (const kind of wanted) {
    const [name] = Object.entries(components.schemas).find(([, { 'x-kubernetes-group-version-kind': made }]) => made?.length === 1 && made[0]!.kind === kind)!;
    kinds[`${path.replace(/^apis?\//, '')}/${kind}`] = name;
    take(name);
  }
}
const { gitVersion } = kubectl('/version') as { gitVersion: string };
writeFileSync(new URL('kubernetes.json', import.meta.url), `${JSON.stringify({ source: `the OpenAPI of Kubernetes ${gitVersion}, Apache-2.0`, kinds, definitions }, null, 1)}\n`);
