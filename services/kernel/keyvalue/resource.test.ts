import { describe, expect, test } from 'vitest';
import { branch, check, Harness, put, remove, text } from '../participant/testing/harness.ts';
import type { ParticipantReply } from '../participant/types.ts';
import { routingKeyOf } from './routing.ts';
import type { Conflict, KeyEntry, KeyValueTypes } from './types.ts';

type Reply = ParticipantReply<KeyValueTypes> | undefined;

function conflictOf(reply: Reply): Conflict {
  if (reply?.type !== 'failure') throw new Error(`no failure: ${JSON.stringify(reply)}`);
  return JSON.parse(text(reply.failure.detail!.value)!) as Conflict;
}

function versions(h: Harness, name: string): readonly KeyEntry[] {
  const [reply] = h.run({ type: 'read', origin: h.origin(), query: { type: 'versions', name }, consistency: 'linearizable', deadlineMs: h.nowMs });
  return reply?.type === 'read' ? reply.answer.entries : [];
}

const done = (revision: number): object => ({ type: 'done', revision });
const failed = (reason: string): object => ({ type: 'failure', failure: { reason } });

describe('preconditions', () => {
  test('absent, version, version 0 and any', () => {
    const h = new Harness();
    expect(h.local(1, [put('c/a', 'x', { precondition: 'absent' })])).toEqual(done(1));
    expect(h.local(2, [put('c/a', 'x', { precondition: 'absent' })])).toMatchObject(failed('PRECONDITION_FAILED'));
    expect(h.local(3, [put('c/a', 'y', { precondition: 1 })])).toEqual(done(2));
    expect(h.local(4, [put('c/a', 'z', { precondition: 1 })])).toMatchObject(failed('PRECONDITION_FAILED'));
    expect(h.local(5, [put('c/a', 'z', { precondition: 0 })])).toMatchObject(failed('PRECONDITION_FAILED'));
    expect(h.local(6, [put('c/b', 'z', { precondition: 0 })])).toEqual(done(3));
    expect(h.local(7, [put('c/a', 'z')])).toEqual(done(4));
  });

  test('a conflict names key, expected and current version with its value', () => {
    const h = new Harness();
    h.local(1, [put('c/k/1', 'now', { contentType: 'text/plain' })]);
    const reply = h.local(2, [check('c/k/1', 9)]);
    expect(conflictOf(reply)).toMatchObject({ participant: 'stock', name: 'c/k/1', expected: 'version 9', exists: true, current: { version: 1, contentType: 'text/plain' } });
    expect(reply).toMatchObject({
      failure: {
        message: 'key "k/1" of collection "c" was required to be version 9, but it has version 1; read it and try again',
        metadata: { collection: 'c', key: 'k/1', expected: 'version 9', currentVersion: '1' },
      },
    });
  });

  test('a value over 64 KiB is left out of the conflict', () => {
    const h = new Harness();
    h.local(1, [put('c/a', 'x'.repeat(65_537))]);
    const { current, exists } = conflictOf(h.local(2, [check('c/a', 'absent')]));
    expect([current.version, current.value, exists]).toEqual([1, undefined, true]);
  });

  test('K1 a version is never reused, also after a delete', () => {
    const h = new Harness();
    h.local(1, [put('c/a')]);
    h.local(2, [remove('c/a')]);
    h.local(3, [put('c/a')]);
    expect(h.read(['c/a'])![0]!.version).toBe(3);
    expect(h.local(4, [check('c/a', 1)])).toMatchObject(failed('PRECONDITION_FAILED'));
  });

  test('version 0 is of a key that was never there, and absent of one that is not there now', () => {
    const h = new Harness();
    expect(h.local(1, [check('c/a', 0)])).toMatchObject({ type: 'done' });
    h.local(2, [put('c/a')]);
    h.local(3, [remove('c/a')]);
    expect(h.local(4, [check('c/a', 'absent'), check('c/b', 0)])).toMatchObject({ type: 'done' });
    const refused = h.local(5, [check('c/a', 0)]);
    expect(refused).toMatchObject(failed('PRECONDITION_FAILED'));
    expect(refused?.type === 'failure' && refused.failure.message).toContain('required to be version 0, but it is absent at version 2');
  });

  test.each([0, 2])('T11 an absent key that came and went since it was read does not pass for unchanged (history of %i)', (historyLimit) => {
    const h = new Harness({ keyValue: { historyLimit } });
    h.local(1, [put('c/other')]);
    const read = h.read(['c/a'])![0]!.version;
    expect(h.prepare(branch(2), [check('c/a', read)], { readOnly: true })).toMatchObject([{ vote: 'readOnly' }]);
    h.local(3, [put('c/a')]);
    h.local(4, [remove('c/a')]);
    expect(h.prepare(branch(5), [check('c/a', read)], { readOnly: true })).toMatchObject([{ vote: 'no', cause: { reason: 'PRECONDITION_FAILED' } }]);
    const again = h.read(['c/a'])![0]!.version;
    expect(again).toBe(3);
    h.local(6, [remove('c/other')]);
    expect(h.prepare(branch(7), [check('c/a', again)], { readOnly: true })).toMatchObject([{ vote: 'readOnly' }]);
  });

  test('T11 nor does it after a failover, which forgets what was deleted', () => {
    const h = new Harness();
    h.local(1, [put('c/other')]);
    const read = h.read(['c/a'])![0]!.version;
    h.local(2, [put('c/a')]);
    h.local(3, [remove('c/a')]);
    h.restart();
    expect(h.local(4, [check('c/a', read)])).toMatchObject(failed('PRECONDITION_FAILED'));
    const again = h.read(['c/a'])![0]!.version;
    h.restart();
    expect(h.local(5, [check('c/a', again)])).toMatchObject({ type: 'done' });
  });

  test('T11 nor where an interactive transaction read it', () => {
    const h = new Harness();
    const work = branch(9, 1);
    h.run({ type: 'read', origin: h.origin(), query: { type: 'keys', names: ['c/a'] }, consistency: 'linearizable', deadlineMs: h.nowMs + 1000, workspace: work });
    h.run(h.message({ type: 'enlistAnswer', branch: work }));
    h.local(1, [put('c/a')]);
    h.local(2, [remove('c/a')]);
    const workspace = { attempt: work.attempt, epoch: h.epoch };
    expect(h.prepare(branch(9, 2), [], { workspace })).toMatchObject([{ vote: 'no', cause: { reason: 'PRECONDITION_FAILED' } }]);
  });

  test('deleting an absent key changes nothing, not even the revision', () => {
    const h = new Harness();
    h.local(1, [put('c/a')]);
    expect(h.local(2, [remove('c/b')])).toEqual(done(1));
    expect(h.stored('change/')).toHaveLength(1);
  });

  test('several operations on a key are applied in order', () => {
    const h = new Harness();
    h.local(1, [put('c/a', '{"x":1}'), put('c/a', '{"y":2}', { mergePolicy: 'jsonMergePatch' })]);
    expect(h.value('c/a')).toBe('{"x":1,"y":2}');
    h.local(2, [remove('c/a'), put('c/a', 'new', { precondition: 'absent' })]);
    expect(h.value('c/a')).toBe('new');
    h.local(3, [put('c/b'), remove('c/b')]);
    expect(h.read(['c/b'])![0]).toMatchObject({ value: undefined, version: 3 });
  });
});

describe('merge policies', () => {
  test('last writer wins whatever the version', () => {
    const h = new Harness();
    h.local(1, [put('c/a', 'old')]);
    expect(h.local(2, [put('c/a', 'new', { precondition: 77, mergePolicy: 'lastWriterWins' })])).toEqual(done(2));
  });

  test('a merge patch is applied to what is there, or to nothing', () => {
    const h = new Harness();
    const patch = { mergePolicy: 'jsonMergePatch', contentType: 'application/merge-patch+json' } as const;
    h.local(1, [put('c/a', '{"a":1,"b":null}', patch)]);
    h.local(2, [put('c/a', '{"c":{"d":2}}', patch)]);
    expect(h.read(['c/a'])![0]).toMatchObject({ contentType: 'application/json' });
    expect(h.value('c/a')).toBe('{"a":1,"c":{"d":2}}');
    h.local(3, [put('c/t', 'no json')]);
    expect(h.local(4, [put('c/t', '{}', patch)])).toMatchObject(failed('MERGE_CONFLICT'));
    expect(h.local(5, [put('c/a', 'no json', patch)])).toMatchObject(failed('MERGE_CONFLICT'));
  });

  test.each([2, 5])('a three-way merge starts from a version that is kept (history of %i)', (historyLimit) => {
    const h = new Harness({ keyValue: { historyLimit } });
    const based = (version: number): object => ({ precondition: version, mergePolicy: 'jsonThreeWay' });
    h.local(1, [put('c/a', '{"x":1,"y":1}')]);
    h.local(2, [put('c/a', '{"x":2,"y":1}')]);
    h.restart();
    expect(h.local(3, [put('c/a', '{"x":1,"y":2}', based(1))])).toEqual(done(3));
    expect(h.value('c/a')).toBe('{"x":2,"y":2}');
    expect(h.local(4, [put('c/a', '{"x":5,"y":5}', based(3))])).toEqual(done(4));
    const reply = h.local(5, [put('c/a', '{"x":9,"y":2}', based(3))]);
    expect(reply).toMatchObject(failed('MERGE_CONFLICT'));
    expect(conflictOf(reply)).toMatchObject({ conflictingFields: ['/x'], current: { version: 4 } });
  });

  test('a base version that is no longer kept is a conflict that says so', () => {
    const h = new Harness();
    h.local(1, [put('c/a', '{}')]);
    h.local(2, [put('c/a', '{"x":1}')]);
    const reply = h.local(3, [put('c/a', '{"y":1}', { precondition: 1, mergePolicy: 'jsonThreeWay' })]);
    expect(reply?.type === 'failure' && reply.failure.message).toContain('version 1, which is no longer kept');
  });
});

describe('history', () => {
  test('the last N earlier versions are kept, a deletion among them', () => {
    const h = new Harness({ keyValue: { historyLimit: 2 } });
    for (let n = 1; n <= 4; n++) h.local(n, [put('c/a', `v${n}`)]);
    h.local(5, [remove('c/a')]);
    h.restart();
    expect(versions(h, 'c/a').map(({ version, value }) => [version, text(value)])).toEqual([
      [5, undefined],
      [4, 'v4'],
      [3, 'v3'],
    ]);
    expect(h.stored('version/')).toHaveLength(3);
    expect(h.local(6, [put('c/a', 'v6', { precondition: 'absent' })])).toEqual(done(6));
    expect(versions(h, 'c/a').map(({ version }) => version)).toEqual([6, 5, 4]);
  });

  test('versions of a key do not mix with those of another', () => {
    const h = new Harness({ keyValue: { historyLimit: 1 } });
    h.local(1, [put('c/a', '1'), put('c/aa', '1'), put('c/a!', '1')]);
    h.local(2, [put('c/a', '2')]);
    h.local(3, [put('c/a', '3')]);
    expect(h.stored('version/')).toHaveLength(4);
    expect(versions(h, 'c/aa')).toHaveLength(1);
  });

  test('K7 a branch that was prepared keeps its write, whatever the setting is at commit', () => {
    const h = new Harness({ keyValue: { historyLimit: 3 } });
    h.local(1, [put('c/a', '1')]);
    h.prepare(branch(2), [put('c/a', '2')]);
    (h as unknown as { options: object }).options = { keyValue: { historyLimit: 0 } };
    h.restart();
    h.tell('commit', branch(2));
    expect(versions(h, 'c/a').map(({ version }) => version)).toEqual([2, 1]);
    h.local(3, [put('c/a', '3')]);
    expect(h.stored('version/')).toEqual([]);
    expect(h.value('c/a')).toBe('3');
  });
});

describe('K7 limits are named before prepare', () => {
  test.each([
    ['a value takes 1048577 bytes', [put('c/a', 'x'.repeat(1_048_577))]],
    ['a branch takes 121 operations', Array.from({ length: 121 }, (_, i) => put(`c/${i}`))],
    ['a branch takes', [put('c/a', 'x'.repeat(600_000)), put('c/b', 'x'.repeat(600_000))]],
  ])('%s', (message, operations) => {
    const h = new Harness();
    const reply = h.local(1, operations);
    expect(reply).toMatchObject(failed('LIMIT_EXCEEDED'));
    expect(reply?.type === 'failure' && reply.failure.message).toContain(message);
    expect(h.prepare(branch(2), operations)).toMatchObject([{ vote: 'no', cause: { reason: 'LIMIT_EXCEEDED' } }]);
  });

  test('what is exactly at the limits goes through', () => {
    const h = new Harness();
    expect(h.local(1, [put('c/a', 'x'.repeat(1_048_576))])).toEqual(done(1));
    const many = Array.from({ length: 120 }, (_, i) => put(`c/${'k'.repeat(1000)}${i}`, 'x'.repeat(7000)));
    expect(h.prepare(branch(2), many)).toMatchObject([{ vote: 'yes' }]);
    h.tell('commit', branch(2));
    expect(h.local(3, many)).toEqual(done(3));
  });

  test('with history a commit takes more operations', () => {
    const h = new Harness({ keyValue: { historyLimit: 1 } });
    const writes = (count: number) => Array.from({ length: count }, (_, i) => put(`c/${i}`));
    expect(h.local(1, writes(61))).toMatchObject(failed('LIMIT_EXCEEDED'));
    for (let n = 2; n < 6; n++) expect(h.local(n, writes(40))).toMatchObject({ type: 'done' });
  });

  test('a merge that grows over the limit is refused', () => {
    const h = new Harness();
    const half = `"${'x'.repeat(600_000)}"`;
    h.local(1, [put('c/a', `{"a":${half}}`)]);
    expect(h.local(2, [put('c/a', `{"b":${half}}`, { mergePolicy: 'jsonMergePatch' })])).toMatchObject(failed('LIMIT_EXCEEDED'));
  });
});

describe('changes', () => {
  test('each batch is logged and, if somebody watches, told', () => {
    const h = new Harness();
    h.resource.watched = true;
    h.local(1, [put('c/a', '1'), put('c/b', '1')]);
    h.local(2, [remove('c/a')]);
    expect(h.events).toMatchObject([
      { revision: 1, entries: [{ name: 'c/a', version: 1 }, { name: 'c/b', version: 1 }] },
      { revision: 2, entries: [{ name: 'c/a', version: 2, value: undefined }] },
    ]);
    expect(h.stored('change/')).toHaveLength(2);
  });

  test('the log is bounded by age and count, and says from where on it is kept', () => {
    const h = new Harness({ keyValue: { changeRetentionMs: 5000, changeRetentionCount: 1000 } });
    for (let n = 1; n <= 10; n++) {
      h.local(n, [put('c/a', `${n}`)]);
      h.pass(1000);
    }
    expect(h.stored('change/').length).toBeLessThanOrEqual(7);
    expect(h.store.get('kept')).toMatchObject({ changesThrough: 10 - h.stored('change/').length });
  });
});

test('the cache is bounded: what was evicted is read again', () => {
  const h = new Harness({ keyValue: { cacheBytes: 20_000 } });
  for (let n = 1; n <= 50; n++) h.local(n, [put(`c/${n}`, `${n}`.repeat(500))]);
  for (let n = 1; n <= 50; n++) expect(h.value(`c/${n}`)).toBe(`${n}`.repeat(500));
});

test.each([
  ['user/1', 'user/1'],
  ['{user1}/cart', 'user1'],
  ['a{b}c{d}', 'b'],
  ['{}x', '{}x'],
  ['{open', '{open'],
  ['a}b{c}', 'c'],
  ['{{a}', '{a'],
])('the routing key of %s is %s', (key, routing) => {
  expect(routingKeyOf(key)).toBe(routing);
});
