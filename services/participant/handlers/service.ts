/** What the handlers of KeyValueService share. */

import type { Failure } from '../../kernel/failure.ts';
import { partitionOf } from '../../kernel/hash.ts';
import { splitName } from '../../kernel/keyvalue/keys.ts';
import { routingKeyOf } from '../../kernel/keyvalue/routing.ts';
import type { KeyValueEvent, KeyValueOperation, KeyValueTypes } from '../../kernel/keyvalue/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import type { ParticipantServices, ParticipantTerm } from '../../runtime/participant/service.ts';

/** A partition of a key-value participant that is led here. */
export type KeyValueTerm = ParticipantTerm<KeyValueTypes, KeyValueEvent>;

export type KeyValueServices = ParticipantServices<KeyValueTypes, KeyValueEvent>;

/** The partition that a key belongs to. */
export function partitionOfKey(service: Service, key: string): number {
  return partitionOf(routingKeyOf(key), service.partitions);
}

/** The first operation whose key belongs to another partition than the one that is to carry it out. */
export function misplacedOperation(
  operations: readonly KeyValueOperation[],
  service: Service,
  partition: number,
): Failure | undefined {
  if (service.partitions === 1) return undefined;
  for (let i = 0; i < operations.length; i++) {
    const { key } = splitName(operations[i]!.name);
    const owner = partitionOfKey(service, key);
    if (owner === partition) continue;
    const description =
      `key "${key}" belongs to partition ${owner} of ${service.name}, not to partition ${partition}; ` +
      "give the key as the operation's routing key, or the part between '{' and '}'";
    return {
      reason: 'WRONG_PARTITION',
      message: `operations[${i}]: ${description}`,
      violations: [{ field: `operations[${i}].routing_key`, description }],
      metadata: { participant: service.name, partition: String(owner) },
    };
  }
  return undefined;
}
