import type { KeyRange } from '../kernel.ts';

/** What one collection removes, and how far the floor then is. */
export interface CollectionPlan {
  readonly ranges: readonly KeyRange[];
  readonly floor: string;
}

/**
 * The ranges of ids above `floor` and at or below `target`, without the kept ones. If more than
 * `most` ranges were needed, it ends at a kept id: the floor may pass an id whose record stays.
 */
export function planCollection(
  floor: string,
  target: string,
  pinned: Iterable<string>,
  late: Iterable<string>,
  most: number,
): CollectionPlan {
  const kept = new Set<string>();
  for (const ids of [pinned, late]) for (const id of ids) if (id > floor && id <= target) kept.add(id);
  const ranges: KeyRange[] = [];
  let from = floor === '' ? '' : after(floor);
  for (const id of [...kept].sort()) {
    if (ranges.length === most) return { ranges, floor: from.slice(0, -1) };
    if (from < id) ranges.push({ from, to: id });
    from = after(id);
  }
  if (ranges.length === most) return { ranges, floor: from.slice(0, -1) };
  const to = after(target);
  if (from < to) ranges.push({ from, to });
  return { ranges, floor: target };
}

/** The lowest string above an id. */
function after(id: string): string {
  return `${id}\0`;
}
