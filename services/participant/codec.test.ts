import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConflictDetail } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { ParticipantRecord } from '../gen/txmesh/record/v1/participant_record.ts';
import { effectOf } from '../kernel/keyvalue/effect.ts';
import { branch, check, Harness, id, put, remove } from '../kernel/participant/testing/harness.ts';
import { UnreadableRecord } from '../runtime/participant/codec.ts';
import { describeConflict } from './codec-keyvalue.ts';
import { decodeRecord, encodeRecord, type KeyValuePartitionRecord } from './codec.ts';

const whole = fc.nat(Number.MAX_SAFE_INTEGER);
const text = fc.string({ unit: 'grapheme' });
const bytes = fc.uint8Array({ maxLength: 300 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const attempt = fc.record({ epoch: whole, counter: whole });
const small = fc.nat(0xffff);
const heuristic = maybe(fc.constantFrom('commit' as const, 'abort' as const));
const history = fc.array(whole, { maxLength: 4 });
const write = fc.oneof(
  fc.record({
    name: text,
    type: fc.constant('put' as const),
    value: bytes,
    contentType: text,
    apart: fc.boolean(),
    history,
    drop: maybe(fc.tuple(fc.integer({ min: 1, max: 99 }), whole)),
  }),
  fc.record({
    name: text,
    type: fc.constantFrom('delete' as const, 'none' as const),
    value: fc.constant(undefined),
    contentType: text,
    apart: fc.boolean(),
    history,
    drop: fc.constant(undefined),
  }),
);
const failure = fc.record({
  reason: fc.constantFrom('LOCK_CONFLICT' as const, 'PRECONDITION_FAILED' as const),
  message: text,
  metadata: fc.dictionary(text, text, { noNullPrototype: true }).filter((metadata) => !Object.keys(metadata).includes('__proto__')),
  detail: maybe(fc.record({ typeUrl: text, value: bytes })),
});

const promise = fc.record({
  type: fc.constant('branch' as const),
  transactionId: text,
  attempt,
  coordinatorPartition: small,
  firstTryMs: whole,
  prepareMs: whole,
  epoch: whole,
  trace: maybe(fc.string({ minLength: 1 })),
  effect: maybe(fc.tuple(fc.array(write, { maxLength: 3 }), fc.array(text)).map(([writes, reads]) => effectOf(writes, reads))),
  heuristic,
});

const record: fc.Arbitrary<KeyValuePartitionRecord> = fc.oneof(
  promise,
  fc.record({ type: fc.constant('prepared' as const), sequence: whole, branches: fc.array(promise, { maxLength: 4 }) }),
  fc.record({
    type: fc.constant('done' as const),
    sequence: whole,
    ended: fc.array(
      fc.record({ coordinatorPartition: small, attempt, outcome: fc.constantFrom('committed' as const, 'aborted' as const), heuristic }),
    ),
  }),
  fc.record({
    type: fc.constant('progress' as const),
    revision: whole,
    doneSequence: whole,
    marks: fc.array(fc.record({ coordinatorPartition: small, lowWaterMark: attempt })),
    locals: fc.record({ floor: text, highestId: text }),
  }),
  fc.record({ type: fc.constant('local' as const), fingerprint: text, revision: whole }),
  fc.record({ type: fc.constant('local' as const), fingerprint: text, failure }),
  fc.record({ type: fc.constant('late' as const), keepUntilMs: whole }),
  fc.record({
    type: fc.constant('key' as const),
    version: whole,
    updateMs: whole,
    contentType: text,
    deleted: fc.constant(false),
    value: bytes,
    apart: fc.constant(false),
    history,
  }),
  fc.record({
    type: fc.constant('key' as const),
    version: whole,
    updateMs: whole,
    contentType: text,
    deleted: fc.boolean(),
    value: fc.constant(undefined),
    apart: fc.constant(true),
    history,
  }),
  fc.record({ type: fc.constant('version' as const), version: whole, updateMs: whole, contentType: text, value: maybe(bytes) }),
  fc.record({
    type: fc.constant('change' as const),
    changes: fc.array(fc.record({ name: text, version: whole, deleted: fc.boolean() })),
  }),
  fc.record({ type: fc.constant('kept' as const), changesThrough: whole, versioned: fc.boolean() }),
);

describe('records', () => {
  test('what is decoded is what was encoded', () => {
    fc.assert(
      fc.property(record, (each) => {
        expect(decodeRecord('key', encodeRecord(each))).toEqual(each);
      }),
      { numRuns: 500 },
    );
  });

  test('what is encoded by hand is what the generated code decodes and encodes', () => {
    fc.assert(
      fc.property(record, (each) => {
        const encoded = encodeRecord(each);
        expect(Buffer.from(ParticipantRecord.encode(ParticipantRecord.decode(encoded)).finish())).toEqual(Buffer.from(encoded));
      }),
      { numRuns: 500 },
    );
  });

  test('the format comes first', () => {
    expect([...encodeRecord({ type: 'late', keepUntilMs: 1 }).subarray(0, 2)]).toEqual([8, 2]);
  });

  test('a newer format is refused with what to do', () => {
    const bytes = ParticipantRecord.encode({ format: 3, record: undefined }).finish();
    expect(() => decodeRecord('key/c/a', bytes)).toThrow(UnreadableRecord);
    expect(() => decodeRecord('key/c/a', bytes)).toThrow('key/c/a has format 3, this version of txmesh reads up to 2; run a newer version');
  });

  test('damaged bytes and unknown records are refused', () => {
    expect(() => decodeRecord('key/c/a', new Uint8Array([255, 255]))).toThrow(UnreadableRecord);
    expect(() => decodeRecord('key/c/a', new Uint8Array(0))).toThrow(UnreadableRecord);
    expect(() => decodeRecord('key/c/a', ParticipantRecord.encode({ format: 1, record: undefined }).finish())).toThrow(UnreadableRecord);
  });

  test.each(['toString', 'A_NEWER_ONE'])('a failure with the reason %s, which is none here, is read as a refusal', (reason) => {
    const failure = { reason: reason as 'INTERNAL', message: 'no' };
    expect(decodeRecord('local/x', encodeRecord({ type: 'local', fingerprint: 'f', failure }))).toMatchObject({
      failure: { reason: 'REFUSED_BY_PARTICIPANT', message: 'no' },
    });
  });

  test('a decoded record keeps no hold of the bytes it came from', () => {
    const key: KeyValuePartitionRecord = {
      type: 'key', version: 1, updateMs: 1, contentType: '', deleted: false, value: new Uint8Array([7]), apart: false, history: [],
    };
    const encoded = encodeRecord(key);
    const decoded = decodeRecord('key/c/a', encoded);
    encoded.fill(0);
    expect(decoded).toEqual(key);
  });
});

test('a conflict becomes a ConflictDetail', () => {
  const detail = describeConflict({
    participant: 'stock',
    name: 'c/a/b',
    expected: 'version 3',
    current: { name: 'c/a/b', value: undefined, contentType: 't', version: 4, updateMs: 1_700_000_000_123 },
    exists: true,
    conflictingFields: ['/x'],
  })!;
  expect(detail.typeUrl).toBe('type.googleapis.com/txmesh.keyvalue.v1.ConflictDetail');
  expect(ConflictDetail.decode(detail.value)).toMatchObject({
    participant: 'stock',
    collection: 'c',
    key: 'a/b',
    expected: 'version 3',
    current: { version: 4, absent: false, updateTime: { seconds: 1_700_000_000n, nanos: 123_000_000 } },
    conflictingFields: ['/x'],
  });
});

test('P3 holds through the bytes too', () => {
  const h = new Harness({ copy: (key, each) => decodeRecord(key, encodeRecord(each)), keyValue: { historyLimit: 2, describeConflict } });
  h.prepare(branch(1), [put('c/a', 'one'), check('c/b', 'absent'), remove('c/never')]);
  h.prepare(branch(2), [put('c/x', 'x'.repeat(2000))]);
  h.local(3, [put('c/y', '1')]);
  h.local(4, [check('c/y', 99)]);
  h.tell('commit', branch(1));
  h.run({ type: 'resolve', origin: 'operator', transactionId: id(2), outcome: 'commit' });
  h.local(5, [put('c/y', '2')]);
  h.mark(2);
  h.pass(40_000);
  h.restart();
  expect(['c/a', 'c/x', 'c/y'].map((name) => h.value(name)?.length)).toEqual([3, 2000, 1]);
});
