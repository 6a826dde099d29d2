/** Every method of the protos, and the ready-made ones that a server has beside them. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface ServedMethod {
  /** "package.Service/Method" */
  readonly path: string;
  /** Its requests or its responses. */
  readonly streams: boolean;
}

const folder = resolve(import.meta.dirname, '../../../proto');
const READY_MADE: readonly ServedMethod[] = [
  { path: 'grpc.health.v1.Health/Check', streams: false },
  { path: 'grpc.health.v1.Health/List', streams: false },
  { path: 'grpc.health.v1.Health/Watch', streams: true },
  { path: 'grpc.reflection.v1.ServerReflection/ServerReflectionInfo', streams: true },
  { path: 'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', streams: true },
];

export function methods(): ServedMethod[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.proto'));
  return [...READY_MADE, ...files.flatMap((file) => methodsOf(readFileSync(join(folder, file), 'utf8')))];
}

function methodsOf(proto: string): ServedMethod[] {
  const [, packageName] = /^package ([\w.]+);/m.exec(proto) ?? [];
  let service = '';
  return [...proto.matchAll(/^service (\w+)|^\s*rpc (\w+)\((stream )?[^)]*\) returns \((stream )?/gm)].flatMap(([, begun, name, asks, answers]) => {
    if (begun !== undefined) service = begun;
    return name === undefined ? [] : [{ path: `${packageName}.${service}/${name}`, streams: asks !== undefined || answers !== undefined }];
  });
}
