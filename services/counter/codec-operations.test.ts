import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AddOperation, CheckOperation } from '../gen/txmesh/counter/v1/counter.ts';
import { homeOf } from '../kernel/counter/placement.ts';
import type { CounterOperation } from '../kernel/counter/types.ts';
import { decodeOperations, encodeConfiguration, fingerprintOf, misplacedOperation } from './codec-operations.ts';

const any = (name: string, value: Uint8Array) => ({ typeUrl: `type.googleapis.com/txmesh.counter.v1.${name}`, value });
const add = (counter: string, amount: bigint) => any('AddOperation', AddOperation.encode({ counter, amount }).finish());
const bounds = { minimum: -(2n ** 63n), maximum: undefined };

describe('operations', () => {
  test('add and check, to the last of 64 bits', () => {
    const check = any('CheckOperation', CheckOperation.encode({ counter: 'd', value: -(2n ** 63n) }).finish());
    expect(decodeOperations([add('c', 2n ** 63n - 1n), check])).toEqual([
      { type: 'add', name: 'c', amount: 2n ** 63n - 1n },
      { type: 'check', name: 'd', value: -(2n ** 63n) },
    ]);
  });

  test.each([
    { type: 'create', name: 'c', id: 'id', kind: 'strong', bounds, value: -5n, shards: 0 },
    { type: 'create', name: 'c', id: 'id', kind: 'sharded', bounds: { minimum: undefined, maximum: undefined }, value: 0n, shards: 64 },
    { type: 'update', name: 'c', bounds, shards: 0 },
    { type: 'update', name: 'c', bounds: undefined, shards: 3 },
    { type: 'delete', name: 'c' },
  ] as const)("the service's own: $type", (operation) => {
    expect(decodeOperations([encodeConfiguration(operation)])).toEqual([operation]);
  });

  test.each([
    ['an empty name', add('', 1n), 'operations[1].counter must not be empty'],
    ['a long name', add('x'.repeat(257), 1n), 'operations[1].counter has 257 bytes'],
    ['an unknown type', any('SubtractOperation', new Uint8Array()), 'AddOperation'],
    ['bytes that do not decode', any('AddOperation', new Uint8Array([10, 9])), 'operations[1] is no'],
    ['a change that is none', any('ConfigureOperation', new Uint8Array([10, 1, 99])), 'operations[1].change must be set'],
    ['too many shards', encodeConfiguration({ type: 'update', name: 'c', bounds: undefined, shards: 65 }), 'operations[1].update.shards'],
  ])('%s is refused, and the field named', (_, operation, message) => {
    expect(decodeOperations([add('c', 1n), operation])).toMatchObject({ message: expect.stringContaining(message) as unknown });
  });

  test('any bytes give operations or a failure', () => {
    const type = fc.constantFrom('AddOperation', 'CheckOperation', 'ConfigureOperation');
    fc.assert(
      fc.property(type, fc.uint8Array({ maxLength: 60 }), (name, bytes) => {
        const result = decodeOperations([any(name, bytes)]);
        expect('reason' in result ? result.message.length : result.length).toBeGreaterThan(0);
      }),
      { numRuns: 1000 },
    );
  });

  test('T10: other content has another fingerprint', () => {
    const one: CounterOperation = { type: 'add', name: 'c', amount: 1n };
    const prints = [[one], [one, one], [{ ...one, amount: -1n }], [{ ...one, name: 'd' }], [{ type: 'check', name: 'c', value: 1n }] as const].map(fingerprintOf);
    expect(new Set(prints).size).toBe(prints.length);
  });

  test('what belongs to another partition is refused; what is everywhere is nowhere misplaced', () => {
    const service = { name: 'counter', kind: 'counter', partitions: 4 } as const;
    const home = homeOf('c', 4);
    const operation: CounterOperation = { type: 'add', name: 'c', amount: 1n };
    expect(misplacedOperation([operation], service, home)).toBeUndefined();
    expect(misplacedOperation([operation], service, (home + 1) % 4)).toMatchObject({ reason: 'WRONG_PARTITION', metadata: { partition: String(home) } });
    expect(misplacedOperation([{ type: 'delete', name: 'c' }], service, (home + 1) % 4)).toBeUndefined();
  });
});
