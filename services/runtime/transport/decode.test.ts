import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PutRequest } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { Attempt } from '../../gen/txmesh/common/v1/common.ts';
import { Any } from '../../gen/google/protobuf/any.ts';
import { decodeStrictly, Malformed, strict, StrictReader, tolerant } from './decode.ts';

const generated = (bytes: Buffer): Any => Any.decode(bytes);
const encode = (typeUrl: string, value = new Uint8Array()): Buffer => Buffer.from(Any.encode({ typeUrl, value }).finish());
const bytesOfText = (bytes: readonly number[]): Buffer => Buffer.from([10, bytes.length, ...bytes]);

describe('strict decoding', () => {
  it('every text arrives as it was sent', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.uint8Array({ maxLength: 20 }), (text, value) => {
        const any = { typeUrl: text.toWellFormed(), value };
        const decoded = strict(generated)(encode(any.typeUrl, value));
        expect(decoded.typeUrl).toBe(any.typeUrl);
        expect([...decoded.value]).toEqual([...value]);
      }),
    );
    for (const typeUrl of ['', '\ufeffx', '\0', 'é'.repeat(100), 'a'.repeat(100), `${'a'.repeat(47)}é`, '😀'])
      expect(strict(generated)(encode(typeUrl)).typeUrl).toBe(typeUrl);
  });

  it.each([
    ['a lone continuation byte', [0x80]],
    ['an overlong form', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a cut character', [0x61, 0xe2, 0x82]],
    ['a byte that no UTF-8 has', [...Array<number>(90).fill(0x61), 0xff]],
  ])('%s in a text is malformed, not altered', (_, bytes) => {
    expect(() => strict(generated)(bytesOfText(bytes))).toThrow('UTF-8');
    expect(tolerant(generated)(bytesOfText(bytes))).toBeInstanceOf(Malformed);
  });

  it.each([
    ['a zero tag', [0, 10, 1, 0x61]],
    ['the end of a group that never began', [12, 10, 1, 0x61]],
    ['a length beyond the end', [10, 200]],
    ['a varint without an end', [10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ['rubbish behind the message', [10, 1, 0x61, 0, 1, 2, 3]],
  ])('%s is malformed', (_, bytes) => {
    expect(tolerant(generated)(Buffer.from(bytes))).toBeInstanceOf(Malformed);
  });

  it('an integer beyond 2^53 is malformed, not rounded', () => {
    const bytes = Buffer.from([8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    expect(tolerant((b: Buffer) => Attempt.decode(b))(bytes)).toBeInstanceOf(Malformed);
    expect(() => new StrictReader(bytes.subarray(1)).safeInteger()).toThrow('2^53');
    expect(new StrictReader(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])).safeInteger()).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('garbage is malformed or a message, and never anything else', () => {
    const decode = tolerant((bytes: Buffer) => PutRequest.decode(bytes));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const result = decode(Buffer.from(bytes));
        if (result instanceof Malformed) expect(result.failure.reason).toBe('MALFORMED_MESSAGE');
        else expect(result.key.isWellFormed()).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads plain Uint8Arrays and views', () => {
    const whole = new Uint8Array([9, 9, ...encode('x'), 9]);
    expect(decodeStrictly(Any, whole.subarray(2, whole.length - 1)).typeUrl).toBe('x');
  });
});
