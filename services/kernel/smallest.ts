/**
 * The `limit` smallest texts above `after`, in ascending order. One pass that never holds more than twice as
 * many: a page of many ids costs no sort of all.
 * @param limit positive
 */
export function smallestAbove(texts: Iterable<string>, after: string, limit: number): string[] {
  const kept: string[] = [];
  /** So many are below or at it already. */
  let bound: string | undefined;
  for (const text of texts) {
    if (text <= after || (bound !== undefined && text >= bound)) continue;
    kept.push(text);
    if (kept.length < 2 * limit) continue;
    kept.sort();
    kept.length = limit;
    bound = kept[limit - 1];
  }
  return kept.sort().slice(0, limit);
}
