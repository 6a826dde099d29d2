import fc from 'fast-check';
import { expect, test } from 'vitest';
import { homeOf, partitionOfReplica, partitionOfSlot, slotOf } from './placement.ts';
import { compareComponents, mergeComponents, valueOf } from './replicated.ts';
import { add, branch, create, Harness, id, Service } from './testing/harness.ts';
import type { Component, CounterOperation } from './types.ts';

const amount = fc.bigInt({ min: -6n, max: 6n });
const name = fc.constantFrom('c', 'd', 'q', 'r');
const transaction = fc.nat(8);
const counter = fc.integer({ min: 1, max: 12 });

const operation: fc.Arbitrary<CounterOperation> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(name, amount).map(([name, amount]) => add(name, amount)) },
  fc.tuple(name, amount).map(([name, value]): CounterOperation => ({ type: 'check', name, value })),
  fc.tuple(name, amount, fc.option(amount, { nil: undefined })).map(([name, value, expected]): CounterOperation => ({ type: 'set', name, value, expected })),
  fc.tuple(name, amount).map(([name, maximum]): CounterOperation => ({ type: 'update', name, bounds: { minimum: -20n, maximum }, shards: 0 })),
  name.map((name): CounterOperation => ({ type: 'delete', name })),
  fc.tuple(name, fc.constantFrom('strong' as const, 'queued' as const, 'replicated' as const, 'sharded' as const), fc.nat(1000)).map(([name, kind, n]) =>
    create(name, { kind, id: `id ${n}`, bounds: kind === 'strong' ? { minimum: -10n, maximum: 10n } : { minimum: undefined, maximum: undefined }, shards: 4 }),
  ),
);

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('add' as const), name, amount, session: fc.nat(3), sequence: fc.integer({ min: 1, max: 25 }), behind: fc.nat(9) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('prepare' as const), transaction, counter, operations: fc.array(operation, { minLength: 1, maxLength: 3 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('commit' as const, 'abort' as const), transaction, counter }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('local' as const), operations: fc.array(operation, { minLength: 1, maxLength: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(10, 600, 5_000, 70_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

function perform(h: Harness, each: Action): void {
  switch (each.do) {
    case 'add':
      h.add(each.name, each.amount, each.session, each.sequence, Math.max(1, each.sequence - each.behind));
      return;
    case 'prepare':
      h.prepare(branch(each.transaction, each.counter), each.operations);
      return;
    case 'commit':
      if (h.promises(branch(each.transaction, each.counter))) h.tell('commit', branch(each.transaction, each.counter));
      return;
    case 'abort':
      return h.tell('abort', branch(each.transaction, each.counter));
    case 'local':
      h.local(each.operations);
      return;
    case 'pass':
      return h.pass(each.ms);
    case 'restart':
      if (h.together > 1) h.flush();
      return h.restart();
  }
}

test('P3, C3: after any commands a reload gives what is in memory, and no bound is ever crossed', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), fc.constantFrom(1, 1, 4), fc.constantFrom(2_000, 64 * 1024 * 1024), (actions, together, cacheBytes) => {
      const h = new Harness({ counter: { retentionMs: 10_000, cacheBytes } });
      for (const each of ['c', 'd']) h.local([create(each, { bounds: { minimum: -10n, maximum: 10n } })]);
      h.local([create('q', { kind: 'queued' })]);
      h.local([create('r', { kind: 'replicated' })]);
      h.together = together;
      for (const each of actions) {
        perform(h, each);
        if (together > 1) continue;
        for (const counter of ['c', 'd']) {
          const view = h.view(counter);
          if (view?.kind !== 'strong') continue;
          expect(view.value).toBeGreaterThanOrEqual(view.bounds.minimum!);
          expect(view.value).toBeLessThanOrEqual(view.bounds.maximum!);
        }
      }
      h.together = 1;
      h.flush();
      h.restart();
    }),
    { numRuns: 400 },
  );
});

/** A client that retries, over everything that may happen to the service meanwhile. */
const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant('add' as const), name: fc.constantFrom('strong', 'queued', 'sharded', 'replicated'), session: fc.nat(2), sequence: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('shards' as const), shards: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('move' as const), source: fc.nat(2), pick: fc.nat(63), until: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), partition: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const) }) },
);

test('C2, C6: every token counts exactly once, over retries, restarts, changes of shards and moves that stop half-way', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const service = new Service(3);
      const { partitions } = service;
      for (const name of ['strong', 'queued'] as const) service.home(name).local([create(name, { kind: name })]);
      service.everywhere(create('sharded', { kind: 'sharded', shards: 4 }));
      service.everywhere(create('replicated', { kind: 'replicated' }));
      const counted = new Map<string, Set<string>>(['strong', 'queued', 'sharded', 'replicated'].map((name) => [name, new Set()]));
      const places = (name: string, session: number, sequence: number): Harness[] => {
        if (name === 'replicated') return [partitions[partitionOfReplica(id(session), 3)]!];
        return name === 'sharded' ? partitions.toSorted((a) => (a.partition === partitionOfSlot(name, slotOf(id(session), sequence), 4, 3) ? -1 : 1)) : [service.home(name)];
      };
      for (const each of steps) {
        switch (each.do) {
          case 'add': {
            // Tokens of different counters must differ.
            const sequence = each.sequence * 4 + ['strong', 'queued', 'sharded', 'replicated'].indexOf(each.name);
            for (const partition of places(each.name, each.session, sequence)) {
              const outcome = partition.add(each.name, 1n, each.session, sequence);
              if (outcome?.type === 'elsewhere') continue;
              if (outcome?.type === 'counted') counted.get(each.name)!.add(`${each.session} ${sequence}`);
              break;
            }
            break;
          }
          case 'shards':
            service.everywhere({ type: 'update', name: 'sharded', bounds: undefined, shards: each.shards });
            break;
          case 'move': {
            const source = partitions[each.source]!;
            const reply = source.read({ type: 'moving', after: '', limit: 16 });
            if (reply?.type !== 'read' || reply.answer.type !== 'moving' || reply.answer.slots.length === 0) break;
            const { partition, ...slot } = reply.answer.slots[each.pick % reply.answer.slots.length]!;
            const frozen = source.request({ type: 'freeze', ...slot });
            if (each.until < 2 || frozen?.type !== 'frozen' || frozen.slot === undefined) break;
            partitions[partition]!.request({ type: 'install', slot: frozen.slot });
            if (each.until > 2) source.request({ type: 'release', ...slot, generation: frozen.slot.generation });
            if (each.until > 3) source.request({ type: 'install', slot: frozen.slot });
            break;
          }
          case 'restart':
            partitions[each.partition]!.restart();
            break;
          case 'pass':
            for (const partition of partitions) partition.pass(700);
            break;
        }
        const sum = service.sum('sharded');
        if (sum !== undefined) expect(sum).toBe(BigInt(counted.get('sharded')!.size));
      }
      for (const partition of partitions) partition.pass(700);
      expect(service.home('strong').view('strong')!.value).toBe(BigInt(counted.get('strong')!.size));
      expect(service.home('queued').view('queued')!.value).toBe(BigInt(counted.get('queued')!.size));
      const replicated = partitions.flatMap((partition) => partition.view('replicated')!.components);
      expect(valueOf(replicated)).toBe(BigInt(counted.get('replicated')!.size));
    }),
    { numRuns: 150 },
  );
});

const component: fc.Arbitrary<Component> = fc.record({
  clusterId: fc.constantFrom('a', 'b', 'c'),
  partition: fc.nat(2),
  added: fc.bigInt({ min: 0n, max: 9n }),
  subtracted: fc.bigInt({ min: 0n, max: 9n }),
});
const state = fc
  .uniqueArray(component, { maxLength: 9, selector: ({ clusterId, partition }) => `${clusterId}${partition}` })
  .map((components) => components.sort(compareComponents));

test('C7: merging is commutative, associative and idempotent, and never takes back', () => {
  fc.assert(
    fc.property(state, state, state, (a, b, c) => {
      const ab = mergeComponents(a, b);
      expect(mergeComponents(b, a)).toEqual(ab);
      expect(mergeComponents(ab, c)).toEqual(mergeComponents(a, mergeComponents(b, c)));
      expect(mergeComponents(a, a)).toBe(a);
      expect(mergeComponents(ab, b)).toBe(ab);
      for (const one of a) {
        const merged = ab.find((other) => compareComponents(one, other) === 0)!;
        expect(merged.added >= one.added && merged.subtracted >= one.subtracted).toBe(true);
      }
    }),
  );
});

test('every slot of every layout has a place, and a home', () => {
  for (const partitions of [1, 3, 4, 64]) {
    for (const shards of [1, 7, 64]) {
      const places = Array.from({ length: 65 }, (_, slot) => partitionOfSlot('some counter', slot, shards, partitions));
      expect(new Set(places.slice(0, 64)).size).toBe(Math.min(partitions, shards));
      expect(places[64]).toBe(homeOf('some counter', partitions));
    }
  }
});
