/** What the standard services of gRPC need. The policy may open them to anybody. */

import type { MethodAccess } from './access.ts';

const health: MethodAccess = { right: 'health', about: [] };
const reflection: MethodAccess = { right: 'reflection', about: [] };

const methods = (service: string, names: readonly string[]): Record<string, { path: string }> =>
  Object.fromEntries(names.map((name) => [name, { path: `/${service}/${name}` }]));

/** As the packages register them: definitions, each with its table. */
export const STANDARD_SERVICES: readonly (readonly [object, object])[] = [
  [methods('grpc.health.v1.Health', ['Check', 'Watch', 'List']), { Check: health, Watch: health, List: health }],
  ...['v1', 'v1alpha'].map(
    (version) => [methods(`grpc.reflection.${version}.ServerReflection`, ['ServerReflectionInfo']), { ServerReflectionInfo: reflection }] as const,
  ),
];
