/** Scans over a range whose leased keys lie in one place and whose other keys lie in another. */
import { cutAtLiveKeys } from './keys.ts';
import type { LiveKeys } from './live-keys.ts';
import type { Entry, Range, ScanOptions, ScanResult } from './store.ts';

const NO_VALUE = new Uint8Array(0);

/** @param scanOthers at most `limit` entries without a lease, in the order that the options ask for. */
export function scanBoth(
  range: Range,
  options: ScanOptions,
  live: LiveKeys,
  scanOthers: (range: Range, limit: number) => readonly Entry[],
): ScanResult {
  const reverse = options.reverse ?? false;
  const parts = cutAtLiveKeys(range);
  if (reverse) parts.reverse();
  // One more than asked for tells whether there is more.
  const wanted = options.limit + 1;
  let entries: Entry[] = [];
  for (const part of parts) {
    const left = wanted - entries.length;
    if (left === 0) break;
    entries = entries.concat(part.live ? live.scan(part.range, left, reverse) : scanOthers(part.range, left));
  }
  const more = entries.length === wanted;
  if (more) entries.pop();
  return { entries: options.keysOnly === true ? entries.map(({ key }) => ({ key, value: NO_VALUE })) : entries, more };
}
