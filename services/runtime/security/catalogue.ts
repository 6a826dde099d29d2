/** Every method that a server has, by the path on the wire and by the name that rules use. */

import type { MethodAccess, OperationTable, PartsAccess } from './access.ts';

type Access = MethodAccess<unknown> | PartsAccess<unknown, unknown>;

export interface MethodEntry {
  /** "/txmesh.keyvalue.v1.KeyValueService/Get" */
  readonly path: string;
  /** "KeyValueService/Get" */
  readonly name: string;
  readonly access: Access;
}

interface Definition {
  readonly [name: string]: { readonly path: string };
}

export class Catalogue {
  /** By path. */
  readonly methods: ReadonlyMap<string, MethodEntry>;
  /** In the order of the services. */
  readonly entries: readonly MethodEntry[];
  readonly operations: OperationTable;

  /** @param services definitions, generated or not, each with its table */
  constructor(services: readonly (readonly [definition: object, table: object])[], operations: OperationTable) {
    const methods = new Map<string, MethodEntry>();
    for (const [definition, table] of services)
      for (const [key, { path }] of Object.entries(definition as Definition)) {
        const access = (table as Record<string, Access | undefined>)[key];
        if (access === undefined) throw new Error(`${path} has no entry that says who may call it`);
        methods.set(path, { path, name: nameOf(path), access });
      }
    this.methods = methods;
    this.entries = [...methods.values()];
    this.operations = operations;
  }

}

/** Without the package of its service. */
export function nameOf(path: string): string {
  const [, service = '', method = ''] = path.split('/');
  return `${service.slice(service.lastIndexOf('.') + 1)}/${method}`;
}
