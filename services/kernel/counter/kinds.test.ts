import { describe, expect, test } from 'vitest';
import { MAX_INT64, MAX_SLOT } from './int64.ts';
import { partitionOfReplica, partitionOfSlot, slotOf } from './placement.ts';
import { add, branch, create, Harness, id, Service } from './testing/harness.ts';
import type { CounterBug, EventRecord } from './types.ts';

function sharded(count = 4, shards = 8, bugs: CounterBug[] = []): Service {
  const service = new Service(count, { bugs });
  expect(service.everywhere(create('s', { kind: 'sharded', shards }))).toBe(true);
  return service;
}

/** Adds where the slot belongs by this number of shards. */
function place(service: Service, amount: bigint, session: number, sequence: number, shards: number) {
  const slot = slotOf(id(session), sequence);
  return service.partitions[partitionOfSlot('s', slot, shards, service.partitions.length)]!.add('s', amount, session, sequence);
}

/** Carries every misplaced slot to where it belongs. */
function move(service: Service): void {
  for (const source of service.partitions) {
    const reply = source.read({ type: 'moving', after: '', limit: 16 });
    if (reply?.type !== 'read' || reply.answer.type !== 'moving') throw new Error('no answer');
    for (const { partition, ...slot } of reply.answer.slots) {
      const frozen = source.request({ type: 'freeze', ...slot });
      if (frozen?.type !== 'frozen' || frozen.slot === undefined) throw new Error('not frozen');
      expect(service.partitions[partition]!.request({ type: 'install', slot: frozen.slot })).toEqual({ type: 'installed', known: true });
      source.request({ type: 'release', ...slot, generation: frozen.slot.generation });
    }
  }
}

describe('sharded', () => {
  test('adds go to the slots of their tokens, and a read sums them', () => {
    const service = sharded();
    for (let i = 1; i <= 100; i++) expect(place(service, 2n, 1, i, 8)).toMatchObject({ type: 'counted' });
    expect(place(service, 2n, 1, 7, 8)).toMatchObject({ type: 'counted' });
    expect(service.sum('s')).toBe(200n);
  });

  test('an add that comes to the wrong partition is told the layout', () => {
    const service = sharded();
    const owner = partitionOfSlot('s', slotOf(id(1), 1), 8, 4);
    const other = service.partitions[(owner + 1) % 4]!;
    expect(other.add('s', 1n, 1, 1)).toEqual({ type: 'elsewhere', layout: { kind: 'sharded', shards: 8, previousShards: 8 } });
  });

  test('C6: slots move with their tokens, so a retry after a change of shards does not count twice', () => {
    const service = sharded();
    for (let i = 1; i <= 64; i++) place(service, 1n, 1, i, 8);
    expect(service.everywhere({ type: 'update', name: 's', bounds: undefined, shards: 3 })).toBe(true);
    expect(service.sum('s')).toBe(64n);
    expect(service.everywhere({ type: 'update', name: 's', bounds: undefined, shards: 5 })).toBe(false);
    move(service);
    for (let i = 1; i <= 64; i++) expect(place(service, 1n, 1, i, 3)).toMatchObject({ type: 'counted' });
    expect(service.sum('s')).toBe(64n);
    expect(service.partitions.flatMap((partition) => partition.stored('moving/'))).toEqual([]);
    expect(service.everywhere({ type: 'update', name: 's', bounds: undefined, shards: 5 })).toBe(true);
  });

  test("'token-forgotten-on-move' counts a retry twice", () => {
    const service = sharded(4, 8, ['token-forgotten-on-move']);
    for (let i = 1; i <= 64; i++) place(service, 1n, 1, i, 8);
    service.everywhere({ type: 'update', name: 's', bounds: undefined, shards: 3 });
    move(service);
    for (let i = 1; i <= 64; i++) place(service, 1n, 1, i, 3);
    expect(service.sum('s')).toBeGreaterThan(64n);
  });

  test('C4: adds go on while a change of shards is prepared, but not while a deletion is', () => {
    const service = sharded(1, 8);
    const [only] = service.partitions;
    only!.prepare(branch(1), [{ type: 'update', name: 's', bounds: undefined, shards: 3 }]);
    expect(place(service, 1n, 1, 1, 8)).toMatchObject({ type: 'counted' });
    only!.tell('commit', branch(1));
    only!.prepare(branch(2), [{ type: 'delete', name: 's' }]);
    expect(place(service, 1n, 1, 2, 3)).toMatchObject({ failure: { reason: 'COUNTER_CHANGING' } });
    only!.tell('abort', branch(2));
    expect(service.sum('s')).toBe(1n);
  });

  test('C6: a frozen slot takes no add, and each step of a move may be repeated, also late', () => {
    const service = sharded(2, 2);
    const slot = slotOf(id(1), 1);
    place(service, 5n, 1, 1, 2);
    service.everywhere({ type: 'update', name: 's', bounds: undefined, shards: 1 });
    const from = service.partitions.find((partition) => partition.view('s')!.slots.some((s) => s.slot === slot))!;
    const to = service.partitions[partitionOfSlot('s', slot, 1, 2)]!;
    if (from === to) return;
    const name = { name: 's', id: 'id of s', slot };
    const frozen = from.request({ type: 'freeze', ...name });
    if (frozen?.type !== 'frozen' || frozen.slot === undefined) throw new Error('not frozen');
    expect(from.add('s', 1n, 1, 1 + 64)).toMatchObject({ failure: { reason: 'COUNTER_CHANGING' } });
    from.restart();
    expect(from.request({ type: 'freeze', ...name })).toEqual(frozen);
    to.request({ type: 'install', slot: frozen.slot });
    expect(to.add('s', 1n, 1, 1 + 64)).toMatchObject({ type: 'counted' });
    to.request({ type: 'install', slot: frozen.slot });
    expect(service.sum('s')).toBe(6n);
    from.request({ type: 'release', ...name, generation: frozen.slot.generation });
    from.request({ type: 'release', ...name, generation: frozen.slot.generation });
    expect(from.request({ type: 'freeze', ...name })).toEqual({ type: 'frozen', slot: undefined });
    // A late copy of an install where the slot was before.
    expect(from.request({ type: 'install', slot: { ...frozen.slot, generation: frozen.slot.generation } })).toMatchObject({ known: true });
    expect(service.sum('s')).toBe(6n);
  });

  test('adds of transactions go to a slot at home that never moves', () => {
    const service = sharded();
    const home = service.home('s');
    expect(home.prepare(branch(1), [add('s', 9n)])).toMatchObject({ vote: 'yes' });
    home.tell('commit', branch(1));
    expect(service.sum('s')).toBe(9n);
    const other = service.partitions.find((partition) => partition !== home)!;
    expect(other.prepare(branch(2), [add('s', 9n)])).toMatchObject({ vote: 'no', cause: { reason: 'WRONG_PARTITION' } });
  });

  test('a slot holds so much that the sum keeps to 64 bits', () => {
    const service = sharded();
    expect(place(service, MAX_SLOT, 1, 1, 8)).toMatchObject({ type: 'counted' });
    expect(place(service, 1n, 1, 65, 8)).toMatchObject({ failure: { reason: 'COUNTER_OVERFLOW' } });
  });

  test('deleted, it is gone everywhere with its tokens', () => {
    const service = sharded();
    place(service, 1n, 1, 1, 8);
    expect(service.everywhere({ type: 'delete', name: 's' })).toBe(true);
    for (const partition of service.partitions) expect([partition.view('s'), partition.stored('counter/')]).toEqual([undefined, []]);
    expect(service.everywhere(create('s', { kind: 'sharded', shards: 2, id: 'another' }))).toBe(true);
    expect(service.sum('s')).toBe(0n);
  });
});

describe('queued', () => {
  function queued(): Harness {
    const h = new Harness();
    h.local([create('q', { kind: 'queued' })]);
    return h;
  }

  test('C8: adds are one record of the batch, pending until they are rolled up', () => {
    const h = queued();
    for (const name of ['a', 'b']) h.local([create(name, { kind: 'queued' })]);
    h.together = 3;
    ['q', 'a', 'b'].forEach((name, i) => h.add(name, 5n, 1, i + 1));
    h.together = 1;
    expect(h.stored('event/').length).toBe(1);
    expect(h.view('q')).toMatchObject({ value: 0n, pendingAdds: 1, pendingSinceMs: h.nowMs });
    h.restart();
    expect(h.view('q')).toMatchObject({ value: 0n, pendingAdds: 1 });
    h.pass(500);
    expect(h.view('q')).toMatchObject({ value: 5n, pendingAdds: 0 });
    expect(h.stored('event/')).toEqual([]);
    expect(h.add('q', 5n, 1, 1)).toMatchObject({ type: 'counted' });
    h.pass(500);
    expect(h.view('q')).toMatchObject({ value: 5n });
  });

  test('C1: pending adds count towards the range', () => {
    const h = queued();
    h.add('q', MAX_INT64, 1, 1);
    expect(h.add('q', 1n, 1, 2)).toMatchObject({ failure: { reason: 'COUNTER_OVERFLOW' } });
    expect(h.prepare(branch(1), [add('q', 1n)])).toMatchObject({ vote: 'no', cause: { reason: 'COUNTER_OVERFLOW' } });
  });

  test('C1: sums of events keep to 64 bits, though their parts go from one end to the other', () => {
    const h = queued();
    h.add('q', -MAX_INT64, 1, 1);
    h.pass(500);
    h.together = 2;
    h.add('q', MAX_INT64, 1, 2);
    h.add('q', MAX_INT64, 1, 3);
    h.together = 1;
    const { adds } = [...h.store.values()].find((record) => record.type === 'event') as EventRecord;
    expect(adds.map(({ amount }) => amount)).toEqual([MAX_INT64, MAX_INT64]);
    h.pass(500);
    expect(h.view('q')).toMatchObject({ value: MAX_INT64, pendingAdds: 0 });
    const rates = h.read({ type: 'rates', name: 'q' });
    expect(rates).toMatchObject({ answer: { windows: [{ added: MAX_INT64, adds: 3 }, {}, {}] } });
  });

  test('what a transaction adds is an event, too', () => {
    const h = queued();
    h.prepare(branch(1), [add('q', 3n)]);
    h.tell('commit', branch(1));
    h.pass(500);
    expect(h.view('q')).toMatchObject({ value: 3n });
  });

  test('events of a deleted counter count for nothing in its successor', () => {
    const h = queued();
    h.add('q', 3n, 1, 1);
    h.local([{ type: 'delete', name: 'q' }]);
    h.local([create('q', { kind: 'queued', id: 'another' })]);
    h.pass(1000);
    expect(h.view('q')).toMatchObject({ value: 0n, pendingAdds: 0 });
  });

  test('the log of events is bounded', () => {
    const h = new Harness({ counter: { maxEvents: 3 } });
    h.local([create('q', { kind: 'queued' })]);
    for (let i = 1; i <= 3; i++) h.add('q', 1n, 1, i);
    expect(h.add('q', 1n, 1, 4)).toMatchObject({ failure: { reason: 'OVERLOADED', retryAfterMs: 200 } });
    h.pass(500);
    expect(h.add('q', 1n, 1, 4)).toMatchObject({ type: 'counted' });
  });
});

describe('replicated', () => {
  const spread = (): Service => {
    const service = new Service(3);
    service.everywhere(create('r', { kind: 'replicated' }));
    return service;
  };
  const stateOf = (h: Harness) => ({ name: 'r', components: h.view('r')!.components });

  test('each partition counts by itself; a session always counts at the same one', () => {
    const service = spread();
    for (let session = 1; session <= 9; session++) {
      const owner = partitionOfReplica(id(session), 3);
      expect(service.partitions[owner]!.add('r', session % 2 === 0 ? -2n : 3n, session, 1)).toMatchObject({ type: 'counted' });
      expect(service.partitions[(owner + 1) % 3]!.add('r', 3n, session, 1)).toMatchObject({ type: 'elsewhere' });
    }
    const [a, b, c] = service.partitions as [Harness, Harness, Harness];
    for (const from of [a, b, c]) for (const to of [a, b, c]) to.request({ type: 'merge', states: [stateOf(from)], relay: false });
    for (const h of [a, b, c]) {
      const value = h.view('r')!.components.reduce((sum, { added, subtracted }) => sum + added - subtracted, 0n);
      expect(value).toBe(5n * 3n - 4n * 2n);
    }
  });

  test('news are told: own adds, and merges from elsewhere, but no repetition', () => {
    const [a, b] = spread().partitions as [Harness, Harness];
    a.prepare(branch(1), [add('r', 1n)]);
    const news = (h: Harness) => h.events.splice(0).flatMap(({ replicated }) => replicated);
    const home = spread().home('r').partition;
    const own = [a, b].find(({ partition }) => partition === home) ?? spread().partitions[2]!;
    news(own);
    own.prepare(branch(2), [add('r', 1n)]);
    own.tell('commit', branch(2));
    expect(news(own)).toEqual(['r']);
    const other = own === a ? b : a;
    news(other);
    other.request({ type: 'merge', states: [stateOf(own)], relay: true });
    other.request({ type: 'merge', states: [stateOf(own)], relay: true });
    expect(news(other)).toEqual(['r']);
    expect(other.request({ type: 'merge', states: [{ name: 'unknown', components: [] }], relay: true })).toEqual({ type: 'merged', states: [undefined] });
  });
});
