/** The key-value participant, as a process takes it. */

import type { KeyValueEvent, KeyValueTypes } from '../../kernel/keyvalue/types.ts';
import { kindApi, type ParticipantKind } from '../../runtime/participant/kind.ts';
import { decodeOperations } from '../codec-operations.ts';
import { participantCodec } from '../codec.ts';
import { fingerprintOf } from './fingerprint.ts';
import { keyValueHandlers, KeyValueServiceService } from './handlers.ts';
import { hostKeyValue } from './host.ts';
import { misplacedOperation } from './service.ts';

export interface KeyValueOptions {
  /** Earlier versions to keep of every key. */
  readonly historyLimit: number;
}

export function keyValueKind({ historyLimit }: KeyValueOptions): ParticipantKind<KeyValueTypes, KeyValueEvent> {
  return {
    name: 'key-value',
    label: 'key-value participant',
    readOnlyTypes: new Set(['type.googleapis.com/txmesh.keyvalue.v1.CheckOperation']),
    codec: participantCodec,
    decodeOperations(operations) {
      const decoded = decodeOperations(operations);
      return 'failure' in decoded ? decoded.failure : decoded.operations;
    },
    fingerprintOf,
    misplaced: misplacedOperation,
    host: (options) => hostKeyValue({ ...options, historyLimit }),
    api: (services) => kindApi('txmesh.keyvalue.v1.KeyValueService', KeyValueServiceService, keyValueHandlers(services)),
  };
}
