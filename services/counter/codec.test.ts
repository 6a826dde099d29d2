import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { add, branch, create, Harness } from '../kernel/counter/testing/harness.ts';
import { MAX_INT64, MIN_INT64 } from '../kernel/counter/int64.ts';
import type { CounterChange, CounterStored, TokenResult } from '../kernel/counter/types.ts';
import type { TokenGroup } from '../kernel/sessions/types.ts';
import { counterCodec, type CounterPartitionRecord } from './codec.ts';

const { encode, decode } = counterCodec;
const throughBytes = (key: string, record: CounterPartitionRecord) => decode(key, encode(record));

const int64 = fc.bigInt({ min: MIN_INT64, max: MAX_INT64 });
const unsigned = fc.bigInt({ min: 0n, max: MAX_INT64 });
const small = fc.nat(1_000_000);
const bucket = fc.record({ start: small, added: int64, adds: small });
const bounds = fc.record({ minimum: fc.option(int64, { nil: undefined }), maximum: fc.option(int64, { nil: undefined }) });
const kind = fc.constantFrom('strong' as const, 'sharded' as const, 'queued' as const, 'replicated' as const);
const result: fc.Arbitrary<TokenResult> = fc.oneof(
  fc.record({ type: fc.constant('counted' as const), check: small, value: fc.option(int64, { nil: undefined }) }),
  fc.record({ type: fc.constant('refused' as const), check: small, left: int64 }),
);
const scope = fc.constantFrom('', '3/some counter', '64/other');
const group: fc.Arbitrary<TokenGroup<TokenResult>> = fc
  .record({ scope, session: fc.string(), mark: fc.integer({ min: 1, max: 2 ** 40 }), tokens: fc.array(fc.tuple(small, result)) })
  .map(({ tokens, ...rest }) => ({ ...rest, sequences: tokens.map(([ahead]) => rest.mark + ahead), results: tokens.map(([, result]) => result) }));

const record: fc.Arbitrary<CounterStored> = fc.oneof(
  fc.record({
    type: fc.constant('counter' as const),
    kind,
    id: fc.string(),
    createMs: small,
    bounds,
    value: int64,
    shards: small,
    previousShards: small,
    slots: fc.array(fc.record({ slot: fc.nat(64), generation: small, state: fc.constantFrom('here' as const, 'frozen' as const, 'left' as const), value: int64 })),
    components: fc.array(fc.record({ clusterId: fc.string(), partition: small, added: unsigned, subtracted: unsigned })),
    rates: fc.record({ seconds: fc.array(bucket), minutes: fc.array(bucket), hours: fc.array(bucket) }),
  }),
  fc.record({ type: fc.constant('event' as const), timeMs: small, adds: fc.array(fc.record({ name: fc.string(), id: fc.string(), amount: int64, adds: small })) }),
  fc.record({ type: fc.constant('moving' as const), id: fc.string() }),
  fc.constant({ type: 'replica' as const }),
  fc.record({
    type: fc.constant('tokens' as const),
    floor: fc.string(),
    dropped: fc.array(scope),
    ended: fc.array(fc.record({ scope, session: fc.string() })),
    groups: fc.array(group),
  }),
);

const change: fc.Arbitrary<CounterChange> = fc.oneof(
  fc.record({ type: fc.constant('add' as const), name: fc.string(), amount: int64, exclusive: fc.boolean() }),
  fc.record({ type: fc.constant('check' as const), name: fc.string() }),
  fc.record({ type: fc.constant('set' as const), name: fc.string(), value: int64 }),
  fc.record({ type: fc.constant('create' as const), name: fc.string(), id: fc.string(), createMs: small, kind, bounds, value: int64, shards: small }),
  fc.record({ type: fc.constant('update' as const), name: fc.string(), bounds: fc.option(bounds, { nil: undefined }), shards: small }),
  fc.record({ type: fc.constant('delete' as const), name: fc.string() }),
);

describe('records', () => {
  test('come back from bytes as they were, to the last bit of 64', () => {
    fc.assert(
      fc.property(record, (record) => {
        expect(throughBytes('k', record)).toEqual(record);
      }),
      { numRuns: 500 },
    );
  });

  test('effects come back with their branch', () => {
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const { transactionId, attempt, coordinatorPartition } = branch(1);
        const record: CounterPartitionRecord = {
          type: 'branch', transactionId, attempt, coordinatorPartition, firstTryMs: 1, prepareMs: 2, epoch: 3, trace: undefined, heuristic: undefined, effect: { changes },
        };
        expect(throughBytes('k', record)).toEqual(record);
      }),
    );
  });

  test('P3: a partition that is read back from bytes is the same', () => {
    const h = new Harness({ copy: throughBytes });
    h.local([create('c', { bounds: { minimum: 0n, maximum: undefined } }), create('q', { kind: 'queued' }), create('s', { kind: 'sharded', shards: 3 })]);
    h.local([create('r', { kind: 'replicated' })]);
    ['c', 'q', 's', 'r'].forEach((name, i) => {
      h.add(name, 2n ** 53n + 1n, 1, i + 1);
      h.add(name, -1n, 1, i + 10);
    });
    h.add('c', -(2n ** 60n), 1, 50);
    h.prepare(branch(1), [add('c', 5n), add('q', 6n), { type: 'delete', name: 'r' }]);
    h.restart();
    expect(h.add('c', 2n ** 53n + 1n, 1, 1)).toMatchObject({ value: 2n ** 53n + 1n });
    h.tell('commit', branch(1));
    h.pass(1000);
    expect(h.view('q')).toMatchObject({ value: 2n ** 53n + 6n });
    expect(h.view('r')).toBeUndefined();
  });

  test('C1: whatever amounts come, everything that is stored can be read back', () => {
    const extreme = fc.constantFrom(MAX_INT64, MIN_INT64, MAX_INT64 - 1n, 2n ** 56n, -(2n ** 56n), 1n, -1n, 0n);
    const kinds = ['strong', 'sharded', 'queued', 'replicated'] as const;
    const step = fc.record({ what: fc.constantFrom('add', 'add', 'prepare', 'end', 'set', 'pass'), kind: fc.constantFrom(...kinds), amount: extreme, n: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom(1, 4), (steps, together) => {
        const h = new Harness({ copy: throughBytes });
        h.local(kinds.map((kind) => create(kind, { kind, shards: kind === 'sharded' ? 2 : 0 })));
        h.together = together;
        steps.forEach(({ what, kind, amount, n }, i) => {
          if (what === 'add') h.add(kind, amount, n, i + 1);
          else if (what === 'prepare') h.prepare(branch(n, i + 1), [add(kind, amount), add('strong', amount)]);
          else if (what === 'end') h.tell(h.promises(branch(n, i)) ? 'commit' : 'abort', branch(n, i));
          else if (what === 'set') h.local([{ type: 'set', name: 'strong', expected: undefined, value: amount }]);
          else h.pass(700);
        });
        h.flush();
        h.restart();
      }),
      { numRuns: 150 },
    );
  });

  test('a record of another kind of participant, or none at all, is not taken for a counter', () => {
    expect(() => decode('k', new Uint8Array())).toThrow('k');
    expect(() => decode('k', new Uint8Array([8, 1]))).toThrow('holds nothing');
  });

  test('a record is within the size that its cost has announced', () => {
    const h = new Harness();
    const name = '\u{10ffff}'.repeat(64);
    h.local([create(name)]);
    for (let i = 1; i <= 80; i++) {
      h.add(name, i % 2 === 1 ? MAX_INT64 : -MAX_INT64, 1, i, i);
      h.pass([1000, 60_000, 3_600_000][i % 3]!);
    }
    const entry = h.resource.find(name)!;
    expect(encode(entry.toRecord()).length + name.length * 4).toBeLessThan(entry.recordBytes);
  });
});
