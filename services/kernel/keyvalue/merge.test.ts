import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isEqual, mergePatch, parseJson, threeWayMerge, type Json } from './merge.ts';

const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as Json);
const object = fc.dictionary(fc.constantFrom('a', 'b', '~/', '__proto__'), json, { maxKeys: 4 }).map((value) => JSON.parse(JSON.stringify(value)) as Json);

describe('JSON merge patch', () => {
  // RFC 7396, appendix A.
  test.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('%s patched with %s is %s', (target, patch, result) => {
    expect(mergePatch(JSON.parse(target) as Json, JSON.parse(patch) as Json)).toEqual(JSON.parse(result));
  });

  test('patching twice is patching once', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const once = mergePatch(target, patch);
        expect(isEqual(mergePatch(once, patch), once)).toBe(true);
      }),
    );
  });

  test('a member named __proto__ is a member', () => {
    const result = mergePatch({}, JSON.parse('{"__proto__":{"x":1}}') as Json);
    expect(JSON.stringify(result)).toBe('{"__proto__":{"x":1}}');
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});

describe('three-way merge', () => {
  test('fields that only one side changed are taken from it', () => {
    expect(threeWayMerge({ a: 1, b: 1, c: 1 }, { a: 2, b: 1 }, { a: 1, b: 3, c: 1, d: 4 })).toEqual({ merged: { a: 2, b: 3, d: 4 } });
  });

  test('fields that both changed differently are named by JSON pointers', () => {
    expect(threeWayMerge({ a: { x: 1 }, 'b/~': 1, c: [1] }, { a: { x: 2 }, c: [2] }, { a: { x: 3 }, 'b/~': 2, c: [1] })).toEqual({
      conflicts: ['/a/x', '/b~1~0'],
    });
  });

  test('two documents that were both added are merged from nothing', () => {
    expect(threeWayMerge(undefined, { a: 1 }, { b: 2 })).toEqual({ merged: { a: 1, b: 2 } });
    expect(threeWayMerge(undefined, { a: 1 }, { a: 2 })).toEqual({ conflicts: ['/a'] });
    expect(threeWayMerge(undefined, 1, 2)).toEqual({ conflicts: [''] });
  });

  test('where one side did not change, the result is the other side', () => {
    fc.assert(
      fc.property(json, json, (base, other) => {
        expect(threeWayMerge(base, other, base)).toEqual({ merged: other });
        expect(threeWayMerge(base, base, other)).toEqual({ merged: other });
        expect(threeWayMerge(base, other, other)).toEqual({ merged: other });
      }),
    );
  });

  test('both sides may be exchanged', () => {
    fc.assert(
      fc.property(object, object, object, (base, a, b) => {
        const [one, two] = [threeWayMerge(base, a, b), threeWayMerge(base, b, a)];
        if ('merged' in one && 'merged' in two) expect(isEqual(one.merged, two.merged)).toBe(true);
        else expect('conflicts' in one && [...one.conflicts].sort()).toEqual('conflicts' in two && [...two.conflicts].sort());
      }),
    );
  });
});

test('what is no JSON, or deeper than a hundred levels, is not merged', () => {
  expect(parseJson('{')).toBeUndefined();
  expect(parseJson('['.repeat(100) + ']'.repeat(100))).toBeDefined();
  expect(parseJson('['.repeat(102) + ']'.repeat(102))).toBeUndefined();
  expect(parseJson('['.repeat(500_000) + ']'.repeat(500_000))).toBeUndefined();
});
