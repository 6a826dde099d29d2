import { describe, expect, test } from 'vitest';
import { encodeValue, History, keyOf, type Content, type Write } from '../history.ts';
import { checkBalances } from '../keys/balances.ts';
import { checkReads } from '../keys/linearizable.ts';
import { checkLockOrder } from './lock-order.ts';
import { checkAtomicity, checkOneOutcome } from './outcomes.ts';
import { checkSerializable } from './serializable.ts';

const [A, B] = [
  { participant: 'money', partition: 0, key: 'a' },
  { participant: 'stock', partition: 1, key: 'b' },
] as const;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A history made by hand. */
class Story {
  readonly history = new History();
  private versions = 0;

  /** A client asks for it. */
  begin(id: string, startMs: number, writes: readonly (typeof A | typeof B)[], reads: Content['reads'] = [], variant = 0): this {
    const value = encodeValue(keyOf(id, variant), undefined);
    const content = { id, variant, kind: 'execute' as const, startMs, writes: writes.map((place): Write => ({ place, value })), reads: [...reads], publishes: [] };
    this.history.contents.set(keyOf(id, variant), content);
    return this;
  }

  apply(id: string, place: typeof A | typeof B, atMs: number, version = ++this.versions, variant = 0): this {
    const name = `${place.participant}/${place.key}`;
    const versions = this.history.versions.get(name) ?? [];
    this.history.versions.set(name, [...versions, { version, value: text(encodeValue(keyOf(id, variant), undefined)), atMs }]);
    return this;
  }

  tell(id: string, outcome: 'committed' | 'aborted', atMs: number, variant: number | undefined = 0): this {
    this.history.settle(id, variant, outcome, atMs);
    return this;
  }

  read(place: typeof A | typeof B, startMs: number, endMs: number, version: number, writer?: string, consistency: 'linearizable' | 'eventual' = 'linearizable'): this {
    const value = writer === undefined ? undefined : text(encodeValue(keyOf(writer, 0), undefined));
    this.history.reads.push({ name: `${place.participant}/${place.key}`, consistency, startMs, endMs, version, value });
    return this;
  }
}

const transfer = (): Story => new Story().begin('t', 0, [A, B]);

describe('one outcome', () => {
  test('accepts an outcome that is told twice', () => {
    expect(checkOneOutcome(transfer().tell('t', 'committed', 5).tell('t', 'committed', 9).history)).toEqual([]);
  });

  test('sees two outcomes of one id', () => {
    expect(checkOneOutcome(transfer().tell('t', 'aborted', 5).tell('t', 'committed', 9).history)).toHaveLength(1);
  });

  test('sees a transaction that is applied twice', () => {
    expect(checkOneOutcome(transfer().apply('t', A, 4).apply('t', A, 6).history)).toHaveLength(1);
  });
});

describe('atomicity', () => {
  test('accepts all and nothing', () => {
    const story = transfer().apply('t', A, 4).apply('t', B, 5).tell('t', 'committed', 5);
    expect(checkAtomicity(story.begin('u', 0, [A]).tell('u', 'aborted', 3).history)).toEqual([]);
  });

  test('sees a part', () => {
    expect(checkAtomicity(transfer().apply('t', A, 4).history)).toHaveLength(1);
  });

  test('sees a message that is not published with the rest', () => {
    const story = new Story().begin('t', 0, [A]).apply('t', A, 4);
    const message = {
      topic: 'orders', partition: 0, payload: 't#0/1', orderingKey: '', priority: 0, deliverAtMs: 0, timeToLiveMs: 0,
      deduplicated: false, writer: keyOf('t', 0), startMs: 0, endMs: Infinity, position: undefined,
    };
    const { history } = story;
    history.contents.get(keyOf('t', 0))!.publishes.push(message);
    history.queue.published.set(message.payload, message);
    expect(checkAtomicity(history)).toHaveLength(1);
    history.queue.stored.push({ topic: 'orders', partition: 0, position: 1, payload: message.payload, publishMs: 5, fromMs: 5, untilMs: Infinity });
    expect(checkAtomicity(history)).toEqual([]);
    expect(checkAtomicity(story.tell('t', 'aborted', 9).history)).toHaveLength(1);
  });

  test('sees a commit that was told and lost', () => {
    expect(checkAtomicity(transfer().tell('t', 'committed', 5).history)).toHaveLength(1);
  });

  test('sees an abort that was told and applied', () => {
    expect(checkAtomicity(transfer().apply('t', A, 4).apply('t', B, 5).tell('t', 'aborted', 5).history)).toHaveLength(1);
  });

  test('sees two contents of one id applied', () => {
    const story = transfer().begin('t', 1, [A], [], 1).apply('t', A, 4).apply('t', B, 5).apply('t', A, 6, 9, 1);
    expect(checkAtomicity(story.history)).toHaveLength(1);
  });

  test('sees a commit told for the other content', () => {
    const story = transfer().begin('t', 1, [A], [], 1).apply('t', A, 4).apply('t', B, 5).tell('t', 'committed', 7, 1);
    expect(checkAtomicity(story.history)).toHaveLength(1);
  });

  test('sees what nobody asked for', () => {
    expect(checkAtomicity(new Story().apply('t', A, 4).history)).toHaveLength(1);
  });

  test('says nothing where a version was replaced in the batch that wrote it', () => {
    const { history } = transfer().apply('t', A, 4).tell('t', 'committed', 5);
    history.hide('stock/b', 7);
    expect(checkAtomicity(history)).toEqual([]);
  });

  test('leaves out what an operator forced', () => {
    const { history } = transfer().apply('t', A, 4).tell('t', 'committed', 5);
    history.forced.add('t');
    expect(checkAtomicity(history)).toEqual([]);
  });
});

describe('linearizable keys', () => {
  const written = (): Story => transfer().apply('t', A, 10, 1).apply('t', B, 10, 1).tell('t', 'committed', 12);

  test('accepts the old version while the write is under way, and the new one after', () => {
    expect(checkReads(written().read(A, 5, 20, 0).read(A, 13, 14, 1, 't').history)).toEqual([]);
  });

  test('sees a read that misses what was told before it began', () => {
    expect(checkReads(written().read(A, 13, 14, 0).history)).toHaveLength(1);
  });

  test('sees a read that goes back behind another', () => {
    expect(checkReads(written().read(A, 3, 11, 1, 't').read(A, 11.5, 11.8, 0).history)).toHaveLength(1);
  });

  test('sees a version that was not durable yet', () => {
    expect(checkReads(written().read(A, 3, 9, 1, 't').history)).toHaveLength(1);
  });

  test('sees a version that never was', () => {
    expect(checkReads(written().read(A, 13, 14, 7, 't').history)).toHaveLength(1);
  });

  test('lets a version be read that was replaced in the batch that wrote it, but not too late', () => {
    const { history } = written().read(A, 9, 14, 7, 't').read(A, 15, 16, 1, 't');
    history.hide('money/a', 7);
    expect(checkReads(history)).toHaveLength(1);
  });

  test('sees a version with a value that is not its own', () => {
    expect(checkReads(written().read(A, 13, 14, 1, 'other').history)).toHaveLength(1);
  });

  test('lets an eventual read be old, but not made up', () => {
    expect(checkReads(written().read(A, 13, 14, 0, undefined, 'eventual').history)).toEqual([]);
    expect(checkReads(written().read(A, 13, 14, 7, 't', 'eventual').history)).toHaveLength(1);
  });
});

describe('serializable transactions', () => {
  test('accepts one after the other', () => {
    const story = new Story()
      .begin('t', 0, [A], [{ place: B, version: 0 }]).apply('t', A, 4, 1).tell('t', 'committed', 5)
      .begin('u', 6, [B], [{ place: A, version: 1 }]).apply('u', B, 8, 1).tell('u', 'committed', 9);
    expect(checkSerializable(story.history)).toEqual([]);
  });

  test('sees write skew', () => {
    const story = new Story()
      .begin('t', 0, [A], [{ place: B, version: 0 }]).apply('t', A, 4, 1)
      .begin('u', 0, [B], [{ place: A, version: 0 }]).apply('u', B, 4, 1);
    expect(checkSerializable(story.history)).toHaveLength(1);
  });

  test('sees reads of two moments', () => {
    const story = transfer().apply('t', A, 4, 1).apply('t', B, 4, 1)
      .begin('r', 0, [], [{ place: A, version: 1 }, { place: B, version: 0 }]).tell('r', 'committed', 9);
    expect(checkSerializable(story.history)).toHaveLength(1);
  });

  test('sees an order against real time', () => {
    const story = new Story()
      .begin('t', 0, [A]).apply('t', A, 4, 1).tell('t', 'committed', 5)
      .begin('r', 6, [], [{ place: A, version: 0 }]).tell('r', 'committed', 9);
    expect(checkSerializable(story.history)).toHaveLength(1);
  });

  test('follows real time through many transactions', () => {
    const story = new Story().begin('t', 0, [A]).apply('t', A, 4, 1).tell('t', 'committed', 5);
    for (let i = 0; i < 9; i++) story.begin(`m${i}`, 6 + 2 * i, [B]).apply(`m${i}`, B, 7 + 2 * i, i + 1).tell(`m${i}`, 'committed', 7 + 2 * i);
    story.begin('r', 30, [], [{ place: A, version: 0 }]).tell('r', 'committed', 31);
    expect(checkSerializable(story.history)).toHaveLength(1);
  });

  test('does not take the outcome of one content for that of another', () => {
    const story = new Story()
      .begin('t', 0, [A]).apply('t', A, 4, 1).tell('t', 'committed', 5)
      .begin('r', 6, [], [{ place: A, version: 0 }])
      .begin('r', 6, [B], [], 1).apply('r', B, 8, 1, 1).tell('r', 'committed', 9, 1);
    expect(checkSerializable(story.history)).toEqual([]);
  });
});

describe('balances', () => {
  test('accepts a sum that stays', () => {
    const { history } = new Story();
    history.versions.set('x', [{ version: 1, value: text(encodeValue('t#0', 90)), atMs: 1 }]);
    history.versions.set('y', [{ version: 1, value: text(encodeValue('t#0', 110)), atMs: 1 }]);
    expect(checkBalances(history, ['x', 'y', 'z'], 100)).toEqual([]);
    expect(checkBalances(history, ['x', 'z'], 100)).toHaveLength(1);
  });
});

describe('lock order', () => {
  const [older, younger] = [{ firstTryMs: 1, transactionId: 'b' }, { firstTryMs: 2, transactionId: 'a' }];

  test('lets the older wait', () => {
    expect(checkLockOrder([[older, younger]])).toEqual([]);
  });

  test('sees the younger wait, and whoever waits for its equal', () => {
    expect(checkLockOrder([[younger, older], [older, older]])).toHaveLength(2);
  });
});
