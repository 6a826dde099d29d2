/** A store as simple as can be, and batches to try on it, for the property test of the conformance suite. */
import fc from 'fast-check';
import { LEASED_PREFIX, type Compare, type Lease, type Put, type WriteBatch } from '../store.ts';

export class ModelStore {
  readonly #values = new Map<string, string>();

  write({ compares = [], puts = [], deletes = [], deleteRanges = [] }: WriteBatch): 'written' | 'refused' {
    if (compares.some((compare) => this.#values.has(compare.key))) return 'refused';
    const inRange = (key: string): boolean => deleteRanges.some(({ from, to }) => bytes(key) >= bytes(from) && bytes(key) < bytes(to));
    for (const key of this.#values.keys()) if (inRange(key) || deletes.includes(key)) this.#values.delete(key);
    for (const { key, value } of puts) this.#values.set(key, Buffer.from(value).toString());
    return 'written';
  }

  list(prefix: string): [string, string][] {
    return [...this.#values].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (bytes(a) < bytes(b) ? -1 : 1));
  }
}

/** A batch whose keys are yet to be put under a folder. */
export interface ArbitraryBatch {
  under(folder: string, lease: Lease): WriteBatch;
}

// Few names, so that batches meet; from one, two, three and four bytes of UTF-8.
const name = fc.constantFrom('a', 'b', 'ab', 'b\u0000', 'é', '\u{ff5e}', '\u{1f600}');
const key = fc.tuple(fc.boolean(), name);
type Key = [live: boolean, name: string];

const operation = fc.record({ key, kind: fc.constantFrom('put', 'put', 'delete'), value: fc.string({ maxLength: 5 }) });

const batch: fc.Arbitrary<ArbitraryBatch> = fc
  .record({
    operations: fc.uniqueArray(operation, { selector: (each) => each.key.join(), maxLength: 5 }),
    absent: fc.option(key, { freq: 3 }),
    range: fc.option(fc.tuple(fc.boolean(), name, name), { freq: 3 }),
  })
  .map(({ operations, absent, range }) => ({
    under(folder, lease) {
      const place = ([live, rest]: Key): string => (live ? LEASED_PREFIX : '') + folder + rest;
      const deleteRanges = range === null ? [] : [{ from: place([range[0], range[1]]), to: place([range[0], range[2]]) }];
      const free = operations.filter((each) => !deleteRanges.some(({ from, to }) => bytes(place(each.key)) >= bytes(from) && bytes(place(each.key)) < bytes(to)));
      const compares: Compare[] = absent === null ? [] : [{ type: 'absent', key: place(absent) }];
      const puts = free.filter(({ kind }) => kind === 'put').map(({ key: each, value }): Put =>
        ({ key: place(each), value: Buffer.from(value), ...(each[0] ? { lease } : {}) }));
      const deletes = free.filter(({ kind }) => kind === 'delete').map((each) => place(each.key));
      return { compares, puts, deletes, deleteRanges };
    },
  }));

export const arbitraryBatches = fc.array(batch, { minLength: 1, maxLength: 12 });

/** Hexadecimal digits sort as the bytes do: another way to the order than the one under test. */
function bytes(text: string): string {
  return Buffer.from(text).toString('hex');
}
