/** Operations of branches as they arrive, as google.protobuf.Any, and as the key-value kernel takes them. */

import {
  CheckOperation,
  DeleteOperation,
  MergePolicy,
  type Precondition as PreconditionMessage,
  PutOperation,
} from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../kernel/failure.ts';
import { nameOf } from '../kernel/keyvalue/keys.ts';
import { routingKeyOf } from '../kernel/keyvalue/routing.ts';
import { LIMITS, type KeyValueOperation, type MergePolicy as Merge, type Precondition } from '../kernel/keyvalue/types.ts';
import type { OpaqueOperation } from '../kernel/messages.ts';
import { bytesUpTo, textUpTo, Violations, type Rule } from '../runtime/router/rules.ts';
import { decodeStrictly } from '../runtime/transport/decode.ts';
import { copyOf } from '../runtime/participant/codec-protocol.ts';
import { collection as collectionRule, key as keyRule } from './handlers/validate.ts';

const PACKAGE = 'txmesh.keyvalue.v1.';
const valueRule = bytesUpTo(LIMITS.valueBytes);
const contentTypeRule = textUpTo(LIMITS.contentTypeBytes);

export type DecodedOperations =
  | {
      readonly operations: readonly KeyValueOperation[];
      /** What decides the partition of each. */
      readonly routingKeys: readonly string[];
    }
  | { readonly failure: Failure };

/** @param path of the list in the request, for violations */
export function decodeOperations(opaque: readonly OpaqueOperation[], path = 'operations'): DecodedOperations {
  if (opaque.length > LIMITS.branchOperations) {
    const message = `a branch has ${opaque.length} operations at one partition; at most ${LIMITS.branchOperations} are allowed`;
    return { failure: { reason: 'LIMIT_EXCEEDED', message } };
  }
  const operations: KeyValueOperation[] = [];
  const routingKeys: string[] = [];
  const found = new Violations();
  for (let i = 0; i < opaque.length; i++) {
    const { typeUrl, value } = opaque[i]!;
    const at = `${path}[${i}]`;
    try {
      switch (typeUrl.slice(typeUrl.lastIndexOf('/') + 1)) {
        case `${PACKAGE}PutOperation`: {
          const put = decodeStrictly(PutOperation, value);
          routingKeys.push(routingKeyOf(put.key));
          operations.push(toPut(put, at, found));
          break;
        }
        case `${PACKAGE}DeleteOperation`: {
          const { collection, key, precondition } = decodeStrictly(DeleteOperation, value);
          routingKeys.push(routingKeyOf(key));
          operations.push({ type: 'delete', ...toKey(collection, key, precondition, at, found) });
          break;
        }
        case `${PACKAGE}CheckOperation`: {
          const { collection, key, precondition } = decodeStrictly(CheckOperation, value);
          routingKeys.push(routingKeyOf(key));
          operations.push({ type: 'check', ...toKey(collection, key, precondition, at, found) });
          break;
        }
        default:
          return { failure: unknownType(at, typeUrl) };
      }
    } catch (error) {
      return { failure: malformed(at, typeUrl, error) };
    }
  }
  const { failure } = found;
  return failure === undefined ? { operations, routingKeys } : { failure };
}

/** What PutOperation and PutRequest have in common. */
export type PutFields = PutOperation;

export function toPut(put: PutFields, path: string, found: Violations): KeyValueOperation {
  const { collection, key, value, contentType, precondition, mergePolicy } = put;
  check(valueRule, value, path, 'value', found);
  check(contentTypeRule, contentType, path, 'content_type', found);
  const named = toKey(collection, key, precondition, path, found);
  const merge = toMergePolicy(mergePolicy);
  if (merge === undefined) found.add(`${path}.merge_policy`, `is ${mergePolicy}, which is no merge policy`);
  if (merge === 'jsonThreeWay' && typeof named.precondition !== 'number') {
    found.add(`${path}.precondition.version`, 'must name the base version for merge policy JSON_THREE_WAY');
  }
  return {
    type: 'put',
    name: named.name,
    precondition: named.precondition,
    value: copyOf(value),
    contentType,
    mergePolicy: merge ?? 'reject',
  };
}

export function toKey(
  collection: string,
  key: string,
  precondition: PreconditionMessage | undefined,
  path: string,
  found: Violations,
): { readonly name: string; readonly precondition: Precondition } {
  check(collectionRule, collection, path, 'collection', found);
  check(keyRule, key, path, 'key', found);
  return { name: nameOf(collection, key), precondition: toPrecondition(precondition, path, found) };
}

function toPrecondition(message: PreconditionMessage | undefined, path: string, found: Violations): Precondition {
  if (message === undefined) return 'any';
  const { condition } = message;
  if (condition === undefined) {
    found.add(`${path}.precondition.condition`, 'must be set: any, absent or version');
    return 'any';
  }
  if (condition.$case === 'version') {
    if (condition.value > BigInt(Number.MAX_SAFE_INTEGER)) found.add(`${path}.precondition.version`, 'must be below 2^53');
    return Number(condition.value);
  }
  if (!condition.value) found.add(`${path}.precondition.${condition.$case}`, 'must be true where it is set');
  return condition.$case;
}

export function toMergePolicy(policy: MergePolicy): Merge | undefined {
  switch (policy) {
    case MergePolicy.UNSPECIFIED:
    case MergePolicy.REJECT:
      return 'reject';
    case MergePolicy.LAST_WRITER_WINS:
      return 'lastWriterWins';
    case MergePolicy.JSON_MERGE_PATCH:
      return 'jsonMergePatch';
    case MergePolicy.JSON_THREE_WAY:
      return 'jsonThreeWay';
    default:
      return undefined;
  }
}

/** The path is only put together where something is wrong. */
function check<T>(rule: Rule<T>, value: T, path: string, field: string, found: Violations): void {
  const probe = new Violations();
  rule(value, '', probe);
  if (probe.failure !== undefined) rule(value, path === '' ? field : `${path}.${field}`, found);
}

function unknownType(at: string, typeUrl: string): Failure {
  const message =
    `${at} has type "${typeUrl}"; a key-value participant knows ` +
    `${PACKAGE}PutOperation, DeleteOperation and CheckOperation`;
  return { reason: 'UNKNOWN_OPERATION', message, violations: [{ field: at, description: 'is of an unknown type' }] };
}

function malformed(at: string, typeUrl: string, error: unknown): Failure {
  const why = error instanceof Error ? error.message : String(error);
  return { reason: 'MALFORMED_MESSAGE', message: `${at} can't be decoded as ${typeUrl}: ${why}` };
}
