import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePageToken, encodePageToken, pageToken } from './page-token.ts';
import { fingerprint } from './fingerprint.ts';
import {
  duration,
  enumOf,
  findFailure,
  list,
  message,
  optional,
  required,
  serviceName,
  textUpTo,
  timestamp,
  transactionId,
  typeUrl,
  wholeNumber,
  type Rule,
} from './rules.ts';

const isRight = <T>(rule: Rule<T>, value: T): boolean => findFailure(message<{ field: T }>({ field: rule }), { field: value }) === undefined;

describe('rules', () => {
  test('all violations of a message are named, with the paths of the proto files', () => {
    const rule = message<{ transactionId: string; theKeys: { pageSize: number }[] }>({
      transactionId,
      theKeys: list(1, 3, message({ pageSize: wholeNumber(1, 5) })),
    });
    const failure = findFailure(rule, { transactionId: 'x', theKeys: [{ pageSize: 1 }, { pageSize: 9 }] });
    expect(failure?.reason).toBe('INVALID_FIELD');
    expect(failure?.violations?.map(({ field }) => field)).toEqual(['transaction_id', 'the_keys[1].page_size']);
    expect(failure?.message).toContain('1 more');
  });

  test('a limit that is passed makes the failure LIMIT_EXCEEDED and is named first', () => {
    const rule = message<{ a: string; b: string }>({ a: serviceName, b: textUpTo(3) });
    const failure = findFailure(rule, { a: '', b: 'four' });
    expect(failure).toMatchObject({ reason: 'LIMIT_EXCEEDED', message: expect.stringContaining('b has 4 bytes of UTF-8, the limit is 3') });
  });

  test('a hostile list names no more violations than a person reads', () => {
    const failure = findFailure(message<{ a: string[] }>({ a: list(0, 1000, serviceName) }), { a: Array.from({ length: 1000 }, () => '') });
    expect(failure?.violations).toHaveLength(50);
    expect(failure?.message).toContain('999 more');
  });

  test.each([
    [{ seconds: 0n, nanos: 1_000_000 }, true],
    [{ seconds: 600n, nanos: 0 }, true],
    [{ seconds: 600n, nanos: 1_000_000 }, false],
    [{ seconds: 0n, nanos: 999_999 }, false],
    [{ seconds: 1n, nanos: -1 }, false],
    [{ seconds: -1n, nanos: 0 }, false],
    [{ seconds: 0n, nanos: 1_000_000_000 }, false],
    [{ seconds: 9_223_372_036_854_775_807n, nanos: 0 }, false],
  ])('a timeout of %o is right: %s', (value, right) => {
    expect(isRight(duration(1, 600_000), value)).toBe(right);
  });

  test.each([
    [{ seconds: 0n, nanos: 0 }, true],
    [{ seconds: 253_402_300_799n, nanos: 999_999_999 }, true],
    [{ seconds: 253_402_300_800n, nanos: 0 }, false],
    [{ seconds: -1n, nanos: 0 }, false],
    [{ seconds: 1n, nanos: -1 }, false],
  ])('a time of %o is right: %s', (value, right) => {
    expect(isRight(timestamp, value)).toBe(right);
  });

  test.each([
    ['a', true],
    ['inventory-2', true],
    ['2a', false],
    ['A', false],
    ['', false],
    ['a'.repeat(64), false],
    ['a\n', false],
  ])('%j is a participant name: %s', (value, right) => {
    expect(isRight(serviceName, value)).toBe(right);
  });

  test.each([
    ['type.googleapis.com/txmesh.keyvalue.v1.PutOperation', true],
    ['/a.B', true],
    ['a.B', false],
    ['', false],
    ['x/', false],
    ['x/1', false],
    ['x y/a.B', false],
  ])('%j is a type URL: %s', (value, right) => {
    expect(isRight(typeUrl, value)).toBe(right);
  });

  test('an enum takes what it has, without the values that are excluded', () => {
    const rule = enumOf({ UNSPECIFIED: 0, A: 1, UNRECOGNIZED: -1 }, 0);
    expect([-1, 0, 1, 2].map((value) => isRight(rule, value))).toEqual([false, false, true, false]);
  });

  test('absent is right where it may be, and named where it may not', () => {
    expect(isRight(optional(serviceName), undefined)).toBe(true);
    expect(findFailure(required(serviceName), undefined)?.violations).toEqual([{ field: '', description: 'must be set' }]);
  });

  test('the bytes of UTF-8 count, not the characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.integer({ min: 0, max: 60 }), (text, limit) => {
        expect(isRight(textUpTo(limit), text)).toBe(Buffer.byteLength(text) <= limit);
      }),
    );
  });
});

describe('page tokens', () => {
  const position = { partition: 3, after: 'kéy' };

  test('a token leads back to its position', () => {
    expect(decodePageToken('q', encodePageToken('q', position))).toEqual(position);
  });

  test('a token of another question, an altered one and garbage are refused', () => {
    const token = encodePageToken('q', position);
    expect(decodePageToken('other', token)).toBeUndefined();
    expect(decodePageToken('q', `${token.slice(0, -2)}AA`)).toBeUndefined();
    fc.assert(
      fc.property(fc.string(), (garbage) => {
        expect(decodePageToken('q', garbage)).toBeUndefined();
      }),
    );
    expect(findFailure(message<{ pageToken: string }>({ pageToken: pageToken('other') }), { pageToken: token })?.violations?.[0]?.field).toBe('page_token');
  });
});

describe('fingerprints', () => {
  test('differ where a boundary between parts is moved', () => {
    expect(fingerprint(['ab', 'c'])).not.toBe(fingerprint(['a', 'bc']));
  });

  test('are the same for the same content, whatever its size', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array({ maxLength: 30_000 }))), (parts) => {
        expect(fingerprint(parts)).toBe(fingerprint([...parts]));
        expect(fingerprint(parts)).toHaveLength(22);
      }),
    );
  });
});
