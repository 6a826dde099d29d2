/** What each method and operation of key-value participants needs; see runtime/security. */

import type { KeyValueServiceService } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { AccessTable, Judge, MethodAccess, OperationTable } from '../../runtime/security/access.ts';
import { carried, judgeOperations } from '../../runtime/security/operations.ts';

const COLLECTION = ['participants', 'collections'] as const;

const onCollection: MethodAccess<{ readonly participant: string; readonly collection: string }> = {
  right: 'ordinary',
  about: COLLECTION,
  judge: ({ participant, collection }, judge) => judge.needs('collections', participant, collection),
};

export const keyValueOperations: OperationTable = {
  'txmesh.keyvalue.v1.PutOperation': carried('KeyValueService/Put', 'collections'),
  'txmesh.keyvalue.v1.DeleteOperation': carried('KeyValueService/Delete', 'collections'),
  // It tells whether a key is there, and its version.
  'txmesh.keyvalue.v1.CheckOperation': carried('KeyValueService/Get', 'collections'),
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
  put: onCollection,
  delete: onCollection,
  // Each operation needs the right of the same change by itself.
  executeLocal: { right: 'ordinary', about: [], judge: ({ operations }, judge) => judgeOperations(keyValueOperations, operations, judge) },
  watch: onCollection,
  listVersions: onCollection,
};
