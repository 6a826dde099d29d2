/** Reads a range page by page, in pages of a size that a store gives in time. */
import type { Entry, Range, ScanResult } from './store.ts';

/** Most entries of a page; how many it has follows from the size of those before. */
const LARGEST_PAGE = 1000;
const PAGE_BYTES = 4 * 2 ** 20;
/** Of a page that did not come, so much less is asked for. */
const SHRINK = 4;

export interface PageReader {
  /** Entries that the first page may have: nothing is known of their size. */
  readonly first: number;
  /** In ascending order, at most `limit`. */
  read(range: Range, limit: number): Promise<ScanResult>;
  /** Whether a page may have failed so because it was too large: then a smaller one is asked for, down to one entry. */
  mayBeTooLarge(error: unknown): boolean;
}

/** No page is empty. @throws what `read` throws */
export async function* readPages({ from, to }: Range, { first, read, mayBeTooLarge }: PageReader): AsyncGenerator<readonly Entry[]> {
  for (let limit = first; ; ) {
    let page: ScanResult;
    try {
      page = await read({ from, to }, limit);
    } catch (error) {
      if (limit === 1 || !mayBeTooLarge(error)) throw error;
      limit = Math.max(1, Math.floor(limit / SHRINK));
      continue;
    }
    const { entries, more } = page;
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    if (!more) return;
    from = after(last.key);
    const bytes = entries.reduce((sum, { value }) => sum + value.length, 0);
    limit = Math.max(1, Math.min(LARGEST_PAGE, Math.floor((limit * PAGE_BYTES) / Math.max(bytes, PAGE_BYTES / 2))));
  }
}

/** The lowest key behind this one. */
export function after(key: string): string {
  return `${key}\0`;
}
