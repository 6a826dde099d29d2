/**
 * A watch over partitions that are led here and elsewhere: each is followed from leader to leader,
 * from the last position that was passed on, and all are merged into one.
 */

import { delay } from '../clock.ts';
import { FailureError } from '../errors/failure-error.ts';
import { surelyNotExecuted } from '../errors/status.ts';
import { StoreUnavailable } from '../store/errors.ts';
import type { Leader } from '../cluster/view.ts';
import type { LocalTerm } from './place.ts';
import { noLeader } from './place.ts';
import type { Router } from './router.ts';

/** Where to begin in a partition: after a position, with what is oldest, or with what comes. */
export type Start = { readonly after: number } | 'oldest' | 'now';

/** How a forwarded watch, which is of the partitions that it names, says where to begin. */
export const FROM_NOW = Number.MAX_SAFE_INTEGER;

export interface Follow<Term, Item> {
  readonly service: string;
  readonly partition: number;
  readonly start: Start;
  readonly forwarded: boolean;
  readonly signal: AbortSignal;
  /** The items from there on. The first one states the position where the watch begins. */
  local(term: Term, start: Start): AsyncIterable<Item>;
  remote(leader: Leader, start: Start): AsyncIterable<Item>;
  /** Where to go on after this item. */
  position(item: Item): number;
}

const PAUSE_MS = 100;

/** Yields a partition's items for as long as the caller is there, whoever leads. @throws FailureError */
export async function* follow<Term extends LocalTerm<never>, Item>(
  router: Router<Term>,
  options: Follow<Term, Item>,
): AsyncGenerator<Item> {
  const { service, partition, forwarded, signal, position } = options;
  let { start } = options;
  while (!signal.aborted) {
    // A watch waits for a leader as long as its caller does.
    const place = await router.places.find(service, partition, { forwarded, signal });
    if (place.type === 'nobody') {
      if (forwarded) throw new FailureError(noLeader(service, partition));
      continue;
    }
    try {
      const items = place.type === 'local' ? options.local(place.term, start) : options.remote(place.leader, start);
      for await (const item of items) {
        start = { after: position(item) };
        yield item;
      }
    } catch (error) {
      if (forwarded || !mayContinue(error)) throw error;
    }
    if (forwarded) return;
    await delay(router.clock, PAUSE_MS);
  }
}

/** Whether the watch ended because of where it was led, and not because of what was asked. */
function mayContinue(error: unknown): boolean {
  if (error instanceof StoreUnavailable) return true;
  if (!(error instanceof FailureError)) return false;
  const { failure } = error;
  if (failure.reason === 'OUTCOME_UNKNOWN') return true;
  return surelyNotExecuted(failure) && failure.reason !== 'OVERLOADED';
}

/**
 * All at once, each in its own order; ends with the first error, or when all have ended.
 * @param open the sources, which end when the signal that it is given aborts.
 */
export async function* merge<Item>(
  outer: AbortSignal,
  open: (signal: AbortSignal) => readonly AsyncIterable<Item>[],
): AsyncGenerator<Item> {
  const controller = new AbortController();
  const iterators = open(AbortSignal.any([outer, controller.signal])).map((source) => source[Symbol.asyncIterator]());
  const arrived: { readonly index: number; readonly result: IteratorResult<Item> }[] = [];
  let broken: { readonly error: unknown } | undefined;
  let wake = (): void => {};
  let running = iterators.length;
  // One promise of its own for each item: a race over all would leave a reaction at every idle source.
  const pull = (index: number): void =>
    void iterators[index]!.next().then(
      (result) => {
        arrived.push({ index, result });
        wake();
      },
      (error: unknown) => {
        broken ??= { error };
        wake();
      },
    );
  iterators.forEach((_, index) => pull(index));
  try {
    while (running > 0) {
      const next = arrived.shift();
      if (next !== undefined) {
        if (next.result.done === true) running--;
        else {
          yield next.result.value;
          pull(next.index);
        }
      } else if (broken !== undefined) throw broken.error;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    // Sets free the iterators that wait; nobody waits for them here.
    controller.abort();
    for (const iterator of iterators) iterator.return?.().catch(() => undefined);
  }
}
