import { describe, expect, test } from 'vitest';
import { FailureError } from '../errors/failure-error.ts';
import { Events } from './events.ts';
import { merge } from './follow.ts';

const open = new AbortController().signal;

async function* of<T>(...values: T[]): AsyncGenerator<T> {
  yield* values;
}

describe('events', () => {
  test('are told to every watcher in order', async () => {
    const events = new Events<number>();
    const [a, b] = [events.subscribe(), events.subscribe()];
    events.publish(1);
    events.publish(2);
    expect([await a.next(), await b.next()]).toEqual([[1, 2], [1, 2]]);
    const next = a.next();
    events.publish(3);
    expect(await next).toEqual([3]);
  });

  test('are only made while somebody watches', () => {
    const told: boolean[] = [];
    const events = new Events<number>((watched) => void told.push(watched));
    const [a, b] = [events.subscribe(), events.subscribe()];
    a.close();
    expect(told).toEqual([true]);
    b.close();
    b.close();
    expect(told).toEqual([true, false]);
  });

  test('a watcher that does not keep up is ended, and holds nothing', async () => {
    const events = new Events<number>();
    const slow = events.subscribe(2);
    for (const event of [1, 2, 3, 4]) events.publish(event);
    await expect(slow.next()).rejects.toMatchObject({ failure: { reason: 'OVERLOADED', message: expect.stringContaining('last position') } });
  });

  test('the end of the term is heard after what came before it, also by those who come later', async () => {
    const events = new Events<number>();
    const watcher = events.subscribe();
    events.publish(1);
    events.end({ reason: 'NO_LEADER', message: 'ended' });
    expect(await watcher.next()).toEqual([1]);
    await expect(watcher.next()).rejects.toThrow('ended');
    await expect(events.subscribe().next()).rejects.toThrow('ended');
  });
});

describe('merging', () => {
  test('takes all of every source, each in its order', async () => {
    const all: string[] = [];
    for await (const value of merge(open, () => [of('a1', 'a2'), of('b1'), of()])) all.push(value as string);
    expect(all.filter((value) => value.startsWith('a'))).toEqual(['a1', 'a2']);
    expect(all.sort()).toEqual(['a1', 'a2', 'b1']);
  });

  test('ends with the first error, and lets the waiting sources go', async () => {
    let freed = false;
    const merged = merge(open, (signal) => {
      signal.addEventListener('abort', () => (freed = true));
      const waiting = new Promise<never>(() => {});
      const stuck = { [Symbol.asyncIterator]: () => ({ next: () => waiting }) } as AsyncIterable<string>;
      const broken = (async function* (): AsyncGenerator<string> {
        yield 'first';
        throw new FailureError({ reason: 'POSITION_COMPACTED', message: 'gone' });
      })();
      return [stuck, broken];
    });
    expect((await merged.next()).value).toBe('first');
    await expect(merged.next()).rejects.toThrow('gone');
    expect(freed).toBe(true);
  });

  test('a reader that leaves ends the sources', async () => {
    let ended = false;
    const merged = merge(open, (signal) => {
      signal.addEventListener('abort', () => (ended = true));
      return [of(1, 2, 3)];
    });
    await merged.next();
    await merged.return(undefined);
    expect(ended).toBe(true);
  });
});
