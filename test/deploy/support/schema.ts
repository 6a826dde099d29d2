/** Resources against the schemas of the API of Kubernetes and of the k6 operator; schema/README.md tells where they come from. */

import { readFileSync } from 'node:fs';
import { Ajv, type ValidateFunction } from 'ajv';
import { nameOf, type Resource } from './resource.ts';

interface Schema {
  /** Version and kind, `apps/v1/StatefulSet`, to a definition's name. */
  readonly kinds: Readonly<Record<string, string>>;
  readonly definitions: object;
}

const read = (file: string): Schema => JSON.parse(readFileSync(new URL(`../schema/${file}`, import.meta.url), 'utf8')) as Schema;
const [kubernetes, testRun] = [read('kubernetes.json'), read('testrun.json')];
const schema: Schema = {
  kinds: { ...kubernetes.kinds, ...testRun.kinds },
  definitions: { ...kubernetes.definitions, ...testRun.definitions },
};
const ajv = new Ajv({ strict: false, allErrors: true });
const validators = new Map<string, ValidateFunction>();

/** One sentence for each thing that the API would not take. */
export function findSchemaErrors(resource: Resource): string[] {
  const kind = `${resource.apiVersion}/${resource.kind}`;
  const definition = schema.kinds[kind];
  if (definition === undefined) return [`${nameOf(resource)}: ${kind} is not in the schema (see test/deploy/schema/README.md)`];
  let validate = validators.get(definition);
  if (validate === undefined) {
    validate = ajv.compile({ definitions: schema.definitions, $ref: `#/definitions/${definition}` });
    validators.set(definition, validate);
  }
  if (validate(resource)) return [];
  return validate.errors!.map(({ instancePath, message, params }) => `${nameOf(resource)}: ${instancePath} ${message} ${JSON.stringify(params)}`);
}
