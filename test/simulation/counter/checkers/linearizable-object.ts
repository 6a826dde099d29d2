/**
 * Linearizability of one object by search (Wing and Gong 1993, with the memo of Lowe 2017): is there an
 * order of the operations that respects real time and explains every answer?
 */

export interface ObjectOperation {
  readonly startMs: number;
  /** Infinity: it may take effect at any time after its start, or never. */
  readonly endMs: number;
  /** The state after it; undefined: it can't have had its answer in this state. */
  apply(state: bigint): bigint | undefined;
}

/** Most steps of the search; beyond, nothing is said. */
const STEPS = 200_000;

export type Verdict = 'linearizable' | 'not linearizable' | 'too much to search';

export function searchOrder(opening: bigint, unordered: readonly ObjectOperation[]): Verdict {
  const operations = [...unordered].sort((a, b) => a.startMs - b.startMs);
  const certain = operations.filter(({ endMs }) => endMs < Infinity).length;
  const seen = new Set<string>();
  let steps = 0;
  const taken = new Uint8Array(operations.length);
  /** @param first the earliest operation that is not taken @param left certain operations that are not taken */
  const search = (state: bigint, first: number, left: number): boolean => {
    if (left === 0) return true;
    while (taken[first] === 1) first++;
    const key = `${state}|${first}|${taken.subarray(first).join('')}`;
    if (seen.has(key) || ++steps > STEPS) return false;
    seen.add(key);
    let firstEndMs = Infinity;
    for (let i = first; i < operations.length; i++) if (taken[i] === 0) firstEndMs = Math.min(firstEndMs, operations[i]!.endMs);
    for (let i = first; i < operations.length && operations[i]!.startMs <= firstEndMs; i++) {
      if (taken[i] === 1) continue;
      const next = operations[i]!.apply(state);
      if (next === undefined) continue;
      taken[i] = 1;
      if (search(next, first, left - (operations[i]!.endMs < Infinity ? 1 : 0))) return true;
      taken[i] = 0;
    }
    return false;
  };
  if (search(opening, 0, certain)) return 'linearizable';
  return steps > STEPS ? 'too much to search' : 'not linearizable';
}
