/** Keys in the order of their UTF-8 bytes, which is the order of code points, not of UTF-16 code units. */
import { LEASED_PREFIX, prefixRange, type Range } from './store.ts';

/** Every key that can have a lease. */
export const liveRange: Range = prefixRange(LEASED_PREFIX);

// oxlint-disable-next-line no-control-regex -- the point is to tell ASCII from the rest
const NOT_ASCII = /[^\x00-\x7f]/;

/**
 * The key's UTF-8 bytes as a string of one code unit a byte: JavaScript's own `<` on such strings is
 * the order of the bytes. ASCII keys, which is nearly all of them, are their own form.
 */
export function orderedForm(key: string): string {
  return NOT_ASCII.test(key) ? Buffer.from(key).toString('latin1') : key;
}

/** The inverse of {@link orderedForm}. */
export function fromOrderedForm(form: string): string {
  return NOT_ASCII.test(form) ? Buffer.from(form, 'latin1').toString() : form;
}

/** Negative, zero or positive as `a` sorts before, with or after `b`. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  return orderedForm(a) < orderedForm(b) ? -1 : 1;
}

export function isEmptyRange(range: Range): boolean {
  return compareKeys(range.from, range.to) >= 0;
}

export function contains(range: Range, key: string): boolean {
  return compareKeys(key, range.from) >= 0 && compareKeys(key, range.to) < 0;
}

export interface RangePart {
  readonly live: boolean;
  readonly range: Range;
}

/** A range cut where leased keys begin and end, in ascending order, empty parts left out. */
export function cutAtLiveKeys(range: Range): RangePart[] {
  const parts: RangePart[] = [
    { live: false, range: { from: range.from, to: lower(range.to, liveRange.from) } },
    { live: true, range: { from: higher(range.from, liveRange.from), to: lower(range.to, liveRange.to) } },
    { live: false, range: { from: higher(range.from, liveRange.to), to: range.to } },
  ];
  return parts.filter((part) => !isEmptyRange(part.range));
}

function lower(a: string, b: string): string {
  return compareKeys(a, b) <= 0 ? a : b;
}

function higher(a: string, b: string): string {
  return compareKeys(a, b) >= 0 ? a : b;
}
