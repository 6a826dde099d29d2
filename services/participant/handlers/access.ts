/** What each method and operation of key-value participants needs; see runtime/security. */

import { MergePolicy, type KeyValueServiceService, type Precondition } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { AccessTable, Judge, MethodAccess, OperationTable } from '../../runtime/security/access.ts';
import { carried, judgeOperations } from '../../runtime/security/operations.ts';

const COLLECTION = ['participants', 'collections'] as const;
const READ = 'KeyValueService/Get';

const onCollection: MethodAccess<{ readonly participant: string; readonly collection: string }> = {
  right: 'ordinary',
  about: COLLECTION,
  judge: ({ participant, collection }, judge) => judge.needs('collections', participant, collection),
};

interface Change {
  readonly participant: string;
  readonly collection: string;
  readonly precondition: Precondition | undefined;
  readonly mergePolicy?: MergePolicy;
}

/** What is refused for the state of a key tells its version and its value. */
const change: MethodAccess<Change> = {
  ...onCollection,
  judge({ participant, collection, precondition, mergePolicy }, judge) {
    judge.needs('collections', participant, collection);
    if (precondition !== undefined || (mergePolicy ?? MergePolicy.UNSPECIFIED) !== MergePolicy.UNSPECIFIED)
      judge.needsFor(READ, 'collections', participant, collection);
  },
};

export const keyValueOperations: OperationTable = {
  'txmesh.keyvalue.v1.PutOperation': carried('KeyValueService/Put', 'collections', { fields: [5, 6], method: READ }),
  'txmesh.keyvalue.v1.DeleteOperation': carried('KeyValueService/Delete', 'collections', { fields: [3], method: READ }),
  // It tells whether a key is there, and its version.
  'txmesh.keyvalue.v1.CheckOperation': carried(READ, 'collections'),
};

export const keyValueAccess: AccessTable<typeof KeyValueServiceService> = {
  get: onCollection,
  batchGet: {
    right: 'ordinary',
    about: COLLECTION,
    judge({ participant, keys }, judge: Judge) {
      for (const { collection } of keys) judge.needs('collections', participant, collection);
    },
  },
  scan: onCollection,
  put: change,
  delete: change,
  // Each operation needs the right of the same change by itself.
  executeLocal: { right: 'ordinary', about: [], judge: ({ operations }, judge) => judgeOperations(keyValueOperations, operations, judge) },
  watch: onCollection,
  listVersions: onCollection,
};
