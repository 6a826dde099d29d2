import { expect, test } from 'vitest';
import { MergePolicy, PutOperation } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { encode } from '../runtime/encode.ts';
import { json, put, routingKeyOf } from './operations.ts';

test.each([
  ['plain', 'plain'],
  ['order/{17}/items', '17'],
  ['{}empty', '{}empty'],
  ['{open', '{open'],
  ['}{a}', 'a'],
  ['{a}{b}', 'a'],
])('the partition of %j is decided by %j', (key, routingKey) => {
  expect(routingKeyOf(key)).toBe(routingKey);
});

test('a put carries value, media type, precondition and merge rule', () => {
  const { participant, routingKey, operation } = put('payments', 'accounts', 'alice', json({ balance: 1 }), {
    precondition: { version: 7 },
    merge: 'jsonThreeWay',
  });
  expect({ participant, routingKey, typeUrl: operation.typeUrl }).toEqual({
    participant: 'payments',
    routingKey: 'alice',
    typeUrl: 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation',
  });
  expect(PutOperation.decode(operation.value)).toMatchObject({
    collection: 'accounts',
    key: 'alice',
    contentType: 'application/json',
    precondition: { condition: { $case: 'version', value: 7n } },
    mergePolicy: MergePolicy.JSON_THREE_WAY,
  });
});

test('a message that can’t be encoded leaves nothing behind for the next one', () => {
  expect(() => put('p', 'c', 'k', { value: 'no bytes' as unknown as Uint8Array, contentType: 1 as unknown as string })).toThrow();
  const message = { collection: 'c', key: 'k', value: Uint8Array.of(1), contentType: '', precondition: undefined, mergePolicy: 0 } as const;
  expect(encode(PutOperation, message)).toEqual(PutOperation.encode(message).finish());
});
