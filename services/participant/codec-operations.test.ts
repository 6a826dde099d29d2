import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CheckOperation, DeleteOperation, MergePolicy, PutOperation } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { decodeOperations } from './codec-operations.ts';

const TYPE = 'type.googleapis.com/txmesh.keyvalue.v1.';
const any = (name: string, value: Uint8Array) => ({ typeUrl: TYPE + name, value });
const put = (fields: Partial<PutOperation>): Uint8Array =>
  PutOperation.encode({
    collection: 'c', key: 'k', value: new Uint8Array([1]), contentType: '', precondition: undefined, mergePolicy: MergePolicy.UNSPECIFIED, ...fields,
  }).finish();

function violationsOf(name: string, value: Uint8Array): unknown {
  const result = decodeOperations([any('PutOperation', put({})), any(name, value)]);
  return 'failure' in result ? (result.failure.violations?.map(({ field }) => field) ?? result.failure.reason) : 'none';
}

describe('operations', () => {
  test('put, delete and check', () => {
    const version = { condition: { $case: 'version', value: 7n } } as const;
    const result = decodeOperations([
      any('PutOperation', put({ key: '{a}b', mergePolicy: MergePolicy.JSON_THREE_WAY, precondition: version })),
      any('DeleteOperation', DeleteOperation.encode({ collection: 'c', key: 'd', precondition: undefined }).finish()),
      any('CheckOperation', CheckOperation.encode({ collection: 'c', key: 'e', precondition: { condition: { $case: 'absent', value: true } } }).finish()),
    ]);
    expect(result).toEqual({
      operations: [
        { type: 'put', name: 'c/{a}b', precondition: 7, value: new Uint8Array([1]), contentType: '', mergePolicy: 'jsonThreeWay' },
        { type: 'delete', name: 'c/d', precondition: 'any' },
        { type: 'check', name: 'c/e', precondition: 'absent' },
      ],
      routingKeys: ['a', 'd', 'e'],
    });
  });

  test.each([
    ['collection', put({ collection: '' })],
    ['collection', put({ collection: 'a/b' })],
    ['key', put({ key: '' })],
    ['key', put({ key: 'x'.repeat(1025) })],
    ['key', put({ key: 'a\0b' })],
    ['value', put({ value: new Uint8Array(1_048_577) })],
    ['content_type', put({ contentType: 'x'.repeat(256) })],
    ['merge_policy', put({ mergePolicy: 9 as MergePolicy })],
    ['precondition.version', put({ mergePolicy: MergePolicy.JSON_THREE_WAY })],
    ['precondition.condition', put({ precondition: { condition: undefined } })],
    ['precondition.absent', put({ precondition: { condition: { $case: 'absent', value: false } } })],
    ['precondition.version', put({ precondition: { condition: { $case: 'version', value: 2n ** 60n } } })],
  ])('a broken rule of %s names the field', (field, value) => {
    expect(violationsOf('PutOperation', value)).toEqual([`operations[1].${field}`]);
  });

  test('an unknown type is refused, and says which are known', () => {
    const result = decodeOperations([{ typeUrl: 'type.googleapis.com/other.Thing', value: new Uint8Array() }]);
    expect(result).toMatchObject({ failure: { reason: 'UNKNOWN_OPERATION', message: expect.stringContaining('PutOperation') } });
  });

  test('invalid UTF-8 and bytes that do not decode are refused, never altered', () => {
    const bytes = put({ key: 'kk' });
    bytes[bytes.indexOf(0x6b)] = 0xff;
    expect(violationsOf('PutOperation', bytes)).toBe('MALFORMED_MESSAGE');
    expect(violationsOf('PutOperation', new Uint8Array([10, 200, 1]))).toBe('MALFORMED_MESSAGE');
  });

  test('too many operations are refused before they are decoded', () => {
    expect(decodeOperations(Array.from({ length: 121 }, () => any('PutOperation', put({}))))).toMatchObject({ failure: { reason: 'LIMIT_EXCEEDED' } });
  });

  test('any bytes give operations or a failure', () => {
    const type = fc.constantFrom('PutOperation', 'DeleteOperation', 'CheckOperation');
    fc.assert(
      fc.property(type, fc.uint8Array({ maxLength: 60 }), (name, bytes) => {
        const result = decodeOperations([any(name, bytes)]);
        expect('failure' in result ? result.failure.message.length : result.operations.length).toBeGreaterThan(0);
      }),
      { numRuns: 1000 },
    );
  });

  test('what is kept is a copy of what was received', () => {
    const bytes = put({});
    const result = decodeOperations([any('PutOperation', bytes)]);
    bytes.fill(0);
    expect(result).toMatchObject({ operations: [{ name: 'c/k', value: new Uint8Array([1]) }] });
  });
});
