/** Operations of branches as they arrive, as google.protobuf.Any, and as the counter kernel takes them. */

import { AddOperation, type Bounds as BoundsMessage, CheckOperation } from '../gen/txmesh/counter/v1/counter.ts';
import { ConfigureOperation } from '../gen/txmesh/counter/v1/counter_operation.ts';
import { homeOf, isEverywhere } from '../kernel/counter/placement.ts';
import { type Bounds, type CounterOperation, LIMITS } from '../kernel/counter/types.ts';
import type { Failure } from '../kernel/failure.ts';
import type { OpaqueOperation } from '../kernel/messages.ts';
import type { Service } from '../runtime/cluster/view.ts';
import { encode } from '../runtime/encode.ts';
import { fingerprint } from '../runtime/router/fingerprint.ts';
import { textUpTo, Violations, type Rule } from '../runtime/router/rules.ts';
import { decodeStrictly } from '../runtime/transport/decode.ts';
import { fromKind, toKind } from './codec-partition.ts';
import { counterName } from './handlers/names.ts';

const PACKAGE = 'txmesh.counter.v1.';
const idRule = textUpTo(64);
const URL_PREFIX = `type.googleapis.com/${PACKAGE}`;

export const READ_ONLY_TYPES: ReadonlySet<string> = new Set([`${URL_PREFIX}CheckOperation`]);

/** @param path of the list in the request, for violations */
export function decodeOperations(opaque: readonly OpaqueOperation[], path = 'operations'): readonly CounterOperation[] | Failure {
  if (opaque.length > LIMITS.operations) {
    const message = `a branch has ${opaque.length} operations at one partition; at most ${LIMITS.operations} are allowed`;
    return { reason: 'LIMIT_EXCEEDED', message };
  }
  const operations: CounterOperation[] = [];
  const found = new Violations();
  for (let i = 0; i < opaque.length; i++) {
    const { typeUrl, value } = opaque[i]!;
    const at = `${path}[${i}]`;
    try {
      const operation = decode(typeUrl.slice(typeUrl.lastIndexOf('/') + 1), value, at, found);
      if (operation === undefined) return unknownType(at, typeUrl);
      operations.push(operation);
    } catch (error) {
      return malformed(at, typeUrl, error);
    }
  }
  return found.failure ?? operations;
}

function decode(type: string, value: Uint8Array, at: string, found: Violations): CounterOperation | undefined {
  switch (type) {
    case `${PACKAGE}AddOperation`: {
      const { counter, amount } = decodeStrictly(AddOperation, value);
      check(counterName, counter, at, 'counter', found);
      return { type: 'add', name: counter, amount };
    }
    case `${PACKAGE}CheckOperation`: {
      const message = decodeStrictly(CheckOperation, value);
      check(counterName, message.counter, at, 'counter', found);
      return { type: 'check', name: message.counter, value: message.value };
    }
    case `${PACKAGE}ConfigureOperation`:
      return decodeConfigure(decodeStrictly(ConfigureOperation, value), at, found);
    default:
      return undefined;
  }
}

function decodeConfigure({ counter: name, change }: ConfigureOperation, at: string, found: Violations): CounterOperation {
  check(counterName, name, at, 'counter', found);
  switch (change?.$case) {
    case 'create': {
      const { kind, id, minimum, maximum, value, shards } = change.value;
      check(idRule, id, at, 'create.id', found);
      const known = fromKind(kind);
      if (known === undefined) found.add(`${at}.create.kind`, `is ${kind}, which is no kind`);
      if (known === 'sharded' && (shards < 1 || shards > LIMITS.shards)) found.add(`${at}.create.shards`, `must be from 1 to ${LIMITS.shards}`);
      return { type: 'create', name, id, kind: known ?? 'strong', bounds: { minimum, maximum }, value, shards };
    }
    case 'update': {
      const { bounds, shards } = change.value;
      if (shards > LIMITS.shards) found.add(`${at}.update.shards`, `must be from 0 to ${LIMITS.shards}`);
      return { type: 'update', name, bounds: bounds && boundsOf(bounds), shards };
    }
    case 'delete':
      return { type: 'delete', name };
    case undefined:
      found.add(`${at}.change`, 'must be set');
      return { type: 'delete', name };
  }
}

function boundsOf({ minimum, maximum }: BoundsMessage): Bounds {
  return { minimum, maximum };
}

type Configuration = Extract<CounterOperation, { readonly type: 'create' | 'update' | 'delete' }>;

/** What a transaction carries to every partition that has a part of the counter. */
export function encodeConfiguration(operation: Configuration): OpaqueOperation {
  return { typeUrl: `${URL_PREFIX}ConfigureOperation`, value: encode(ConfigureOperation, { counter: operation.name, change: toChange(operation) }) };
}

function toChange(operation: Configuration): ConfigureOperation['change'] {
  switch (operation.type) {
    case 'create': {
      const { kind, id, bounds, value, shards } = operation;
      return { $case: 'create', value: { kind: toKind(kind), id, ...bounds, value, shards } };
    }
    case 'update':
      return { $case: 'update', value: { bounds: operation.bounds && { ...operation.bounds }, shards: operation.shards } };
    case 'delete':
      return { $case: 'delete', value: true };
  }
}

/** The same in whatever wire form it came (invariant T10). */
export function fingerprintOf(operations: readonly CounterOperation[]): string {
  return fingerprint(operations.map((operation) => JSON.stringify(operation, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))));
}

/** The first operation that belongs to another partition than the one that is to carry it out. */
export function misplacedOperation(operations: readonly CounterOperation[], { name: participant, partitions }: Service, partition: number): Failure | undefined {
  if (partitions === 1) return undefined;
  for (let i = 0; i < operations.length; i++) {
    const operation = operations[i]!;
    // What changes a counter that is everywhere goes everywhere.
    if (operation.type === 'update' || operation.type === 'delete') continue;
    if (operation.type === 'create' && isEverywhere(operation.kind)) continue;
    const home = homeOf(operation.name, partitions);
    if (home === partition) continue;
    const description = `counter "${operation.name}" belongs to partition ${home} of ${participant}, not to partition ${partition}; give its name as the operation's routing key`;
    return {
      reason: 'WRONG_PARTITION',
      message: `operations[${i}]: ${description}`,
      violations: [{ field: `operations[${i}].routing_key`, description }],
      metadata: { participant, partition: String(home) },
    };
  }
  return undefined;
}

/** The path is only put together where something is wrong. */
function check<T>(rule: Rule<T>, value: T, at: string, field: string, found: Violations): void {
  const probe = new Violations();
  rule(value, '', probe);
  if (probe.failure !== undefined) rule(value, `${at}.${field}`, found);
}

function unknownType(at: string, typeUrl: string): Failure {
  return {
    reason: 'UNKNOWN_OPERATION',
    message: `${at} has type "${typeUrl}", which is no operation of counters; they know ${PACKAGE}AddOperation and ${PACKAGE}CheckOperation`,
    violations: [{ field: `${at}.operation.type_url`, description: 'is not known to the participant' }],
  };
}

function malformed(at: string, typeUrl: string, error: unknown): Failure {
  const message = `${at} is no ${typeUrl.slice(typeUrl.lastIndexOf('/') + 1)}: ${error instanceof Error ? error.message : String(error)}`;
  return { reason: 'MALFORMED_MESSAGE', message, violations: [{ field: `${at}.operation.value`, description: 'does not decode' }] };
}
