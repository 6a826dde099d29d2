import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ParticipantRecord } from '../gen/txmesh/record/v1/participant_record.ts';
import type { QueueRecord } from '../kernel/queue/types.ts';
import { encodeHot } from './codec-hot.ts';
import { queueToMessage } from './codec-records.ts';

const position = fc.integer({ min: 1, max: 1_000_000_000 });
const ranges = fc.uniqueArray(position, { maxLength: 6 }).map((all) => [...all, ...all].sort((a, b) => a - b));
const attempts = fc.array(fc.tuple(position, fc.integer({ min: 2, max: 1000 })), { maxLength: 3 }).map((all) => all.flat());
const time = fc.nat(Number.MAX_SAFE_INTEGER);
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });

const segment = fc.integer({ min: 1, max: 5 }).chain((count) => {
  const each = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(arbitrary, { minLength: count, maxLength: count });
  return fc.record({
    type: fc.constant('segment' as const),
    first: position,
    publishMs: time,
    kept: fc.boolean(),
    sizes: each(fc.nat(2_000_000)),
    keys: maybe(each(fc.constantFrom('', 'k', 'é', 'k'.repeat(200)))),
    priorities: maybe(each(fc.nat(9))),
    deliverAtMs: maybe(each(time)),
    expireAtMs: maybe(each(time)),
  });
});

const record: fc.Arbitrary<QueueRecord> = fc.oneof(
  segment,
  fc.record({ type: fc.constant('payload' as const), messages: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }) }),
  fc.record({
    type: fc.constant('acks' as const),
    groups: fc.array(
      fc.record({ owner: fc.constantFrom('s/a', 't/b'), generation: time, acknowledged: ranges, delivered: ranges, attempts, longestDeadlineMs: time }),
      { maxLength: 3 },
    ),
  }),
  fc.record({
    type: fc.constant('tokens' as const),
    floor: fc.constantFrom('', 'some id'),
    dropped: fc.constant([]),
    ended: fc.array(fc.record({ scope: fc.constant(''), session: fc.constantFrom('one', 'two') }), { maxLength: 2 }),
    groups: fc.array(
      fc.array(fc.tuple(position, time), { maxLength: 4 }).chain((tokens) =>
        fc.record({
          scope: fc.constant(''),
          session: fc.constantFrom('one', 'two'),
          mark: position,
          sequences: fc.constant(tokens.map(([sequence]) => sequence)),
          results: fc.constant(tokens.map(([, result]) => result)),
        }),
      ),
      { maxLength: 2 },
    ),
  }),
);

test('records that are written by hand are what the generated code writes', () => {
  fc.assert(
    fc.property(record, fc.integer({ min: 1, max: 3 }), (each, format) => {
      const expected = ParticipantRecord.encode({ format, record: queueToMessage(each) }).finish();
      expect(Buffer.from(encodeHot(each, format)!).toString('hex')).toBe(Buffer.from(expected).toString('hex'));
    }),
    { numRuns: 1000 },
  );
  expect(encodeHot({ type: 'topic' }, 1)).toBe(undefined);
});
