import fc from 'fast-check';
import { expect, test } from 'vitest';
import { branch, check, Harness, id, put, remove } from './testing/harness.ts';
import type { KeyValueOperation, Precondition } from '../keyvalue/types.ts';

const RUNS = 150;

/** What a random run does, step by step; the harness checks P3, K7 costs and the store's rules after each. */
const name = fc.constantFrom('c/a', 'c/b', 'c/c', 'd/a');
const precondition: fc.Arbitrary<Precondition> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Precondition>('any') },
  fc.constant<Precondition>('absent'),
  fc.nat(20),
);
const operation: fc.Arbitrary<KeyValueOperation> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(name, precondition, fc.constantFrom('1', '{"x":1}', 'x'.repeat(2000))).map(([key, p, value]) => put(key, value, { precondition: p })) },
  fc.tuple(name, fc.constantFrom('{"x":null}', '{"y":2}')).map(([key, patch]) => put(key, patch, { mergePolicy: 'jsonMergePatch' })),
  fc.tuple(name, fc.nat(20)).map(([key, base]) => put(key, '{"z":3}', { precondition: base, mergePolicy: 'jsonThreeWay' })),
  fc.tuple(name, precondition).map(([key, p]) => remove(key, p)),
  fc.tuple(name, precondition).map(([key, p]) => check(key, p)),
);
const operations = fc.array(operation, { minLength: 1, maxLength: 4 });
const transaction = fc.nat(12);
const counter = fc.integer({ min: 1, max: 15 });

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('prepare' as const), transaction, counter, operations, readOnly: fc.boolean(), age: fc.nat(9) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('commit' as const, 'abort' as const, 'forget' as const), transaction, counter }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('local' as const), transaction: fc.nat(40), operations, age: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('mark' as const), counter, epoch: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 50, 400, 1000, 6000, 40_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resolve' as const), transaction, outcome: fc.constantFrom('commit' as const, 'abort' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('read' as const), names: fc.uniqueArray(name, { minLength: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

function perform(h: Harness, each: Action): void {
  switch (each.do) {
    case 'prepare':
      h.prepare(branch(each.transaction, each.counter), each.operations, { readOnly: each.readOnly, firstTryMs: h.nowMs - each.age });
      return;
    case 'commit': {
      // A coordinator commits only what has voted yes.
      if (h.promises(branch(each.transaction, each.counter))) h.tell('commit', branch(each.transaction, each.counter));
      return;
    }
    case 'abort':
    case 'forget':
      h.tell(each.do, branch(each.transaction, each.counter));
      return;
    case 'local':
      h.local(100 + each.transaction, each.operations, { firstTryMs: h.nowMs - each.age, deadlineMs: h.nowMs + 300 });
      return;
    case 'mark':
      return h.mark(each.counter, each.epoch);
    case 'pass':
      return h.pass(each.ms);
    case 'resolve':
      h.run({ type: 'resolve', origin: h.origin(), transactionId: id(each.transaction), outcome: each.outcome });
      return;
    case 'read':
      h.read(each.names);
      return;
    case 'restart':
      return h.restart();
  }
}

test.each([0, 1, 3])('P3, K1, K7: after any commands a reload gives what is in memory (history of %i)', (historyLimit) => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 50 }), fc.constantFrom(1, 1, 2, 5), (actions, together) => {
      const h = new Harness({
        settings: { retentionMs: 20_000, forgetCount: 5 },
        keyValue: { historyLimit, cacheBytes: 3000, changeRetentionMs: 2000, changeRetentionCount: 10 },
      });
      h.together = together;
      const names = ['c/a', 'c/b', 'c/c', 'd/a'];
      let versions = names.map(() => 0);
      for (const each of actions) {
        perform(h, each);
        if (together > 1) continue;
        // K1: a version only grows, also over a deletion.
        const now = h.read(names, 'eventual')!.map(({ version }) => version);
        now.forEach((version, i) => expect(version).toBeGreaterThanOrEqual(versions[i]!));
        versions = now.map((version, i) => Math.max(version, versions[i]!));
      }
      h.together = 1;
      h.run({ type: 'tick' });
      // What the cache says is what the store says.
      const cached = h.read(names, 'eventual')!;
      h.restart();
      h.read(names, 'eventual')!.forEach((entry, i) => {
        // When a key was deleted is not stored; the version says so much the later.
        const version = entry.value === undefined ? entry.version : cached[i]!.version;
        expect(version).toBeGreaterThanOrEqual(cached[i]!.version);
        expect(entry).toEqual({ ...cached[i]!, version });
      });
      const kept = h.stored('version/').length;
      expect(kept).toBeLessThanOrEqual(names.length * (historyLimit + 1));
    }),
    { numRuns: RUNS },
  );
});
